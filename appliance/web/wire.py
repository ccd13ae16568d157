"""Questions, hits and answers as they travel: names here are a contract with programs outside this repository."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from appliance.errors import InvalidFilter, InvalidRequest
from appliance.search import filter_from_json
from appliance.types import (
    Answer,
    Citation,
    Claim,
    Context,
    ContextPassage,
    Expand,
    Fusion,
    Hit,
    Mode,
    Query,
    Rewrite,
    SearchResult,
    Turn,
)
from appliance.web.understood import SELF_QUERY, UnderstoodBody, understood_body


class TurnBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An earlier turn: `{"question", "answer"}`, or a chat message `{"role", "content"}`; a system's is not used."""

    question: str | None = None
    answer: str | None = None
    role: Literal["user", "assistant", "system"] | None = None
    content: str | None = None


class SearchRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A question for passages. Without `alpha` the shape of the question decides between keywords and meaning."""

    question: str
    k: Annotated[int, Meta(description="How many passages.")] = 10
    collection: str = "default"
    filters: Annotated[
        dict[str, Any] | str | None, Meta(description='`{"year": {">=": 2020}}`, or `year >= 2020 and author = "Ada"`.')
    ] = None
    alpha: Annotated[float | None, Meta(description="0 (keywords only) to 1 (meaning only).")] = None
    expand: Annotated[Expand | None, Meta(description="What a hit grows to in the context.")] = None
    compress: Annotated[int | None, Meta(description="Budget of the context in tokens; 0 keeps all of it.")] = None
    rewrite: Annotated[Rewrite | None, Meta(description="What the generator makes of the question first.")] = None
    history: Annotated[list[TurnBody], Meta(description="The conversation so far, oldest first.")] = []
    fusion: Annotated[Fusion, Meta(description="How both rankings become one; auto is the setting.")] = Fusion.AUTO
    rerank: Annotated[bool | None, Meta(description="Read the best passages again; null is the setting.")] = None
    collapse: Annotated[bool | None, Meta(description="Leave out near duplicates; null is the setting.")] = None
    diversify: Annotated[float | None, Meta(description="Lambda of MMR, 0 to 1 (as ranked); null is the setting.")] = (
        None
    )
    self_query: Annotated[
        bool | Literal["suggest"] | None,
        Meta(description="Read filters out of the question: true applies them, `suggest` only shows them."),
    ] = None


class QueryRequest(SearchRequest, forbid_unknown_fields=True, frozen=True):
    """A question for an answer. Mode generative lets the model write and checks each sentence; `stream` gives SSE."""

    mode: Mode = Mode.AUTO
    stream: bool = False


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
    """Tokens of the generator; zeros for an extractive answer."""

    prompt_tokens: int
    completion_tokens: int


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


class AnswerBody(AnswerCore, frozen=True):
    """An answer, or a refusal (`abstained`) with its `reason` and the `nearest` passages. Times are milliseconds."""

    timings: dict[str, float]
    cache_hit: bool
    latency_ms: float
    query_id: str


class SearchBody(msgspec.Struct, frozen=True):
    """Passages, best first, and how they were found. Times are milliseconds."""

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
    latency_ms: float
    query_id: str


def to_query(asked: SearchRequest, principal: str) -> Query:
    """Raises InvalidFilter."""
    return Query(
        text=asked.question,
        collection=asked.collection,
        k=asked.k,
        filters=None if asked.filters is None else _filter(asked.filters),
        alpha=asked.alpha,
        expand=asked.expand,
        compress=asked.compress,
        rewrite=asked.rewrite,
        history=turns(asked.history),
        fusion=asked.fusion,
        rerank=asked.rerank,
        collapse=asked.collapse,
        diversify=asked.diversify,
        self_query=None if asked.self_query is None else SELF_QUERY[asked.self_query],
        mode=asked.mode if isinstance(asked, QueryRequest) else Mode.AUTO,
        principal=principal,
    )


def turns(history: Sequence[TurnBody]) -> tuple[Turn, ...]:
    """Both forms of a history as turns; an assistant's message answers the user's before it. Raises InvalidRequest."""
    found: list[Turn] = []
    for item in history:
        if item.role is None and item.question is not None and item.content is None:
            found.append(Turn(item.question, item.answer or ""))
        elif item.role is None or item.content is None or item.question is not None or item.answer is not None:
            raise InvalidRequest(
                "A turn of the history is neither a question with its answer nor a message.",
                code="invalid_history",
                hint='Send {"question": "…", "answer": "…"} or {"role": "user", "content": "…"} for each turn.',
            )
        elif item.role == "user":
            found.append(Turn(item.content))
        elif item.role == "assistant" and found:
            found[-1] = Turn(found[-1].question, f"{found[-1].answer} {item.content}".strip())
    return tuple(found)


def _filter(given: dict[str, Any] | str) -> Any:
    try:
        return filter_from_json(given)
    except RecursionError:
        raise InvalidFilter("The filter is nested too deeply.", hint="Use fewer levels of and, or, not.") from None


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
        usage=UsageBody(answer.usage.prompt_tokens, answer.usage.completion_tokens),
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
        latency_ms=latency_ms,
        query_id=query_id,
    )


def milliseconds(timings: Any) -> dict[str, float]:
    return {stage: round(float(value), 3) for stage, value in timings.items()}
