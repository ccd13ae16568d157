"""Typed filters: dates at any precision, errors for what could never hold, and the brute-force comparison."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import InvalidFilter, InvalidRequest
from appliance.inference import HashEmbedder
from appliance.search import filter_from_json, parse_filter
from appliance.search.filter_check import check_filter
from appliance.types import AllOf, Comparison, FieldType
from bench import filters as bench
from bench.corpus import COLLECTION, Corpus, Text, ingested

METADATA = {
    "a": {"year": 2019, "held": "2019-12-31", "author": "Ada Lovelace", "tags": ["engine", "Notes"], "draft": True},
    "b": {"year": 2020, "held": "2020", "author": "Bob"},
    "c": {"year": "2021", "held": "2020-03-15T10:00:00", "author": "2020 Vision", "price": 1000.5},
    "d": {"held": "2020-03", "tags": ["board"]},
    "e": {"held": "2021-01-01T00:30:00+02:00"},
}


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), threads=1)
    texts = [Text(name, name, f"text of {name}", metadata) for name, metadata in METADATA.items()]  # type: ignore[arg-type]
    with ingested(texts, HashEmbedder(), settings, label="typed") as corpus:
        yield corpus


def passing(corpus: Corpus, text: str) -> str:
    filters = parse_filter(text)
    check_filter(filters, COLLECTION, corpus.store)
    ids = corpus.store.documents.eligible(COLLECTION, filters)
    return "".join(sorted(chunk.source for chunk in corpus.store.documents.chunks(ids.tolist()).values()))


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("held >= 2020", "bcde"),
        ("held > 2020", ""),
        ("held = 2020", "bcde"),
        ("held < 2020", "a"),
        ("held <= 2020", "abcde"),
        ("held != 2020", "a"),
        ("held = 2020-03", "cd"),
        ("held = 2020-03-15", "c"),
        ('held = "15 March 2020"', "c"),
        ("held >= 2020-01-01", "bcde"),  # 2020 begins then
        ("held > 2020-01-01", "cde"),
        ("held < 2020-03-16", "ac"),  # 2020 and 2020-03 reach past it
        ("held < 2020-04", "acd"),
        ("held >= 2020-03-15T10:00", "ce"),
        ("held in (2019-12, 2020-12)", "ae"),
        ("held >= 2020-12-31T22:30:00Z", "e"),
        ("year >= 2020", "bc"),
        ("year >= 2020-06", "c"),
        ("year < 2020-06", "a"),
        ("author contains 2020", "c"),
        ("tags contains notes", "a"),
        ('tags in ("board", "x")', "d"),
        ("draft = true", "a"),
        ("price > 1e3", "c"),
        ("added_at >= 2020", "abcde"),
        ("added_at < 2020-05-01", ""),
        ("nothing exists", ""),
        ("not nothing exists", "abcde"),
    ],
)
def test_typed_values(typed: Corpus, text: str, wanted: str) -> None:
    assert passing(typed, text) == wanted


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("yaer = 2020", "unknown_field", "`year`"),
        ("Year = 2020", "unknown_field", "Did you mean `year`"),
        ("not zzz = 1", "unknown_field", "There are `author`"),
        ("year = 2020 or athor = x", "unknown_field", "`author`"),
        ('year contains "20"', "wrong_type", "`year` is number, from 2019 to 2021"),
        ("year > many", "wrong_type", "`year` is number"),
        ("held > soon", "wrong_type", "`held` is date, from 2019-12-31 to 2020-12-31t22:30:00"),
        ('held contains "2020"', "wrong_type", "`held` is date"),
        ("price = cheap", "wrong_type", "from 1000.5 to 1000.5"),
        ("author > 7", "wrong_type", "`author` is text, such as 2020 Vision, Ada Lovelace, Bob"),
        ("tags = 3", "wrong_type", "`tags` is a list of text, such as board, engine, Notes"),
        ("year in (2020, many)", "wrong_type", "'many'"),
        ("draft = maybe", "wrong_type", "`draft` is boolean, such as true"),
    ],
)
def test_what_could_never_hold_is_an_error(typed: Corpus, text: str, code: str, said: str) -> None:
    with pytest.raises(InvalidFilter) as caught:
        passing(typed, text)
    assert caught.value.code == code
    assert said in f"{caught.value} {caught.value.hint}"
    assert "collections fields" in caught.value.hint


def test_fields_are_inferred(typed: Corpus) -> None:
    fields = {field.name: field for field in typed.store.fields.all(COLLECTION)}
    assert {name: (field.type, field.listed) for name, field in fields.items()} == {
        "author": (FieldType.TEXT, False),
        "draft": (FieldType.BOOLEAN, False),
        "held": (FieldType.DATE, False),
        "price": (FieldType.NUMBER, False),
        "tags": (FieldType.TEXT, True),
        "year": (FieldType.NUMBER, False),
    }
    assert (fields["year"].documents, fields["year"].distinct) == (3, 3)
    assert (fields["year"].least, fields["year"].greatest) == (2019, 2021)
    assert fields["tags"].examples == ("board", "engine", "Notes")
    assert typed.store.fields.one(COLLECTION, "nothing") is None
    assert typed.store.fields.all("nowhere") == []


def test_an_empty_collection_is_not_checked(typed: Corpus) -> None:
    check_filter(parse_filter("anything = 1"), "nowhere", typed.store)


def test_json_and_text_mean_the_same(typed: Corpus) -> None:
    json_form = filter_from_json({"held": {">=": "2020-03"}, "year": 2021})
    assert json_form == AllOf((Comparison("held", ">=", "2020-03"), Comparison("year", "=", 2021)))
    assert typed.store.documents.eligible(COLLECTION, json_form).size == 1


@pytest.mark.slow
@pytest.mark.parametrize(("index", "below"), [("exact", 10**6), ("hnsw", 10)])
def test_filtered_search_is_identical_to_brute_force(tmp_path: Path, index: str, below: int) -> None:
    texts = bench.made_texts(3, 300)
    settings = Settings(data_dir=tmp_path, threads=1, exact_scan_below=below)
    with ingested(texts, HashEmbedder(), settings, label="made") as corpus:
        corpus.index.rebuild()
        assert corpus.index.status().kind == index
        rows = bench.compare(corpus, texts, 170, seed=11)
    assert [(row["part"], row["identical"]) for row in rows] == [
        (part, "170 of 170") for part in ("fused", "dense", "bm25")
    ]
    assert all(row["empty"] < 60 for row in rows)


def test_the_comparison_sees_a_lost_row() -> None:
    right = [(1, 0.9), (2, 0.8), (3, 0.7)]
    assert bench.same_ranking(right, [(1, 0.9), (2, 0.8), (4, 0.7)])  # equal scores at the end
    assert not bench.same_ranking(right, right[:2])
    assert not bench.same_ranking(right, [(1, 0.9), (4, 0.8), (3, 0.7)])
    assert not bench.same_ranking(right, [(1, 0.9), (2, 0.81), (3, 0.7)])


@pytest.mark.parametrize("text", [None, "{", '{"_id": 1}', '{"_id": 1, "title": "", "text": "", "metadata": 3}'])
def test_data_without_metadata_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "corpus.jsonl").write_text(text)
    with pytest.raises(InvalidRequest):
        bench.read_texts(tmp_path)


def test_real_metadata_is_read(tmp_path: Path) -> None:
    row = {"_id": 1, "title": "T", "text": "", "metadata": {"year": 1958, "authors": ["Perlis"], "keywords": ""}}
    (tmp_path / "corpus.jsonl").write_text(json.dumps(row))
    assert bench.read_texts(tmp_path) == [Text("1", "T", "T", {"year": 1958, "authors": ["Perlis"]})]
