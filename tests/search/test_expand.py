"""From hits to passages: what a hit grows to, what merges, and that every offset holds to the character."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from appliance.config import Settings
from appliance.inference import HashEmbedder
from appliance.ingest.chunk import chunk_document
from appliance.ingest.unit import Draft, embedded, passages
from appliance.search import search, with_context
from appliance.search.expand import LIMITS, expand
from appliance.types import Block, BlockKind, Chunk, Context, Expand, Hit, NewDocument, Query, ReadDocument
from bench.corpus import COLLECTION, Corpus, Text, ingested

PARAGRAPHS = 6


def handbook() -> ReadDocument:
    """Three headings with six paragraphs each, every paragraph a chunk of its own."""
    text, blocks = "", []
    for topic in ("Pumps", "Valves", "Gauges"):
        blocks.append(Block(BlockKind.HEADING, len(text), len(text) + len(topic), 1))
        text += f"{topic}\n\n"
        for number in range(PARAGRAPHS):
            words = " ".join(f"{topic.lower()}{number}word{at}" for at in range(18))
            paragraph = f"{topic} paragraph {number}: {words}."
            blocks.append(Block(BlockKind.PARAGRAPH, len(text), len(text) + len(paragraph)))
            text += f"{paragraph}\n\n \n"
    return ReadDocument("Handbook", "text/plain", text.rstrip(), tuple(blocks))


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=Path(tmp_path_factory.mktemp("data")), threads=1)
    other = Text("other.md", "Other", "Nothing of this belongs to a machine. The weather was fine.")
    with ingested([other], HashEmbedder(), settings, label="samples") as opened:
        read = handbook()
        draft = Draft("handbook.md", read, chunk_document(read, opened.embedder.token_spans, max_tokens=32))
        vectors = opened.embedder.embed_passages(list(passages(draft, opened.embedder)))
        chunks = tuple(map(embedded, draft.spans, vectors))
        committed = opened.store.documents.put(COLLECTION, [NewDocument(draft.source, "0" * 64, read, chunks, {})])[0]
        opened.index.add(committed.chunk_ids, np.stack([chunk.vector for chunk in chunks]))
        yield opened


def document_id(corpus: Corpus) -> int:
    return corpus.store.documents.hashes(COLLECTION)["handbook.md"][0]


def chunks_of(corpus: Corpus) -> list[Chunk]:
    return corpus.store.documents.document_chunks(document_id(corpus))


def asked(corpus: Corpus, text: str = "valves3word4 valves3word5", **parameters: object) -> Context:
    query = Query(text, COLLECTION, **parameters)  # type: ignore[arg-type]
    found = with_context(query, search(query, corpus.retrieval), corpus.retrieval)
    assert found.context is not None
    assert {"expand", "compress"} <= set(found.timings)
    return found.context


def assert_exact(context: Context, corpus: Corpus) -> None:
    """Pieces are the document's own text, in its order, apart, inside their passage; no passage overlaps another."""
    seen: dict[int, list[tuple[int, int]]] = {}
    for passage in context.passages:
        document = corpus.store.documents.get(passage.chunks[0].document_id)
        last = passage.start
        for piece in passage.pieces:
            assert document.text[piece.start : piece.end] == piece.text
            assert last <= piece.start < piece.end <= passage.end
            last = piece.end
        assert all(start >= passage.end or end <= passage.start for start, end in seen.get(document.id, []))
        seen.setdefault(document.id, []).append((passage.start, passage.end))


def test_a_hit_grows_to_its_section_and_no_further(corpus: Corpus) -> None:
    context = asked(corpus, k=1, expand=Expand.SECTION)
    (passage,) = context.passages
    document = corpus.store.documents.get(document_id(corpus))
    assert passage.section == "Valves"
    assert passage.text == document.text[document.text.index("Valves") : document.text.index("Gauges") - 4].rstrip()
    assert "\n\n \n" in passage.text  # the white space between chunks is the document's own
    assert passage.hits[0].chunk.id in {chunk.id for chunk in passage.chunks}
    assert context.dropped == 0
    assert context.tokens == len(corpus.embedder.token_spans(passage.text))
    assert_exact(context, corpus)


def test_a_hit_grows_to_its_document(corpus: Corpus) -> None:
    (passage,) = asked(corpus, k=1, expand=Expand.DOCUMENT).passages
    assert passage.text == corpus.store.documents.get(document_id(corpus)).text
    assert passage.section == ""


def test_hits_of_one_parent_merge_with_the_best_score(corpus: Corpus) -> None:
    query = Query("valves3word4 valves3word5 valves0word1 pumps1word1", COLLECTION, k=8)
    hits = search(query, corpus.retrieval).hits
    context = asked(corpus, query.text, k=8, expand=Expand.SECTION)
    assert len(context.passages) < len(hits)
    listed = [hit.chunk.id for passage in context.passages for hit in passage.hits]
    assert sorted(listed) == sorted(hit.chunk.id for hit in hits)
    for passage in context.passages:
        assert [hit.score for hit in passage.hits] == sorted((hit.score for hit in passage.hits), reverse=True)
    best = [passage.hits[0].score for passage in context.passages]
    assert best == sorted(best, reverse=True)
    assert_exact(context, corpus)


def test_nothing_grows_without_being_asked(corpus: Corpus) -> None:
    context = asked(corpus, k=5)
    assert [passage.text for passage in context.passages] == [
        passage.hits[0].chunk.text for passage in context.passages
    ]
    assert len(context.passages) == 5


@pytest.mark.parametrize("limit", [40, 70, 110])
def test_a_large_section_is_bounded_around_each_hit(
    corpus: Corpus, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    monkeypatch.setitem(LIMITS, Expand.SECTION, limit)
    monkeypatch.setitem(LIMITS, Expand.DOCUMENT, limit)
    for how in (Expand.SECTION, Expand.DOCUMENT):
        context = asked(corpus, "valves0word1 valves5word1 valves2word2", k=4, expand=how)
        assert_exact(context, corpus)
        for passage in context.passages:
            assert sum(chunk.tokens for chunk in passage.chunks) <= limit


def test_a_replaced_document_gives_its_hits_as_they_were(corpus: Corpus) -> None:
    chunks = chunks_of(corpus)
    stale = replace(chunks[2], text="another text")
    gone = replace(chunks[3], id=10**9, document_id=10**9)
    stretches = expand([Hit(stale, 1.0), Hit(gone, 0.5)], Expand.SECTION, corpus.store)
    assert [stretch.text for stretch in stretches][-1] == gone.text
    assert all(stretch.chunks == (stretch.hits[0].chunk,) or stale not in stretch.chunks for stretch in stretches)


def test_a_small_budget_is_spent_on_the_sentence_that_matters(corpus: Corpus) -> None:
    for budget in (30, 60, 200):
        context = asked(corpus, expand=Expand.DOCUMENT, compress=budget)
        assert context.tokens <= budget
        assert context.dropped > 0
        assert any("valves3word4 valves3word5" in passage.text for passage in context.passages)
        assert_exact(context, corpus)


def test_a_budget_larger_than_the_context_changes_nothing(corpus: Corpus) -> None:
    assert asked(corpus, expand=Expand.SECTION, compress=100_000) == asked(corpus, expand=Expand.SECTION)
