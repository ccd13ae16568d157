"""Query -> SearchResult: candidates -> fuse -> exact terms -> neighbours -> rerank -> collapse, diversify -> hits."""

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial

from appliance.search.ahead import Ahead
from appliance.search.analyse import shape
from appliance.search.candidates import Candidates, candidates, wanted
from appliance.search.diversify import diversified
from appliance.search.duplicates import collapsed
from appliance.search.exact import exact_bonus
from appliance.search.fuse import Ranking, fuse
from appliance.search.neighbours import MOST, in_context
from appliance.search.plan import Defaults, Plan, plan_for
from appliance.search.rerank import Reranking, rerank, with_vectors, word_weights
from appliance.search.rewrite import Rewording, joined
from appliance.store import LexicalResult, Store
from appliance.telemetry.stages import Stages
from appliance.telemetry.tracing import note
from appliance.types import Chunk, Embedder, Hit, Ids, Query, Reranker, SearchResult, Vector
from appliance.vectors import CollectionIndex

ReadChunks = Callable[[Sequence[int]], dict[int, Chunk]]

NOT_REWORDED = Rewording()
POOL = 50  # hits that collapsing and diversifying choose from, or twice k where that is more


@dataclass(frozen=True, slots=True)
class Retrieval:
    """What a search needs: the documents, the model that encodes the question, the index of a collection by name, the
    reranker if there is one, what a question leaves open, and whether too much is asked at once to rerank by a model.
    With a `pool` words are searched for while the question is encoded and compared.
    """

    store: Store
    embedder: Embedder
    index: Callable[[str], CollectionIndex]
    reranker: Reranker | None = None
    defaults: Defaults = field(default_factory=Defaults)
    busy: Callable[[], bool] = lambda: False
    pool: ThreadPoolExecutor | None = None


def search(
    query: Query, retrieval: Retrieval, deadline: float = math.inf, rewording: Rewording = NOT_REWORDED
) -> SearchResult:
    """The best `query.k` chunks, best first; fewer when there are no more.

    `alpha` 0 gives exactly the order of BM25, 1 exactly the order of the cosines, unless the question itself asks for
    more; between them, and by default, the two are fused, the best with the words of their neighbours; chunks that hold
    an identifier of the question to the letter come first, and the best are reranked. What `rewording` finds is fused
    with what the question itself finds, which weighs most. `deadline` is a `time.monotonic()` value: what would pass it
    is left out, and `notice` says so. Raises StorageError, and InvalidRequest when reranking is asked for and there is
    no reranker.
    """
    kind = shape(query.text)
    asked = _Asked(query, retrieval, plan_for(query, kind, retrieval.defaults, retrieval.reranker), Stages())
    stages, plan = asked.stages, asked.plan
    with stages.stage("filter"):
        eligible = (
            None if query.filters is None else retrieval.store.documents.eligible(query.collection, query.filters)
        )
    words = asked.words(query, eligible)
    exact = asked.exact_terms(eligible) if plan.exact_terms else None
    vector = asked.vector(query.text)
    with retrieval.store.snapshot():
        meanwhile = exact.hasten if exact else lambda: None
        found = candidates(query, vector, eligible, words, retrieval.index, stages, meanwhile)
        hits = asked.hits(found, exact, asked.reworded(rewording, eligible))
        idf = asked.idf()
    reranking = asked.reranked(hits, vector, idf, deadline)
    with stages.stage("select"):
        chosen = _select(reranking.hits, plan, query, retrieval.index)
    notice = " ".join(filter(None, (rewording.notice, reranking.notice)))
    return SearchResult(
        tuple(chosen), kind, plan.alpha, found.exact, vector, stages.ms,
        fusion=plan.fusion, reranked=reranking.done, notice=notice,
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Asked:
    """A search under way, step by step."""

    query: Query
    retrieval: Retrieval
    plan: Plan
    stages: Stages

    def words(self, query: Query, eligible: Ids | None) -> Ahead[LexicalResult]:
        """The best by the words of the question, or of another wording of it."""
        lexical, most = self.retrieval.store.lexical, wanted(query)
        work = lambda: lexical.search(query.collection, query.text, most, eligible, sure=query.k)  # noqa: E731
        return Ahead(work, self.retrieval.pool)

    def exact_terms(self, eligible: Ids | None) -> Ahead[dict[int, float]]:
        query, store = self.query, self.retrieval.store
        return Ahead(lambda: exact_bonus(store, query.collection, query.text, eligible), self.retrieval.pool)

    def vector(self, text: str) -> Vector:
        with self.stages.stage("embed"):
            note(model=self.retrieval.embedder.name)
            return self.retrieval.embedder.embed_query(text)

    def reworded(self, rewording: Rewording, eligible: Ids | None) -> list[Ranking]:
        """A ranking for each rewriting of the question; a passage is searched for by its meaning alone."""
        alpha = 1.0 if rewording.passage else self.plan.alpha
        rankings: list[Ranking] = []
        for text in rewording.texts:
            query = self.query.but(text=text)
            words = self.words(query, eligible)
            found = candidates(query, self.vector(text), eligible, words, self.retrieval.index, self.stages)
            rankings.append(fuse(found.dense, found.lexical, alpha, self.plan.fusion, found.known))
        return rankings

    def hits(
        self, found: Candidates, exact: Ahead[dict[int, float]] | None, reworded: Sequence[Ranking]
    ) -> Sequence[Hit]:
        """What the later stages look at, best first: all rankings fused, with the exact terms and the neighbours."""
        query, plan, store, stages = self.query, self.plan, self.retrieval.store, self.stages
        with stages.stage("fuse"):
            fused = fuse(found.dense, found.lexical, plan.alpha, plan.fusion, found.known)
            note(fusion=plan.fusion.value, alpha=plan.alpha, dense=len(found.dense), lexical=len(found.lexical))
            if reworded:
                fused = joined(fused, reworded)
        bonus = exact.result(stages, "fuse") if exact else {}
        with stages.stage("fetch"):
            depth = _depth(plan, query.k, self.retrieval.reranker)
            read = partial(store.documents.chunks_of, query.collection)
            hits = _hits(with_bonus(fused, bonus), bonus, found, depth, read)
        if not plan.neighbours or not found.lexical or not found.dense or reworded:
            return hits
        with stages.stage("fuse"):
            return in_context(hits, query, plan.alpha, store)

    def idf(self) -> Mapping[str, float]:
        """What a reranker is told of the question's words, as they are in the state that the hits are of."""
        wanted = self.plan.rerank and self.retrieval.reranker is not None
        return word_weights(self.query, self.retrieval.store) if wanted else {}

    def reranked(self, hits: Sequence[Hit], vector: Vector, idf: Mapping[str, float], deadline: float) -> Reranking:
        query, retrieval = self.query, self.retrieval
        with self.stages.stage("rerank"):
            if not self.plan.rerank or retrieval.reranker is None:
                return Reranking(hits)
            busy, index = retrieval.busy(), retrieval.index(query.collection)
            found = rerank(hits, query, vector, retrieval.reranker, idf, index, deadline=deadline, busy=busy)
            note(reranker=retrieval.reranker.name, done=found.done)
            return found


def with_bonus(ranked: Ranking, bonus: dict[int, float]) -> list[tuple[int, float]]:
    """Add the bonus to the scores; a chunk that only the search for the exact term found starts at 0."""
    if not bonus:
        return list(ranked)
    scores = dict(ranked)
    for chunk, extra in bonus.items():
        scores[chunk] = scores.get(chunk, 0.0) + extra
    return sorted(scores.items(), key=lambda pair: -pair[1])


def _depth(plan: Plan, k: int, reranker: Reranker | None) -> int:
    """How many hits the stages after the fusion look at."""
    depths = [k, MOST if plan.neighbours else 0]
    if plan.collapse or plan.diversify < 1:
        depths.append(max(POOL, 2 * k))
    if plan.rerank and reranker is not None:
        depths.append(reranker.most)
    return max(depths)


def _select(hits: Sequence[Hit], plan: Plan, query: Query, index: Callable[[str], CollectionIndex]) -> Sequence[Hit]:
    """The `query.k` hits that are shown."""
    if plan.diversify < 1:
        hits = collapsed(hits, len(hits)) if plan.collapse else hits
        hits, vectors = with_vectors(hits, index(query.collection))
        return diversified(hits, plan.diversify, query.k, vectors)
    return collapsed(hits, query.k) if plan.collapse else hits[: query.k]


def _hits(ranked: Ranking, bonus: dict[int, float], found: Candidates, most: int, read: ReadChunks) -> list[Hit]:
    """The first `most` that are still stored: a document may have been deleted since its vector was found."""
    dense, lexical, cosines = _ranks(found.dense), _ranks(found.lexical), found.known.cosines
    hits: list[Hit] = []
    for start in range(0, len(ranked), most):
        part = ranked[start : start + most]
        chunks = read([item for item, _ in part])
        for item, score in part:
            if item in chunks and len(hits) < most:
                dense_rank, cosine = dense.get(item, (None, cosines.get(item)))
                lexical_rank, bm25 = lexical.get(item, (None, None))
                exact = bonus.get(item, 0.0)
                hits.append(Hit(chunks[item], score, dense_rank, lexical_rank, cosine, bm25, exact, score))
        if len(hits) == most:
            break
    return hits


def _ranks(ranking: Ranking) -> dict[int, tuple[int | None, float | None]]:
    return {item: (rank, score) for rank, (item, score) in enumerate(ranking, 1)}
