"""The best candidates once more, by a model that reads question and passage together."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import structlog
from msgspec.structs import replace

from appliance.errors import DeadlineExceeded, ModelError
from appliance.store import Store
from appliance.types import Candidate, Chunk, Hit, Matrix, Query, Reranker, RerankRequest, Vector
from appliance.vectors import CollectionIndex
from appliance.words import FUNCTION_WORDS, words

SHARE_OF_TIME = 0.5  # of what is left to the question
MOST_WORDS = 200  # of a question that are looked up

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Reranking:
    """The hits in their new order, or in the old one with the reason."""

    hits: Sequence[Hit]
    done: bool = False
    notice: str = ""


def rerank(
    hits: Sequence[Hit],
    query: Query,
    vector: Vector,
    reranker: Reranker,
    idf: Mapping[str, float],
    index: CollectionIndex,
    *,
    deadline: float,
    busy: bool,
) -> Reranking:
    """The first `reranker.most` hits by its scores, the others behind them as they were.

    The bonus of exact terms is added to the new scores (0..1) as it was to the fused ones, so an identifier stays
    first. A question is served without reranking rather than late or not at all. `idf` is that of the question's words,
    see `word_weights`. Raises StorageError.
    """
    if not hits:
        return Reranking(hits, done=True)
    if busy and not reranker.cheap:
        return Reranking(hits, notice="Many questions are being worked on: the passages were not reranked.")
    first, vectors = with_vectors(hits[: reranker.most], index)
    rest = hits[reranker.most :]
    now = time.monotonic()
    try:
        scores = reranker.scores(_request(query, vector, first, vectors, idf, now + (deadline - now) * SHARE_OF_TIME))
    except DeadlineExceeded:
        return Reranking(hits, notice="There was no time to rerank the passages.")
    except ModelError as error:
        log.warning("reranker_failed", code=error.code, detail=str(error))
        return Reranking(hits, notice="The reranker cannot be used: the passages were not reranked.")
    scored = [hit.reranked(score) for hit, score in zip(first, scores, strict=True)]
    fall = fall_to(scored, rest)
    followers = [replace(hit, score=hit.score + fall) for hit in rest]
    return Reranking([*sorted(scored, key=lambda hit: -hit.score), *followers], done=True)


def word_weights(query: Query, store: Store) -> Mapping[str, float]:
    """The inverse document frequency of the question's words. Raises StorageError."""
    topical = (word for word in words(query.text) if word.lower() not in FUNCTION_WORDS)  # the lists of others are long
    return store.lexical.term_weights(query.collection, list(dict.fromkeys(topical))[:MOST_WORDS])


def fall_to(scored: Sequence[Hit], rest: Sequence[Hit]) -> float:
    """What is added to the scores of hits that were not looked at again: they stay below those of the others."""
    return min(0.0, min(hit.score for hit in scored) - rest[0].score) if rest else 0.0


def with_vectors(hits: Sequence[Hit], index: CollectionIndex) -> tuple[list[Hit], Matrix]:
    """The hits whose vectors are still stored, and these (n, dimensions), in their order. Raises StorageError."""
    wanted = np.array([hit.chunk.id for hit in hits], dtype=np.int64)
    ids, vectors = index.some(wanted)
    if len(ids) == len(hits):  # most often
        return list(hits), vectors[np.searchsorted(ids, wanted)]
    rows = {chunk: row for row, chunk in enumerate(ids.tolist())}
    kept = [hit for hit in hits if hit.chunk.id in rows]
    return kept, vectors[[rows[hit.chunk.id] for hit in kept]]


def _request(
    query: Query, vector: Vector, hits: Sequence[Hit], vectors: Matrix, idf: Mapping[str, float], deadline: float
) -> RerankRequest:
    candidates = [Candidate(_context(hit.chunk), hit.chunk.text, hit.fused_score - hit.exact_score) for hit in hits]
    return RerankRequest(query.text, vector, idf, candidates, vectors, deadline)


def _context(chunk: Chunk) -> str:
    return f"{chunk.title}\n{chunk.section}" if chunk.title and chunk.section else chunk.title or chunk.section
