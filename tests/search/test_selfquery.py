"""Self-query: what is read out of a question, what is left of it, and a search that uses it."""

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.inference import HashEmbedder
from appliance.search import parse_filter
from appliance.search.selfquery import Lexicons, search_understood, understand
from appliance.search.selfquery.lexicon import Field, Lexicon, name_words, singular, tokens
from appliance.search.selfquery.parse import read
from appliance.types import FieldType, Query, SelfQuery
from bench import selfquery as bench
from bench.corpus import COLLECTION, Corpus, Text, ingested

PAPERS = (
    Text("1", "Sorting", "Sorting by exchanging.", {"year": 1973, "authors": ["Knuth, D. E."], "place": "New York"}),
    Text(
        "2", "Stable", "The stable marriage.", {"year": 1976, "authors": ["Knuth, D. E.", "Łukasz, J."], "pages": 120}
    ),
    Text("3", "Old", "Old sorting papers.", {"year": 1965, "authors": ["Hoare, C. A. R."], "held": "2019-03-15"}),
    Text("4", "New", "New sorting machines.", {"year": 1999, "authors": ["Hoare, C. A. R."], "place": "São Paulo"}),
    Text(
        "5", "Other", "About gardens.", {"home_team_score": 12, "tags": ["review"], "held": "2020-05-01", "pages": 40}
    ),
)


@pytest.fixture(scope="module")
def papers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("data"), threads=1)
    with ingested(PAPERS, HashEmbedder(), settings, label="papers") as corpus:
        yield corpus


@pytest.fixture(scope="module")
def lexicon(papers: Corpus) -> Lexicon:
    return Lexicons(papers.store).get(COLLECTION)[0]


@pytest.mark.parametrize(
    ("question", "filters", "text"),
    [
        (
            "papers by Knuth after 1970 about sorting",
            '(authors = "knuth, d. e." and year > 1970)',
            "papers about sorting",
        ),
        ("sorting papers before 1970", "year < 1970", "sorting papers"),
        ("sorting since 1973", "year >= 1973", "sorting"),
        ("sorting until 1976", "year <= 1976", "sorting"),
        ("sorting between 1970 and 1980", "(year >= 1970 and year <= 1980)", "sorting"),
        ("sorting from 1970 to 1980", "(year >= 1970 and year <= 1980)", "sorting"),
        ("What was sorted in New York?", 'place = "new york"', "What was sorted?"),
        ("gardens in SAO PAULO", 'place = "são paulo"', "gardens"),
        ("reports with more than 100 pages", "pages > 100", "reports with pages"),
        ("reports with at least fifty pages", "pages >= 50", "reports with pages"),
        ("gardens with a home team score of 12", "home_team_score = 12", "gardens with a home team score"),
        ("reviews about gardens", 'tags contains "review"', "reviews about gardens"),
        ("sorting other than New York", 'not (place = "new york")', "sorting"),
        ("meetings held in March 2019", 'held = "2019-03"', "meetings held"),
        ("meetings held since 2020", "held >= 2020", "meetings held"),
        ("What is the year of the stable marriage?", "", "What is the year of the stable marriage?"),
        ("Which place has gardens?", "", "Which place has gardens?"),
        ("two gardeners and 12 roses", "", "two gardeners and 12 roses"),
        ("New York", 'place = "new york"', "New York"),  # nothing else would be left to look for
        ("??", "", "??"),
    ],
)
def test_what_is_understood(lexicon: Lexicon, question: str, filters: str, text: str) -> None:
    _, understood = understand(Query(question), lexicon)
    assert (understood.filters, understood.text) == (filters, text)
    for part in understood.parts:
        assert question[part.start : part.end] == part.text
        parse_filter(part.condition)
    assert not understood.applied


def test_given_filters_win_for_their_fields(lexicon: Lexicon) -> None:
    query = Query("sorting in New York after 1970", filters=parse_filter("year < 1960"))
    narrowed, understood = understand(query, lexicon)
    assert understood.filters == 'place = "new york"'
    assert narrowed.filters is not None
    assert query.filters in getattr(narrowed.filters, "parts", ())
    assert "after 1970" in narrowed.text


def sources(corpus: Corpus, query: Query) -> set[str]:
    result = search_understood(query, corpus.retrieval, Lexicons(corpus.store))
    return {hit.chunk.source for hit in result.hits}


def test_a_search_that_understands(papers: Corpus) -> None:
    question = Query("papers by Knuth after 1970 about sorting", COLLECTION, self_query=SelfQuery.ON)
    assert sources(papers, question) == {"1", "2"}
    everything = sources(papers, question.but(self_query=SelfQuery.OFF))
    assert everything > {"1", "2"}
    assert sources(papers, question.but(self_query=None)) == everything
    suggested = search_understood(question.but(self_query=SelfQuery.SUGGEST), papers.retrieval, Lexicons(papers.store))
    assert {hit.chunk.source for hit in suggested.hits} == everything
    assert suggested.understood is not None
    assert suggested.understood.parts
    assert not suggested.understood.applied


def test_a_filter_that_nothing_passes_is_dropped_and_told(papers: Corpus) -> None:
    question = Query("papers by Knuth before 1970", COLLECTION, self_query=SelfQuery.ON)
    result = search_understood(question, papers.retrieval, Lexicons(papers.store))
    assert result.hits
    assert result.understood is not None
    assert not result.understood.applied
    assert "year < 1970" in result.understood.notice


def test_the_nearest_field_and_the_most_frequent_one() -> None:
    fields = [
        Field("home_team", FieldType.TEXT, False, [("Richmond", 3), ("Fitzroy", 1)]),
        Field("away_team", FieldType.TEXT, False, [("Richmond", 1), ("Fitzroy", 4)]),
        Field("week", FieldType.NUMBER, False, [("6", 1), ("7", 1)]),
        Field("crowd", FieldType.NUMBER, False, [("20682", 1), ("6", 1)]),
    ]
    made = Lexicon(fields)

    def conditions(question: str) -> list[tuple[str, str, str]]:
        return [(one.fields[0], one.op, str(one.values[0])) for one in read(question, made)]

    assert conditions("Who won when the away team was Richmond?") == [("away_team", "=", "Richmond")]
    assert conditions("Who won with home team Fitzroy in week 6?") == [
        ("home_team", "=", "Fitzroy"),
        ("week", "=", "6"),
    ]
    assert conditions("Who beat Richmond?") == [("home_team", "=", "Richmond")]
    assert conditions("Which home team played Fitzroy?") == [("away_team", "=", "Fitzroy")]
    assert conditions("games after week 6 with a crowd over 20,682") == [("week", ">", "6"), ("crowd", ">", "20682")]
    assert conditions("a crowd of 15,000 or more") == [("crowd", ">=", "15000")]
    assert conditions("who won in week two") == [("week", "=", "2")]
    assert conditions("not Richmond") == [("home_team", "!=", "Richmond")]


def test_a_value_of_several_lists_is_meant_of_each() -> None:
    fields = [Field(name, FieldType.TEXT, True, [("Human rights", 2)]) for name in ("topics", "keywords")]
    (one,) = read("something on human rights", Lexicon(fields))
    assert (one.fields, one.op) == (("topics", "keywords"), "contains")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("home_team_score", ("hom", "team", "scor")),
        ("pick_#", ("pick", "number")),
        ("authorName", ("author", "nam")),
        ("school/club_team", ("school", "club", "team")),
        ("of", ("of",)),
        ("🎉", ()),
    ],
)
def test_field_names_become_words(name: str, words: tuple[str, ...]) -> None:
    assert name_words(name) == words


def test_words_are_folded() -> None:
    assert [token.text for token in tokens("Łódź's 20,682 –8 don't B- 6:50.40")] == [
        *("lodz", "s", "20682", "-8", "do", "n't", "b-", "6", "50.40")
    ]
    assert [singular(word) for word in ("cities", "boxes", "glass", "bus", "teams", "gas")] == [
        *("city", "box", "glass", "bus", "team", "gas")
    ]


def test_hostile_questions_end(lexicon: Lexicon) -> None:
    for text in ("", " ", "\0", "(" * 4000, "not " * 1000, "more than " * 500 + "5", "by Knuth " * 400, "🎉" * 1000):
        read(text, lexicon)


def test_a_changed_collection_is_read_again(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, threads=1)
    with ingested([], HashEmbedder(), settings, label="none") as corpus:
        lexicons = Lexicons(corpus.store)
        empty, current = lexicons.get(COLLECTION)
        assert empty.fields == ()
        assert current
        assert lexicons.get(COLLECTION)[0] is empty


@pytest.mark.slow
def test_memory_is_bounded_by_the_values() -> None:
    values = [(f"value number {n} of {n % 97}", 1) for n in range(10_000)]
    tracemalloc.start()
    made = Lexicon([Field("topic", FieldType.TEXT, False, values)])
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert used < 2_000 * len(values)
    (one,) = read("what about value number 77 of 77", made)
    assert one.values == ("value number 77 of 77",)


def test_the_benchmark_counts_what_it_says(tmp_path: Path) -> None:
    part = {"table": "t", "field": "city", "op": "=", "value": "Oslo"}
    rows = [
        {"dataset": "d", "question": f"what is number {n} in oslo", "filters": [part], "simple_conjunction": True}
        for n in range(20)
    ]
    unstated = {"dataset": "d", "question": "what is it", "filters": [part], "simple_conjunction": True}
    (tmp_path / "filters.jsonl").write_text("\n".join(map(json.dumps, [*rows, unstated])))
    wiki = {"question": "which year is it in Rome", "table_id": "1", "schema_fields_seen": ["city", "year"]}
    wikis = [{**wiki, "table_id": str(n), "filters": [{"field": "city", "op": "=", "value": "Rome"}]} for n in range(9)]
    (tmp_path / "wikisql.jsonl").write_text("\n".join(map(json.dumps, wikis)))
    result = bench.run(tmp_path)
    runs = {(row["set"], row["questions"], row["split"]): row for row in result["runs"]}
    accuracies = {(name, row["accuracy"]) for (name, questions, _), row in runs.items() if questions == "stated"}
    assert {accuracy for name, accuracy in accuracies if "ordinary" not in name} == {1.0}
    assert {accuracy for name, accuracy in accuracies if "ordinary" in name} == {0.0}  # "in oslo" shows nothing
    both = [row for (name, questions, _), row in runs.items() if name == "d" and questions == "all"]
    assert sum(row["count"] for row in both) == 21
    assert sum(row["right"] for row in both) == 20
    assert list(result["errors"]) == ["d ordinary: value missed"]


@pytest.mark.parametrize("text", [None, "", "{", '{"question": "a"}', "[]"])
def test_bad_data_is_refused(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "filters.jsonl").write_text(text)
    with pytest.raises(InvalidRequest):
        bench.run(tmp_path)


@pytest.mark.slow
def test_public_questions_are_read_right(eval_data: Path) -> None:
    result = bench.run(eval_data / "selfquery")
    held_out = {(row["set"], row["questions"]): row for row in result["runs"] if row["split"] == "report"}
    for name in ("filters", "filters distracted", "wikisql own", "wikisql shared"):
        assert held_out[name, "stated"]["accuracy"] >= 0.8, held_out[name, "stated"]
        assert held_out[name, "all"]["accuracy"] >= 0.8, held_out[name, "all"]
    assert result["speed"]["ratio"] < 10
