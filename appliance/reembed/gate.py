"""The quality gate: two models answer the same questions over the same passages; the new one must not be worse."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from statistics import mean
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.collections import Serving
from appliance.ingest.breaker import Stopped
from appliance.ingest.unit import context_of
from appliance.priority import give_way
from appliance.reembed.sample import KnownItem, known_items
from appliance.reembed.spec import AskedQuestion, ChangeSpec
from appliance.store import Store
from appliance.types import Hit, Passage, Query, SearchResult

K = 10
# One-sided 95 % of the normal distribution: a fall counts when chance alone would hardly show it. Without this a few
# dozen questions refuse the same model in another precision as often as not.
CONFIDENCE = 1.645
ENOUGH = 50  # questions with an answer; fewer prove too little on their own
HELD_OUT_BATCH = 16

Ranks: TypeAlias = Sequence[int | None]  # of what was to be found, None beyond K
Measured: TypeAlias = tuple[Ranks, Sequence[float]]  # with the seconds of each search
Floats: TypeAlias = NDArray[np.float64]
Find = Callable[[Query, Serving], SearchResult]  # as questions are served


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one model: share of questions whose passage is among the first K, mean reciprocal rank, times of a search."""

    recall: float
    mrr: float
    p50_ms: float
    p95_ms: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Questions of one kind, put to both models. `overlap` is the mean share of the first K hits in common.

    `recall_fell` and `mrr_fell`: by how much the new model is worse at least (see CONFIDENCE).

    Kinds: `judged` (the operator's, what must be found is named), `plain` (the operator's, without), `known-item`
    (sentences of passages, as served) and `held-out` (the same, by the vectors alone, taken out of their passages).
    """

    kind: str
    questions: int
    old: Figures
    new: Figures
    recall_fell: float
    mrr_fell: float
    overlap: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """All comparisons, what was allowed, and each reason (a sentence) why the new model counts as worse."""

    old_model: str
    new_model: str
    comparisons: list[Comparison]
    tolerance: float
    min_overlap: float
    worse: list[str] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        return asdict(self)


class Gate:
    """Compares what serves with what is to serve. Gives way to questions between its own."""

    def __init__(self, store: Store, find: Find, busy: Callable[[], bool], stopped: threading.Event) -> None:
        self._store = store
        self._find = find
        self._busy = busy
        self._stopped = stopped

    def compare(self, collection: str, spec: ChangeSpec, old: Serving, new: Serving) -> Report:
        """Put the operator's questions to both, and a sample of known items unless ENOUGH questions name an answer.

        An empty collection gives no comparison and nothing worse. Raises StorageError, ModelError, Stopped.
        """
        judged = [asked for asked in spec.questions if asked.judged]
        plain = [asked for asked in spec.questions if not asked.judged]
        done = []
        if judged:
            done.append(self._served("judged", collection, [(a.question, _wanted(a)) for a in judged], old, new))
        if plain:
            done.append(self._served("plain", collection, [(a.question, None) for a in plain], old, new))
        if len(judged) < ENOUGH:
            items = known_items(self._store, collection)
            if items:
                served = [(item.question, _same_chunk(item)) for item in items]
                done += [self._served("known-item", collection, served, old, new), self._held_out(items, old, new)]
        report = Report(old.embedder.name, new.embedder.name, done, spec.tolerance, spec.min_overlap)
        report.worse.extend(worse(report, bool(self._store.documents.chunk_ids(collection).size)))
        return report

    def _served(
        self,
        kind: str,
        collection: str,
        questions: Sequence[tuple[str, Callable[[Hit], bool] | None]],
        old: Serving,
        new: Serving,
    ) -> Comparison:
        ranks: tuple[list[int | None], list[int | None]] = ([], [])
        times: tuple[list[float], list[float]] = ([], [])
        overlaps = []
        for text, wanted in questions:
            self._pause()
            first: list[set[int]] = []
            for serving, its_ranks, its_times in zip((old, new), ranks, times, strict=True):
                started = time.perf_counter()
                hits = self._find(Query(text, collection, k=K), serving).hits
                its_times.append(time.perf_counter() - started)
                its_ranks.append(next((i for i, hit in enumerate(hits, 1) if wanted and wanted(hit)), None))
                first.append({hit.chunk.id for hit in hits})
            overlaps.append(len(first[0] & first[1]) / max(1, len(first[0]), len(first[1])))
        return _comparison(kind, (ranks[0], times[0]), (ranks[1], times[1]), round(mean(overlaps), 4))

    def _held_out(self, items: Sequence[KnownItem], old: Serving, new: Serving) -> Comparison:
        before, after = self._held_out_ranks(items, old), self._held_out_ranks(items, new)
        return _comparison("held-out", before, after, None)

    def _held_out_ranks(self, items: Sequence[KnownItem], serving: Serving) -> Measured:
        """The rank of each passage without its sentence among all other passages whole, None beyond K."""
        ranks: list[int | None] = []
        times = []
        for item, vector in self._vectors(items, serving):
            started = time.perf_counter()
            question = serving.embedder.embed_query(item.question)
            hits = serving.index.search(question, K + 1)
            times.append(time.perf_counter() - started)
            own = float(question @ vector)
            rank = 1 + sum(score > own for chunk, score in hits if chunk != item.chunk.id)
            ranks.append(rank if rank <= K else None)
        return ranks, times

    def _vectors(self, items: Sequence[KnownItem], serving: Serving) -> Iterator[tuple[KnownItem, Any]]:
        for start in range(0, len(items), HELD_OUT_BATCH):
            self._pause()
            batch = items[start : start + HELD_OUT_BATCH]
            passages = [Passage(context_of(item.chunk.title, item.chunk.section), item.rest) for item in batch]
            for item, made in zip(batch, serving.embedder.embed_passages(passages), strict=True):
                yield item, made.vector

    def _pause(self) -> None:
        if self._stopped.is_set():
            raise Stopped
        give_way(self._busy, self._stopped)


def worse(report: Report, any_chunks: bool) -> list[str]:
    """Why the new model counts as worse, a sentence each: nothing when it may serve."""
    found = []
    for made in report.comparisons:
        if made.kind == "plain":
            if made.overlap is not None and made.overlap < report.min_overlap:
                found.append(
                    f"{made.overlap:.0%} of the first {K} hits are the same for your questions; "
                    f"at least {report.min_overlap:.0%} were wanted."
                )
            continue
        if made.kind == "judged" and not made.old.recall and not made.new.recall:
            found.append("Neither model finds what your questions name: do their sources or documents exist?")
        for name, old, new, fell in (
            (f"Recall@{K}", made.old.recall, made.new.recall, made.recall_fell),
            (f"MRR@{K}", made.old.mrr, made.new.mrr, made.mrr_fell),
        ):
            if fell > report.tolerance:
                found.append(
                    f"{name} of {made.questions} {made.kind} questions falls from {old:.3f} to {new:.3f}, "
                    f"which is by {fell:.3f} at least; {report.tolerance:g} is allowed."
                )
    if any_chunks and not any(made.kind in {"judged", "held-out"} for made in report.comparisons):
        found.append("The passages are too short to make questions of; give your own questions.")
    return found


def _comparison(kind: str, old: Measured, new: Measured, overlap: float | None) -> Comparison:
    (old_ranks, old_s), (new_ranks, new_s) = old, new
    return Comparison(
        kind=kind,
        questions=len(old_ranks),
        old=_figures(old_ranks, old_s),
        new=_figures(new_ranks, new_s),
        recall_fell=_fell(_found(old_ranks), _found(new_ranks)),
        mrr_fell=_fell(_gains(old_ranks), _gains(new_ranks)),
        overlap=overlap,
    )


def _fell(old: Floats, new: Floats) -> float:
    """By how much the mean has fallen at least, by the standard error of the paired differences; 0 if it may not have.

    The error is taken a question larger than it is seen, so that a handful of questions that all agree prove little.
    """
    fell = np.append(old - new, [0.0])
    least = float(fell[:-1].mean() - CONFIDENCE * fell.std(ddof=1) / np.sqrt(len(fell)))
    return round(max(0.0, least), 4)


def _figures(ranks: Ranks, seconds: Sequence[float]) -> Figures:
    p50, p95 = np.percentile(seconds, [50, 95]) * 1000
    return Figures(
        recall=round(float(_found(ranks).mean()), 4),
        mrr=round(float(_gains(ranks).mean()), 4),
        p50_ms=round(float(p50), 2),
        p95_ms=round(float(p95), 2),
    )


def _found(ranks: Ranks) -> Floats:
    return np.array([rank is not None for rank in ranks], dtype=np.float64)


def _gains(ranks: Ranks) -> Floats:
    return np.array([1 / rank if rank else 0.0 for rank in ranks])


def _wanted(asked: AskedQuestion) -> Callable[[Hit], bool]:
    def found(hit: Hit) -> bool:
        if asked.document is not None:
            return hit.chunk.document_id == asked.document
        source = asked.source or ""
        return hit.chunk.source == source or hit.chunk.source.endswith(f"/{source}")

    return found


def _same_chunk(item: KnownItem) -> Callable[[Hit], bool]:
    return lambda hit: hit.chunk.id == item.chunk.id
