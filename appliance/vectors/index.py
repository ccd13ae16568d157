"""The vectors of one collection, ready to be searched: exact while it is small, a graph when it is large.

Everything here is a shadow of the database. It can be thrown away at any time and is made again from the VectorSource.
"""

import errno
import threading
import time
from pathlib import Path

import numpy as np
import structlog

from appliance.errors import ApplianceError, DiskFull, StorageError
from appliance.faults import reached
from appliance.telemetry.metrics import INDEX_REBUILDS, INDEX_REFUSED
from appliance.types import Ids, Matrix, Vector
from appliance.vectors import build, generation, nearest, recall, verify
from appliance.vectors.build import Form
from appliance.vectors.exact import ExactScan, Hits
from appliance.vectors.graph import Graph
from appliance.vectors.job import Job, Jobs, Work
from appliance.vectors.source import VectorSource
from appliance.vectors.status import IndexStatus, job_status, on_disk

DEAD_SHARE = 0.2  # of a graph's vectors; beyond it the graph is built anew
SNAPSHOT_EVERY, SNAPSHOT_SHARE = 5_000, 0.1  # changes, share of the collection: a start replays little more than that
EARLY_REMOVALS = 100_000
RETRY_S, RETRY_REFUSED_S = 60.0, 3600.0  # after a job that began by itself and failed

_log = structlog.get_logger(__name__)


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
        self._jobs = Jobs(directory.name)
        self._not_before = 0.0  # no job begins by itself before that

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
            index._begin_by_itself("rebuild", loaded, index._make_anew)
        else:
            index._generation, index._state, index._unsaved = loaded
            index._care_for(index._state)
        return index

    def search(self, vector: Vector, k: int, eligible: Ids | None = None) -> Hits:
        """(chunk id, cosine) of the `k` nearest, best first; `eligible` (ascending ids) restricts them, losing none.

        Raises ValueError for a vector of another shape or with values that are not finite.
        """
        if vector.shape != (self._form.dimensions,) or not np.isfinite(vector).all():
            raise ValueError(f"a question's vector must be {self._form.dimensions} finite numbers")
        return nearest.search(self._state, self._source, vector, k, eligible) if k > 0 else []

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Make committed vectors (n, dimensions) searchable; ids that are held already are left as they are."""
        with self._change:
            wanted = np.array([chunk_id not in self._early for chunk_id in ids.tolist()], dtype=np.bool_)
            self._state.add(ids[wanted], build.as_stored(vectors[wanted]))
            self._unsaved += len(ids)
            state, unsaved = self._state, self._unsaved
        if isinstance(state, Graph) and unsaved >= max(SNAPSHOT_EVERY, SNAPSHOT_SHARE * state.held.count):
            self._snapshot_or_log()
        self._care_for(state)

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
        self._care_for(state)

    def purge(self, ids: Ids) -> None:
        """Remove vectors so that no file holds them; their rows must be gone from the database before.

        `remove` only hides a vector: it stays in the graph and in its files. When this returns, neither the graph nor
        any generation on disk holds one of `ids` or one removed earlier; where one did, a new graph has been built
        without them (minutes for a large collection; search goes on). Calling it again, after a crash for instance,
        does what is left to do. Raises StorageError; then it is not done.
        """
        self.remove(ids)

        def purge(job: Job) -> dict[str, float]:
            if isinstance(self._state, Graph) and self._state.held.dead:
                self._make_anew(job)
            return self._keep_only_current()

        self._jobs.run("purge", "purged", purge)

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
        """Make everything anew from the database and return when it serves.

        Raises StorageError: the new graph finds too little (index_refused) or does not fit into memory (index_memory),
        and the one before serves; or it serves but could not be written.
        """
        self._jobs.run("rebuild", "asked", self._make_anew)

    def verify(self) -> list[str]:
        """What differs from the database, one line each: ids, vectors of a sample, and how well a graph finds them."""
        job = Job("verify", "asked", time.time())
        found = verify.problems(self._state, self._source, job)
        if found:  # a commit whose vectors were just about to be added is no problem: look again
            time.sleep(1)
            found = verify.problems(self._state, self._source, job)
        return found

    def status(self) -> IndexStatus:
        state, held, job = self._state, self._state.held, self._jobs.current
        measured = state.recall if isinstance(state, Graph) else None
        return IndexStatus(
            kind="exact" if isinstance(state, ExactScan) else "hnsw",
            vectors=held.count,
            removed=held.dead,
            dead_share=round(held.dead / len(held.ids), 4) if len(held.ids) else 0.0,
            recall=None if measured is None else measured.value,
            ef=state.ef if isinstance(state, Graph) else None,
            generation=self._generation,
            building=job is not None,
            job=job_status(job),
            last=self._jobs.last,
            generations=on_disk(self._directory, self._generation),
        )

    def close(self) -> None:
        """Stop building and write a generation; failing to write is logged, it costs only time at the next start."""
        self._jobs.close()
        self._snapshot_or_log()

    def _make_anew(self, job: Job) -> dict[str, float]:
        """Build beside what serves, measure, and switch; the work of a rebuild. Raises StorageError, Stopped."""
        INDEX_REBUILDS.labels(job.reason).inc()
        new = build.anew(self._source, self._form, job)
        figures: dict[str, float] = {}
        if isinstance(new, Graph):
            measured = recall.measure(new, self._source, job)
            figures = {"recall": measured.value, "ef": measured.ef}
            if measured.value < recall.LEAST:
                raise _refused(measured.value)
            new.measured(measured)
            build.catch_up(new, self._source, job, after=build.last(new))
        job.at("switching")
        reached("rebuild.built")
        with self._change:
            build.complete(new, self._source)
            self._state, self._unsaved, self._generation = new, 1, None
        reached("rebuild.switched")
        job.at("writing")
        if isinstance(new, Graph):
            self.snapshot()
        else:
            self._remove_files_or_log()
        return {"vectors": new.held.count, **figures}

    def _measure(self, job: Job) -> dict[str, float]:
        """Measure the graph that serves, which has grown since, and widen its searches if need be."""
        state = self._state
        if not isinstance(state, Graph):
            return {}
        measured = recall.measure(state, self._source, job)
        with self._change:
            state.measured(measured)
            self._unsaved += 1
        if measured.value < recall.LEAST:
            return self._make_anew(job)
        return {"recall": measured.value, "ef": measured.ef}

    def _keep_only_current(self) -> dict[str, float]:
        if self._generation is None:
            self.snapshot()
        try:
            generation.remove_all(self._directory, but=self._generation)
        except OSError as error:
            raise _disk_error(error, self._directory) from error
        return {}

    def _care_for(self, state: ExactScan | Graph) -> None:
        """Begin in the background what the size of the index or its dead vectors call for."""
        if isinstance(state, ExactScan):
            if state.held.count > self._form.exact_scan_below:
                self._begin_by_itself("rebuild", "grown", self._make_anew)
        elif state.held.dead > DEAD_SHARE * len(state.held.ids):
            self._begin_by_itself("rebuild", "removed", self._make_anew)
        elif recall.is_due(state):
            self._begin_by_itself("measure", "grown", self._measure)

    def _begin_by_itself(self, name: str, reason: str, work: Work) -> None:
        if time.monotonic() < self._not_before:
            return

        def guarded(job: Job) -> dict[str, float]:
            try:
                return work(job)
            except (ApplianceError, MemoryError) as error:
                refused = isinstance(error, ApplianceError) and error.code == "index_refused"
                self._not_before = time.monotonic() + (RETRY_REFUSED_S if refused else RETRY_S)
                raise

        self._jobs.begin(name, reason, guarded)

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


def _refused(value: float) -> StorageError:
    INDEX_REFUSED.inc()
    return StorageError(
        f"The new index finds only {value:.1%} of the nearest vectors ({recall.LEAST:.0%} are needed); it was dropped, "
        "and the one before serves.",
        code="index_refused",
        hint="Run `rag-appliance index rebuild` again. If it is refused again, raise `exact_scan_below` above the size "
        "of the collection: search is then exact.",
    )


def _disk_error(error: OSError, directory: Path) -> StorageError:
    message = f"The index in {directory} cannot be written: {error.strerror or error}."
    if error.errno == errno.ENOSPC:
        return DiskFull(message, hint="Free some space; the index is written again later, and nothing else is lost.")
    return StorageError(message, code="index_unwritable", hint="Give the index folder to the user of the appliance.")
