"""Hits -> Context: the stretches around them, compressed to a budget of tokens."""

from collections.abc import Sequence

from msgspec.structs import replace

from appliance.evidence import rank_sentences, read_question, sentences_of
from appliance.search.compress import Line, Source, compress, count
from appliance.search.expand import Stretch, expand
from appliance.search.retrieve import Retrieval
from appliance.telemetry.stages import Stages
from appliance.types import Context, ContextPassage, Expand, Hit, Piece, Query, SearchResult

MOST_SENTENCES = 1000  # looked at in one compression, the best passages first; what lies behind them is left out


def with_context(query: Query, found: SearchResult, retrieval: Retrieval, *, most: int | None = None) -> SearchResult:
    """The result with the context that its best `most` hits hand on.

    They are expanded as `query.expand` says, within `query.compress` tokens (0: all). The budget is in the embedder's
    tokens and never passed; passages keep the order of their best hits, pieces that of the document. Raises
    StorageError.
    """
    stages = Stages()
    with stages.stage("expand"):
        stretches = expand(found.hits[:most], query.expand or Expand.NONE, retrieval.store)
    with stages.stage("compress"):
        context = _fitted(query, found, stretches, retrieval)
    return replace(found, context=context, timings={**found.timings, **stages.ms})


def _fitted(query: Query, found: SearchResult, stretches: Sequence[Stretch], retrieval: Retrieval) -> Context:
    before = sum(chunk.tokens for stretch in stretches for chunk in stretch.chunks)
    if not query.compress or before <= query.compress:
        whole = [(Piece(item.chunks[0].start, item.chunks[-1].end, item.text),) for item in stretches]
        return Context(_passages(stretches, whole), before, 0)
    kept = compress(_sources(query, found, stretches, retrieval), query.compress, retrieval.embedder)
    passages = _passages(stretches, kept)
    tokens = sum(count(passage.text, retrieval.embedder) for passage in passages)
    return Context(passages, tokens, before - tokens)


def _passages(stretches: Sequence[Stretch], kept: Sequence[tuple[Piece, ...]]) -> tuple[ContextPassage, ...]:
    return tuple(
        ContextPassage(item.hits, item.chunks, pieces) for item, pieces in zip(stretches, kept, strict=True) if pieces
    )


def _sources(query: Query, found: SearchResult, stretches: Sequence[Stretch], retrieval: Retrieval) -> list[Source]:
    """The stretches with their sentences, each with its score as an answer to the question."""
    hits = [_as_hit(stretch, at) for stretch in stretches for at in range(len(stretch.chunks))]
    sentences = sentences_of(hits, retrieval.store, retrieval.embedder.fingerprint, most=MOST_SENTENCES)
    ranked = rank_sentences(read_question(query, retrieval.store), found.query_vector, sentences)
    lines: dict[int, list[Line]] = {}
    for item in ranked:
        sentence, chunk = item.sentence, item.sentence.hit.chunk
        line = Line(chunk.start + sentence.start, chunk.start + sentence.end, item.score, sentence.heading)
        lines.setdefault(chunk.id, []).append(line)
    return [_source(stretch, lines) for stretch in stretches]


def _as_hit(stretch: Stretch, at: int) -> Hit:
    """A chunk of a stretch as a hit: its own where it is one, else with the score of the best one there."""
    chunk = stretch.chunks[at]
    own = next((hit for hit in stretch.hits if hit.chunk.id == chunk.id), None)
    return own or replace(stretch.hits[0], chunk=chunk)


def _source(stretch: Stretch, lines: dict[int, list[Line]]) -> Source:
    """Lines by position; where chunks overlap, a line that begins inside the one before it is left out."""
    offset = stretch.chunks[0].start
    own = sorted((line for chunk in stretch.chunks for line in lines.get(chunk.id, ())), key=lambda line: line.start)
    apart: list[Line] = []
    for line in own:
        if not apart or line.start - offset >= apart[-1].end:
            apart.append(Line(line.start - offset, line.end - offset, line.worth, line.heading))
    return Source(stretch.text, offset, apart)
