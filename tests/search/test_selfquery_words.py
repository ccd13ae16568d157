"""Self-query where a question's words are also words of the texts: only what is meant as a value filters."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from appliance.config import Settings
from appliance.inference import HashEmbedder
from appliance.search.selfquery import Lexicons, search_understood, understand
from appliance.search.selfquery.ordinary import ordinary_in
from appliance.types import Metadata, Query, SelfQuery
from bench.corpus import COLLECTION, Corpus, Text, ingested

PLANT = [
    Text("pumps", "Upkeep", "The pumps of hall B need new seals."),
    Text("leak", "Leak", "A pump in hall A leaked oil."),
    Text("money", "Money", "The sum for new pumps is high in 2021."),
    Text("staff", "Staff", "Requests of staff are open for two weeks. A training is due in May."),
    Text("notes", "Notes", "Who writes the final draft? Open questions, the final test, staff."),
]
METADATA: dict[str, Metadata] = {
    "pumps": {"year": 2021, "author": "Ada Lovelace", "tags": ["pumps"], "status": "final", "written": "2021-03-14"},
    "leak": {"year": 2022, "author": "Grace Hopper", "tags": ["pumps", "incident"], "status": "draft"},
    "money": {"year": 2022, "author": "Ada Lovelace", "tags": ["budget"], "status": "archived"},
    "staff": {"year": 2023, "author": "May Britt", "tags": ["staff"], "status": "final", "written": "2023-05-30"},
    "notes": {"status": "open", "written": "2022-07-02"},
}


@pytest.fixture(scope="module")
def plant(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=tmp_path_factory.mktemp("plant"), threads=1)
    with ingested(
        [replace(text, metadata=METADATA[text.source]) for text in PLANT], HashEmbedder(), settings, label="plant"
    ) as corpus:
        yield corpus


@pytest.mark.parametrize(
    ("question", "filters"),
    [
        # words of the texts, and no more
        ("How long does the final test take?", ""),
        ("Who writes the final draft?", ""),
        ("open questions about pumps", ""),
        ("How often do the pumps need new seals?", ""),
        ("What is due in May?", ""),
        ("What may be done in 2 weeks?", ""),
        ("the sum for pumps", ""),
        ("what runs without pumps", ""),
        # the same words, meant as values
        ("status open", 'status = "open"'),
        ("which documents are still open?", 'status = "open"'),
        ("which reports are in draft", 'status = "draft"'),
        ("final documents about pumps", 'status = "final"'),
        ("anything tagged pumps", 'tags contains "pumps"'),
        ("documents tagged pumps or incident", '(tags contains "pumps" or tags contains "incident")'),
        ('"final" tests', 'status = "final"'),
        ("everything except drafts about pumps", 'not (status = "draft")'),
        ("everything except for drafts", 'not (status = "draft")'),
        ("everything other than drafts", 'not (status = "draft")'),
        ("papers by May Britt", 'author = "may britt"'),
        ("archived notes", 'status = "archived"'),  # no text has this word
        # years and dates
        ("the sum in 2021", "year = 2021"),
        ("between 2021 and 2022", "(year >= 2021 and year <= 2022)"),
        ("from March 2021 to 2022-02", '(written >= "2021-03" and written <= "2022-02")'),
        ("in 2022, what leaked?", "year = 2022"),
        ("what leaked in July 2022?", 'written = "2022-07"'),
        ("what leaked on 2 July 2022", 'written = "2022-07-02"'),
        ("written before March 2022", 'written < "2022-03"'),
        ("notes since 2022-06", 'written >= "2022-06"'),
        ("documents older than 2022", "year < 2022"),
        ("documents newer than 2022", "year > 2022"),
        # several values of a field that has but one
        ("pumps by Grace Hopper or Ada Lovelace", '(author = "grace hopper" or author = "ada lovelace")'),
        ("what did Ada write about pumps", 'author = "ada lovelace"'),
        ("papers by Donald Knuth", ""),
    ],
)
def test_a_common_word_is_a_value_only_where_it_is_meant(plant: Corpus, question: str, filters: str) -> None:
    _, understood = understand(
        Query(question), Lexicons(plant.store).get(COLLECTION)[0], ordinary_in(plant.store, COLLECTION)
    )
    assert understood.filters == filters


def test_somebody_nobody_knows_is_told(plant: Corpus) -> None:
    lexicon = Lexicons(plant.store).get(COLLECTION)[0]
    assert "Donald Knuth" in understand(Query("papers by Donald Knuth"), lexicon)[1].notice
    for question in ("papers by Ada Lovelace", "papers by Ada", "due by Friday", "due by May 2021", "by the way"):
        assert understand(Query(question), lexicon)[1].notice == ""


def test_what_is_unsure_gives_way_where_nothing_passes(plant: Corpus) -> None:
    question = Query("archived things by Grace Hopper", COLLECTION, self_query=SelfQuery.ON)
    result = search_understood(question, plant.retrieval, Lexicons(plant.store))
    assert {hit.chunk.source for hit in result.hits} == {"leak"}
    assert result.understood is not None
    assert (result.understood.applied, result.understood.filters) == (True, 'author = "grace hopper"')
    nobody = question.but(text="archived things by Grace Hopper in 2023")
    result = search_understood(nobody, plant.retrieval, Lexicons(plant.store))
    assert len(result.hits) == len(PLANT)
    assert result.understood is not None
    assert not result.understood.applied
    assert 'status = "archived"' in result.understood.notice
