"""Search over a real store and index: the ends of alpha, exact terms, filters, odd questions."""

from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.inference import HashEmbedder
from appliance.search import candidates as stage_one
from appliance.search import fuse, retrieve, search
from appliance.types import Comparison, Query, QueryShape, SearchResult
from bench.corpus import COLLECTION, Corpus, ingested
from tests.search.conftest import TEXTS


def ask(corpus: Corpus, text: str, **parameters: object) -> SearchResult:
    return search(Query(text, COLLECTION, **parameters), corpus.retrieval)  # type: ignore[arg-type]


def sources(found: SearchResult) -> list[str]:
    return [hit.chunk.source for hit in found.hits]


QUESTIONS = (
    "tomatoes and beans in the garden",
    "the port of the server",
    "Which pump moves water?",
    "SKU-A1234",
    "salt",
)


@pytest.mark.parametrize("question", QUESTIONS)
def test_alpha_one_is_the_order_of_cosines(corpus: Corpus, question: str) -> None:
    found = ask(corpus, question, alpha=1.0)
    dense = corpus.index.search(corpus.embedder.embed_query(question), 10)
    assert [hit.chunk.id for hit in found.hits] == [chunk for chunk, _ in dense]
    assert [hit.dense_rank for hit in found.hits] == list(range(1, len(dense) + 1))


@pytest.mark.parametrize("question", QUESTIONS)
def test_alpha_zero_is_the_order_of_bm25(corpus: Corpus, question: str) -> None:
    found = ask(corpus, question, alpha=0.0)
    lexical = corpus.store.lexical.search(COLLECTION, question, 10).rows
    assert [hit.chunk.id for hit in found.hits] == [chunk for chunk, _ in lexical]
    assert [hit.lexical_score for hit in found.hits] == [score for _, score in lexical]


def test_hits_tell_ranks_and_scores_of_both_parts(corpus: Corpus) -> None:
    found = ask(corpus, "tomatoes and beans")
    vector = corpus.embedder.embed_query("tomatoes and beans")
    cosines = dict(corpus.index.search(vector, 100))
    scores = [hit.score for hit in found.hits]
    assert scores == sorted(scores, reverse=True)
    assert {sources(found)[0], sources(found)[1]} == {"garden.md", "kitchen.md"}
    for hit in found.hits:
        assert hit.dense_score == pytest.approx(cosines[hit.chunk.id])
        assert (hit.lexical_rank is None) == (hit.lexical_score is None)
    assert {"embed", "dense", "lexical", "fuse", "fetch"} <= found.timings.keys()


def test_bm25_counts_for_candidates_that_only_meaning_found(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if more than the best had been fetched: every score is the passage's own."""
    question = "order the new index in the shop and add salt"
    monkeypatch.setattr(fuse, "BEST", 1)
    whole = {hit.chunk.id: hit for hit in ask(corpus, question, k=8).hits}
    holders = {chunk for chunk, _ in corpus.store.lexical.search(COLLECTION, question, 8).rows}
    monkeypatch.setattr(retrieve, "wanted", lambda query: 2)
    monkeypatch.setattr(stage_one, "wanted", lambda query: 2)
    found = ask(corpus, question, k=8).hits
    assert any(hit.lexical_rank is None and hit.chunk.id in holders for hit in found)
    for hit in found:
        assert hit.fused_score == pytest.approx(whole[hit.chunk.id].fused_score)


@pytest.mark.parametrize(
    ("question", "first"),
    [
        ("SKU-A1234", "pumps.md"),
        ("How fast does the larger valve close, the one ordered as sku-b77?", "valves.md"),
        ("What does the server say about the port and the connection: ERR_CONNECTION_REFUSED?", "errors.md"),
        ("Does Session.create() belong to the version, the port, the pump or the garden?", "api.md"),
        ("tomatoes and beans in 1.20", "versions.md"),
        ('where is "up a pole" in soup of tomatoes and beans', "garden.md"),
    ],
)
def test_what_is_named_exactly_comes_first(corpus: Corpus, question: str, first: str) -> None:
    assert sources(ask(corpus, question))[0] == first


def test_a_longer_code_is_another_thing(corpus: Corpus) -> None:
    found = ask(corpus, "Which valve closes in a second, is it SKU-A1234?")
    assert sources(found)[0] == "pumps.md"


def test_the_shape_decides_the_default_alpha(corpus: Corpus) -> None:
    shapes = {ask(corpus, text).shape: ask(corpus, text).alpha for text in ("SKU-A1234", "red valve", "What is it?")}
    assert list(shapes) == [QueryShape.IDENTIFIER, QueryShape.KEYWORDS, QueryShape.SENTENCE]
    assert list(shapes.values()) == sorted(shapes.values())
    assert ask(corpus, "SKU-A1234", alpha=0.9).alpha == 0.9


def test_filters_leave_only_what_passes(corpus: Corpus) -> None:
    found = ask(corpus, "tomatoes", filters=Comparison("source", "=", "kitchen.md"))
    assert sources(found) == ["kitchen.md"]
    assert ask(corpus, "SKU-A1234", filters=Comparison("source", "=", "none")).hits == ()


def test_k_bounds_the_hits(corpus: Corpus) -> None:
    assert len(ask(corpus, "the server", k=2).hits) == 2
    assert len(ask(corpus, "the server", k=100).hits) == len(TEXTS)


@pytest.mark.parametrize(
    "question",
    ['hello* OR "x', "a NEAR b", "()", "\x00", "title:pump", "-", "'; DROP TABLE chunks; --", "當社", "مرحبا", "😀",
     "x" * 4000, "col:(", "a AND NOT b", "^start", "{pump}", '"" ""'],
)  # fmt: skip
def test_no_question_is_syntax(corpus: Corpus, question: str) -> None:
    assert len(ask(corpus, question).hits) <= 10
    ask(corpus, question, alpha=0.0)


def test_a_deleted_document_is_gone_at_once(tmp_path: Path) -> None:
    """Even while its vectors are still in the index."""
    with ingested(TEXTS, HashEmbedder(), Settings(data_dir=tmp_path, threads=1), label="samples") as corpus:
        first = ask(corpus, "tomatoes and beans").hits[0]
        corpus.store.documents.delete(COLLECTION, [first.chunk.document_id])
        for alpha in (None, 0.0, 1.0):
            found = ask(corpus, "tomatoes and beans", alpha=alpha, k=3)
            assert first.chunk.source not in sources(found)
            assert found.hits
        assert len(ask(corpus, "tomatoes", alpha=1.0, k=3).hits) == 3


def test_an_empty_collection_has_no_hits(tmp_path: Path) -> None:
    with ingested((), HashEmbedder(), Settings(data_dir=tmp_path, threads=1), label="nothing") as corpus:
        assert ask(corpus, "anything SKU-A1234").hits == ()
