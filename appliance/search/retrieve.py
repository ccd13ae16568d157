"""Query -> SearchResult: dense and lexical candidates, fused; exact terms first."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from appliance.search.analyse import DEFAULT_ALPHA, shape
from appliance.search.exact import exact_bonus
from appliance.search.fuse import Ranking, convex
from appliance.store import Store
from appliance.telemetry.stages import Stages
from appliance.types import Embedder, Hit, Ids, Query, SearchResult, Vector
from appliance.vectors import CollectionIndex

CANDIDATES = 100  # taken from each part, or k where that is more


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a search needs: the documents, the model that encodes the question, the index of a collection by name."""

    store: Store
    embedder: Embedder
    index: Callable[[str], CollectionIndex]


@dataclass(frozen=True, slots=True)
class _Found:
    """Candidates of both parts; `cosines` are those of ids that only the lexical part found."""

    dense: Ranking
    lexical: Ranking
    cosines: dict[int, float]
    floor: float  # BM25 assumed for ids that only the dense part found
    exact: bool


def search(query: Query, retrieval: Retrieval) -> SearchResult:
    """The best `query.k` chunks, best first; fewer when there are no more.

    `alpha` 0 gives exactly the order of BM25, 1 exactly the order of the cosines; between them, and by default, the two
    are fused and chunks that hold an identifier of the question to the letter come first. Raises StorageError.
    """
    stages = Stages()
    kind = shape(query.text)
    alpha = DEFAULT_ALPHA[kind] if query.alpha is None else query.alpha
    with stages.stage("embed"):
        vector = retrieval.embedder.embed_query(query.text)
    with stages.stage("filter"):
        eligible = _eligible(query, retrieval.store)
    found = _candidates(query, retrieval, vector, eligible, stages)
    with stages.stage("fuse"):
        ranked = convex(found.dense, found.lexical, alpha, cosines=found.cosines, floor=found.floor)
        if 0 < alpha < 1:
            bonus = exact_bonus(retrieval.store, query.collection, query.text, eligible)
            ranked = with_bonus(ranked, bonus)
    with stages.stage("fetch"):
        hits = _hits(ranked, found, query.k, retrieval.store)
    return SearchResult(hits, kind, alpha, found.exact, vector, stages.ms)


def with_bonus(ranked: Ranking, bonus: dict[int, float]) -> list[tuple[int, float]]:
    """Add the bonus to the scores; a chunk that only the search for the exact term found starts at 0."""
    if not bonus:
        return list(ranked)
    scores = dict(ranked)
    for chunk, extra in bonus.items():
        scores[chunk] = scores.get(chunk, 0.0) + extra
    return sorted(scores.items(), key=lambda pair: -pair[1])


def _eligible(query: Query, store: Store) -> Ids | None:
    return None if query.filters is None else store.documents.eligible(query.collection, query.filters)


def _candidates(query: Query, retrieval: Retrieval, vector: Vector, eligible: Ids | None, stages: Stages) -> _Found:
    if eligible is not None and not len(eligible):
        return _Found((), (), {}, 0.0, True)
    wanted = max(CANDIDATES, query.k)
    index = retrieval.index(query.collection)
    with stages.stage("dense"):
        dense = index.search(vector, wanted, eligible)
    with stages.stage("lexical"):
        lexical = retrieval.store.lexical.search(query.collection, query.text, wanted, eligible)
    with stages.stage("dense"):
        seen = {chunk for chunk, _ in dense}
        unseen = np.array(sorted(chunk for chunk, _ in lexical.rows if chunk not in seen), dtype=np.int64)
        cosines = dict(index.search(vector, len(unseen), unseen)) if len(unseen) else {}
    full = len(lexical.rows) >= wanted
    return _Found(dense, lexical.rows, cosines, lexical.rows[-1][1] if full else 0.0, lexical.exact)


def _hits(ranked: Ranking, found: _Found, k: int, store: Store) -> tuple[Hit, ...]:
    """The first k that are still stored: a document may have been deleted since its vector was found."""
    dense, lexical = _ranks(found.dense), _ranks(found.lexical)
    hits: list[Hit] = []
    for start in range(0, len(ranked), k):
        part = ranked[start : start + k]
        chunks = store.documents.chunks([item for item, _ in part])
        for item, score in part:
            if item in chunks and len(hits) < k:
                dense_rank, cosine = dense.get(item, (None, found.cosines.get(item)))
                lexical_rank, bm25 = lexical.get(item, (None, None))
                hits.append(Hit(chunks[item], score, dense_rank, lexical_rank, cosine, bm25))
        if len(hits) == k:
            break
    return tuple(hits)


def _ranks(ranking: Sequence[tuple[int, float]]) -> dict[int, tuple[int | None, float | None]]:
    return {item: (rank, score) for rank, (item, score) in enumerate(ranking, 1)}
