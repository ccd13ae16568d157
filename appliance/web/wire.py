"""Hits and answers as they travel: names here are a contract with programs outside this repository."""

from typing import Any

import msgspec

from appliance.types import (
    Answer,
    Citation,
    Claim,
    Context,
    ContextPassage,
    Hit,
    SearchResult,
    Usage,
)
from appliance.web.understood import UnderstoodBody, understood_body


class CitationBody(msgspec.Struct, frozen=True):
    """An exact place: characters `[start, end)` of the document's canonical text are `quote`."""

    document_id: int
    source: str
    title: str
    page: int | None
    start: int
    end: int
    quote: str


class ClaimBody(msgspec.Struct, frozen=True):
    """One sentence of an answer and the places that hold it up."""

    text: str
    supported: bool
    citations: list[CitationBody]


class HitBody(msgspec.Struct, frozen=True):
    """A passage: characters `[start, end)` of its document. Ranks count from 1; null = not found by that part.

    `score` is what it is ranked by: `rerank_score` plus `exact_score` where it was reranked, else `fused_score`.
    `duplicates` are the chunks that were left out because they say the same.
    """

    chunk_id: int
    document_id: int
    source: str
    title: str
    section: str
    page: int | None
    start: int
    end: int
    text: str
    score: float
    dense_rank: int | None
    lexical_rank: int | None
    dense_score: float | None
    lexical_score: float | None
    exact_score: float
    fused_score: float
    rerank_score: float | None
    duplicates: list[int]


class PieceBody(msgspec.Struct, frozen=True):
    """What was kept in one stretch: characters `[start, end)` of the document are `text`."""

    start: int
    end: int
    text: str


class PassageBody(msgspec.Struct, frozen=True):
    """A stretch `[start, end)` of a document around the hits `chunk_ids` (best first). `text` is its pieces in one."""

    document_id: int
    source: str
    title: str
    section: str
    page: int | None
    start: int
    end: int
    score: float
    chunk_ids: list[int]
    text: str
    pieces: list[PieceBody]


class ContextBody(msgspec.Struct, frozen=True):
    """What the hits hand on, expanded and compressed. `tokens` it has, `dropped` were left out: the embedder's."""

    passages: list[PassageBody]
    tokens: int
    dropped: int


class SourceBody(msgspec.Struct, frozen=True):
    """A document that the answer cites, and on which pages."""

    document_id: int
    source: str
    title: str
    pages: list[int]


class UsageBody(msgspec.Struct, frozen=True):
    """What the answer took when it was made: the generator's tokens (none for an extractive answer), seconds of one
    core and watt-hours (estimates), and the tokens that compression kept from the generator.
    """

    prompt_tokens: int
    completion_tokens: int
    compute_s: float = 0.0
    watt_hours: float = 0.0
    compression_saved_tokens: int = 0


class AnswerCore(msgspec.Struct, frozen=True):
    """What the cache keeps of an answer: everything that does not belong to one request."""

    answer: str
    sources: list[SourceBody]
    claims: list[ClaimBody]
    abstained: bool
    reason: str | None
    mode: str
    notice: str
    condensed_question: str
    understood: UnderstoodBody | None
    nearest: list[HitBody]
    usage: UsageBody
    route: str
    prompt_id: str


class AnswerBody(AnswerCore, frozen=True):
    """An answer, or a refusal (`abstained`) with its `reason` and the `nearest` passages. Times are milliseconds.

    `cache` names the layer of the cache that it came from: `memory`, `disk`, `stale` (from before an ingestion),
    `semantic` (made for an earlier `answered_question`); empty where it was made for this request.
    """

    timings: dict[str, float]
    cache_hit: bool
    cache: str
    answered_question: str
    latency_ms: float
    query_id: str


class SearchBody(msgspec.Struct, frozen=True):
    """Passages, best first, and how they were found; `cache_hit` where that was done earlier. Times in milliseconds."""

    hits: list[HitBody]
    shape: str
    alpha: float
    fusion: str
    reranked: bool
    notice: str
    lexical_exact: bool
    condensed_question: str
    understood: UnderstoodBody | None
    context: ContextBody | None
    timings: dict[str, float]
    cache_hit: bool
    latency_ms: float
    query_id: str


def claim_body(claim: Claim) -> ClaimBody:
    return ClaimBody(claim.text, claim.supported, [_citation(citation) for citation in claim.citations])


def _citation(place: Citation) -> CitationBody:
    return CitationBody(place.document_id, place.source, place.title, place.page, place.start, place.end, place.quote)


def hit_body(hit: Hit) -> HitBody:
    chunk = hit.chunk
    return HitBody(
        chunk_id=chunk.id,
        document_id=chunk.document_id,
        source=chunk.source,
        title=chunk.title,
        section=chunk.section,
        page=chunk.page,
        start=chunk.start,
        end=chunk.end,
        text=chunk.text,
        score=float(hit.score),
        dense_rank=hit.dense_rank,
        lexical_rank=hit.lexical_rank,
        dense_score=None if hit.dense_score is None else float(hit.dense_score),
        lexical_score=None if hit.lexical_score is None else float(hit.lexical_score),
        exact_score=float(hit.exact_score),
        fused_score=float(hit.fused_score),
        rerank_score=None if hit.rerank_score is None else float(hit.rerank_score),
        duplicates=list(hit.duplicates),
    )


def context_body(context: Context) -> ContextBody:
    return ContextBody([_passage(passage) for passage in context.passages], context.tokens, context.dropped)


def _passage(passage: ContextPassage) -> PassageBody:
    first = passage.chunks[0]
    return PassageBody(
        document_id=first.document_id,
        source=first.source,
        title=first.title,
        section=passage.section,
        page=first.page,
        start=passage.start,
        end=passage.end,
        score=float(passage.hits[0].score),
        chunk_ids=[hit.chunk.id for hit in passage.hits],
        text=passage.text,
        pieces=[PieceBody(piece.start, piece.end, piece.text) for piece in passage.pieces],
    )


def answer_core(answer: Answer) -> AnswerCore:
    return AnswerCore(
        answer=answer.text,
        sources=_sources(answer),
        claims=[claim_body(claim) for claim in answer.claims],
        abstained=answer.abstained,
        reason=answer.reason.value if answer.reason else None,
        mode=answer.mode.value,
        notice=answer.notice,
        condensed_question=answer.condensed_question,
        understood=understood_body(answer.understood),
        nearest=[hit_body(hit) for hit in answer.hits] if answer.abstained else [],
        usage=usage_body(answer.usage),
        route=answer.route,
        prompt_id=answer.prompt_id,
    )


def usage_body(usage: Usage) -> UsageBody:
    return UsageBody(
        prompt_tokens=usage.prompt_tokens,
        completion_tokens=usage.completion_tokens,
        compute_s=usage.compute_s,
        watt_hours=usage.watt_hours,
        compression_saved_tokens=usage.compression_saved_tokens,
    )


def _sources(answer: Answer) -> list[SourceBody]:
    """The cited documents in the order of their first citation."""
    found: dict[int, SourceBody] = {}
    for citation in (citation for claim in answer.claims for citation in claim.citations):
        source = found.setdefault(
            citation.document_id, SourceBody(citation.document_id, citation.source, citation.title, [])
        )
        if citation.page is not None and citation.page not in source.pages:
            source.pages.append(citation.page)
    return list(found.values())


def search_body(found: SearchResult, latency_ms: float, query_id: str) -> SearchBody:
    return SearchBody(
        hits=[hit_body(hit) for hit in found.hits],
        shape=found.shape.value,
        alpha=float(found.alpha),
        fusion=found.fusion.value,
        reranked=found.reranked,
        notice=found.notice,
        lexical_exact=found.lexical_exact,
        condensed_question=found.condensed_question,
        understood=understood_body(found.understood),
        context=None if found.context is None else context_body(found.context),
        timings=milliseconds(found.timings),
        cache_hit=found.cached,
        latency_ms=latency_ms,
        query_id=query_id,
    )


def milliseconds(timings: Any) -> dict[str, float]:
    return {stage: round(float(value), 3) for stage, value in timings.items()}
