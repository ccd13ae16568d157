"""The vectors of one collection, ready to be searched: exact while it is small, a graph when it is large.

Everything here is a shadow of the database. It can be thrown away at any time and is made again from the VectorSource.
"""

import errno
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from appliance.errors import ApplianceError, DiskFull, StorageError
from appliance.faults import reached
from appliance.telemetry.metrics import INDEX_REBUILDS
from appliance.types import Ids, Matrix, Vector
from appliance.vectors import build, generation, verify
from appliance.vectors.build import Form, VectorSource
from appliance.vectors.exact import ExactScan, Hits, best
from appliance.vectors.graph import Graph

DEAD_SHARE = 0.2  # of a graph's vectors; beyond it the graph is built anew
SNAPSHOT_EVERY, SNAPSHOT_SHARE = 5_000, 0.1  # changes, share of the collection: a start replays little more than that
EXACT_ELIGIBLE = 1_000  # so few eligible vectors are read from the database and compared one by one
WIDEST = 1_000  # most neighbours a filtered search asks the graph for
EARLY_REMOVALS = 100_000
READ_AT_ONCE = 4_096
RETRY_BUILD_S = 60.0

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """`removed` vectors are in memory but not found; `generation` is the one on disk; `building` a new graph now."""

    kind: Literal["exact", "hnsw"]
    vectors: int
    removed: int
    generation: int | None
    building: bool


class CollectionIndex:
    """Search over one collection. Thread-safe: searches go on beside changes and beside the building of a graph."""

    def __init__(self, directory: Path, source: VectorSource, form: Form) -> None:
        self._directory = directory
        self._source = source
        self._form = form
        self._state: ExactScan | Graph = ExactScan(form.dimensions)
        self._generation: int | None = None
        self._unsaved = 0  # changes since the last generation
        self._early: dict[int, None] = {}  # removed before they were added, oldest first
        self._change = threading.Lock()  # one change at a time
        self._build = threading.Lock()  # one build at a time
        self._builder: threading.Thread | None = None
        self._build_not_before = 0.0
        self._closing = threading.Event()

    @classmethod
    def open(
        cls,
        directory: Path,
        source: VectorSource,
        *,
        dimensions: int,
        fingerprint: str,
        exact_scan_below: int,
        threads: int,
    ) -> "CollectionIndex":
        """Make a collection searchable: load its newest usable generation and replay what came later.

        Up to `exact_scan_below` vectors nothing is kept on disk. Where a graph is due but none is usable, search is
        exact until a graph has been built in the background.
        """
        index = cls(directory, source, Form(dimensions, fingerprint, exact_scan_below, threads))
        ids = source.ids()
        if len(ids) <= exact_scan_below:
            index._state = build.exact(source, index._form, len(ids))
            index._remove_files_or_log()
            return index
        loaded = build.load(directory, source, index._form, ids)
        if isinstance(loaded, str):
            index._state = build.exact(source, index._form, len(ids))
            index._build_in_background(loaded)
        else:
            index._generation, index._state, index._unsaved = loaded
        return index

    def search(self, vector: Vector, k: int, eligible: Ids | None = None) -> Hits:
        """(chunk id, cosine) of the `k` nearest, best first; `eligible` (ascending ids) restricts them, losing none.

        Raises ValueError for a vector of another shape or with values that are not finite.
        """
        if vector.shape != (self._form.dimensions,) or not np.isfinite(vector).all():
            raise ValueError(f"a question's vector must be {self._form.dimensions} finite numbers")
        if k < 1:
            return []
        state = self._state
        if isinstance(state, ExactScan):
            return state.search(vector, k, eligible)
        if eligible is not None:
            return self._search_eligible(state, vector, k, eligible)
        ids, scores = state.search(vector, k)
        if len(ids) < min(k, state.held.count):
            return self._search_source(vector, k, state.held.ids[state.held.live])
        return best(ids, scores, k)

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Make committed vectors (n, dimensions) searchable; ids that are held already are left as they are."""
        with self._change:
            wanted = np.array([chunk_id not in self._early for chunk_id in ids.tolist()], dtype=np.bool_)
            self._state.add(ids[wanted], build.as_stored(vectors[wanted]))
            self._unsaved += len(ids)
            state, unsaved = self._state, self._unsaved
        if isinstance(state, ExactScan):
            if state.held.count > self._form.exact_scan_below:
                self._build_in_background("grown")
        elif unsaved >= max(SNAPSHOT_EVERY, SNAPSHOT_SHARE * state.held.count):
            self._snapshot_or_log()

    def remove(self, ids: Ids) -> None:
        """Those are found no more, also when they are added only later."""
        ids = np.sort(ids)
        with self._change:
            state = self._state
            for chunk_id in ids[~state.held.known(ids)].tolist():
                self._early[chunk_id] = None
            while len(self._early) > EARLY_REMOVALS:
                del self._early[next(iter(self._early))]
            state.remove(ids)
            self._unsaved += len(ids)
        if isinstance(state, Graph) and state.held.dead > DEAD_SHARE * len(state.held.ids):
            self._build_in_background("removed")

    def purge(self, ids: Ids) -> None:
        """Remove vectors so that no file holds them; their rows must be gone from the database before.

        `remove` only hides a vector: it stays in the graph and in its files. When this returns, neither the graph nor
        any generation on disk holds one of `ids`; where one did, a new graph has been built without them (minutes for
        a large collection; search goes on). Calling it again, after a crash for instance, does what is left to do.
        Raises StorageError; then it is not done.
        """
        self.remove(ids)
        with self._build:
            state = self._state
            if isinstance(state, Graph) and state.held.known(np.sort(ids)).any():
                self._make_anew("purged")
            if self._closing.is_set():
                raise StorageError(
                    "The index was being closed; the vectors are not yet purged.",
                    code="closing",
                    hint="Try again when the appliance is back.",
                )
            if self._generation is None and isinstance(self._state, Graph):
                self.snapshot()
            try:
                generation.remove_all(self._directory, but=self._generation)
            except OSError as error:
                raise _disk_error(error, self._directory) from error

    def snapshot(self) -> None:
        """Write a generation, if there is a graph and anything has changed. Raises DiskFull, StorageError."""
        with self._change:  # the graph and its manifest must say the same
            state = self._state
            if not isinstance(state, Graph) or (not self._unsaved and self._generation):
                return
            try:
                self._generation = generation.write(self._directory, state, self._form.fingerprint)
            except OSError as error:
                raise _disk_error(error, self._directory) from error
            self._unsaved = 0

    def rebuild(self) -> None:
        """Make everything anew from the database and return when it serves. Raises StorageError."""
        self._rebuild("asked")

    def verify(self) -> list[str]:
        """What differs from the database, one line each: ids, vectors of a sample, and how well a graph finds them."""
        found = verify.problems(self._state, self._source)
        if found:  # a commit whose vectors were just about to be added is no problem: look again
            time.sleep(1)
            found = verify.problems(self._state, self._source)
        return found

    def status(self) -> IndexStatus:
        state = self._state
        return IndexStatus(
            kind="exact" if isinstance(state, ExactScan) else "hnsw",
            vectors=state.held.count,
            removed=state.held.dead,
            generation=self._generation,
            building=self._build.locked(),
        )

    def close(self) -> None:
        """Stop building and write a generation; failing to write is logged, it costs only time at the next start."""
        self._closing.set()
        if self._builder is not None:
            self._builder.join()
        self._snapshot_or_log()

    def _search_eligible(self, graph: Graph, vector: Vector, k: int, eligible: Ids) -> Hits:
        """The graph is asked for more neighbours the fewer are eligible; where that is not enough, each is compared."""
        held = graph.held
        rows = held.positions(eligible)
        if not len(rows):
            return []
        width = k + int(1.5 * k * held.count / len(rows))
        if len(rows) > EXACT_ELIGIBLE and width <= WIDEST:
            ids, scores = graph.search(vector, width)
            places = np.minimum(np.searchsorted(eligible, ids), len(eligible) - 1)
            passing = eligible[places] == ids
            if np.count_nonzero(passing) >= min(k, len(rows)):
                return best(ids[passing], scores[passing], k)
        return self._search_source(vector, k, held.ids[rows])

    def _search_source(self, vector: Vector, k: int, ids: Ids) -> Hits:
        """Compare with the stored vectors of `ids`, some at a time."""
        top: Hits = []
        for start in range(0, len(ids), READ_AT_ONCE):
            found, vectors = self._source.some(ids[start : start + READ_AT_ONCE])
            top = sorted([*top, *best(found, vectors @ vector, k)], key=lambda hit: (-hit[1], hit[0]))[:k]
        return top

    def _rebuild(self, reason: str) -> None:
        with self._build:
            self._make_anew(reason)

    def _make_anew(self, reason: str) -> None:
        started = time.monotonic()
        INDEX_REBUILDS.labels(reason).inc()
        _log.info("index_build_started", index=self._directory.name, reason=reason)
        new = build.anew(self._source, self._form, self._closing)
        if new is None:
            return  # closing
        reached("rebuild.built")
        with self._change:
            build.complete(new, self._source)
            self._state, self._unsaved, self._generation = new, 1, None
        reached("rebuild.switched")
        seconds = round(time.monotonic() - started, 1)
        _log.info("index_built", index=self._directory.name, vectors=new.held.count, seconds=seconds)
        if isinstance(new, Graph):
            self._snapshot_or_log()
        else:
            self._remove_files_or_log()

    def _build_in_background(self, reason: str) -> None:
        with self._change:
            busy = self._builder is not None and self._builder.is_alive()
            if busy or self._closing.is_set() or time.monotonic() < self._build_not_before:
                return
            self._builder = threading.Thread(
                target=self._rebuild_or_log, args=(reason,), name=f"index-{self._directory.name}", daemon=True
            )
            self._builder.start()

    def _rebuild_or_log(self, reason: str) -> None:
        try:
            self._rebuild(reason)
        except (ApplianceError, MemoryError) as error:
            self._build_not_before = time.monotonic() + RETRY_BUILD_S
            _log.error("index_build_failed", index=self._directory.name, reason=reason, error=str(error))

    def _remove_files_or_log(self) -> None:
        try:
            generation.remove_all(self._directory)
        except OSError as error:
            _log.warning("index_files_left", index=self._directory.name, error=str(error))

    def _snapshot_or_log(self) -> None:
        try:
            self.snapshot()
        except StorageError as error:
            _log.warning("index_snapshot_failed", index=self._directory.name, error=str(error), hint=error.hint)


def _disk_error(error: OSError, directory: Path) -> StorageError:
    message = f"The index in {directory} cannot be written: {error.strerror or error}."
    if error.errno == errno.ENOSPC:
        return DiskFull(message, hint="Free some space; the index is written again later, and nothing else is lost.")
    return StorageError(message, code="index_unwritable", hint="Give the index folder to the user of the appliance.")
