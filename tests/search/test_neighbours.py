"""The best hits are read with the chunks beside them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.inference import HashEmbedder
from appliance.search import neighbours, search
from appliance.types import Fusion, Query, SearchResult
from bench.corpus import COLLECTION, Corpus, Text, ingested

FILLER = (
    "Nothing of this has to do with it, and still it has to be said here at some length for the sake of order. " * 4
)
TEXTS = (
    Text("a.md", "First", f"{FILLER}\n\nThe gasket leaks.\n\n{FILLER}"),
    Text(
        "b.md", "Second", f"{FILLER}Turbine seals wear. Check the bearing.\n\n{FILLER}\n\nThe gasket leaks.\n\n{FILLER}"
    ),
)
QUESTION = "gasket of the turbine seals at the bearing"


@pytest.fixture(scope="module")
def cut(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=Path(tmp_path_factory.mktemp("data")), threads=1, chunk_tokens=100)
    with ingested(TEXTS, HashEmbedder(), settings, label="cut") as opened:
        yield opened


def ask(corpus: Corpus, **given: object) -> SearchResult:
    return search(Query(QUESTION, COLLECTION, k=10, **given), corpus.retrieval)  # type: ignore[arg-type]


def gaskets(found: SearchResult) -> dict[str, float]:
    return {hit.chunk.source: hit.fused_score for hit in found.hits if "gasket" in hit.chunk.text}


def test_a_chunk_gains_by_the_words_beside_it(cut: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    found = gaskets(ask(cut, alpha=0.1))
    monkeypatch.setattr(neighbours, "in_context", lambda hits, *_: list(hits))
    monkeypatch.setattr("appliance.search.retrieve.in_context", lambda hits, *_: list(hits))
    plain = gaskets(ask(cut, alpha=0.1))
    assert found["b.md"] - found["a.md"] > plain["b.md"] - plain["a.md"] + 0.05


@pytest.mark.parametrize("given", [{"alpha": 0.0}, {"alpha": 1.0}, {"fusion": Fusion.RRF}])
def test_parts_alone_and_ranks_are_left_as_they_are(
    cut: Corpus, given: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.search.retrieve.in_context", lambda *_: pytest.fail("not asked for"))
    assert ask(cut, **given).hits


def test_those_behind_follow_with_lower_scores(cut: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ask(cut)
    monkeypatch.setattr(neighbours, "MOST", 2)
    found = ask(cut)
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert scores == [hit.fused_score for hit in found.hits]
    assert {hit.chunk.id for hit in found.hits} == {hit.chunk.id for hit in whole.hits}
