"""The vectors of one collection, ready to be searched: exact while it is small, a graph when it is large.

Everything here is a shadow of the database. It can be thrown away at any time and is made again from the VectorSource.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import structlog

from appliance.errors import ApplianceError, Conflict, StorageError
from appliance.types import Ids, Matrix, Vector
from appliance.vectors import build, generation, lifecycle, nearest, recall, verify
from appliance.vectors.behind import Behind
from appliance.vectors.build import Form
from appliance.vectors.current import Current
from appliance.vectors.exact import ExactScan, Hits
from appliance.vectors.graph import Graph
from appliance.vectors.job import Job, Jobs
from appliance.vectors.links import Links, WrongLinksError, read_links
from appliance.vectors.nearest import State
from appliance.vectors.source import VectorSource
from appliance.vectors.status import IndexCounts, IndexStatus, index_counts, index_status

DEAD_SHARE = 0.2  # of a graph's vectors; beyond it the graph is compacted
RETRY_S, RETRY_REFUSED_S = 60.0, 3600.0  # after a job that began by itself and failed

Work = Callable[[Current, Job], dict[str, float]]
COMMANDS: dict[str, Work] = {
    "rebuild": lifecycle.rebuild,
    "compact": lifecycle.compact,
    "rollback": lifecycle.roll_back,
}

_log = structlog.get_logger(__name__)


class CollectionIndex:
    """Search over one collection. Thread-safe: searches go on beside changes and beside the building of a graph."""

    def __init__(self, directory: Path, source: VectorSource, form: Form) -> None:
        self._current = Current(directory, source, form)
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
        current, ids = index._current, source.ids()
        if len(ids) <= exact_scan_below:
            current.state = build.exact(source, current.form, len(ids))
            index._or_log(current.keep_no_other)
            return index
        loaded = build.load(directory, source, current.form, ids)
        if isinstance(loaded, str):
            current.state = build.meanwhile(source, current.form, ids)
            index._begin_by_itself("rebuild", loaded, lifecycle.rebuild)
        else:
            current.number, current.state, current.unsaved = loaded
            index._care_for(current.state)
        return index

    def search(self, vector: Vector, k: int, eligible: Ids | None = None) -> Hits:
        """(chunk id, cosine) of the `k` nearest, best first; `eligible` (ascending ids) restricts them, losing none.

        Raises ValueError for a vector of another shape or with values that are not finite.
        """
        dimensions = self._current.form.dimensions
        if vector.shape != (dimensions,) or not np.isfinite(vector).all():
            raise ValueError(f"a question's vector must be {dimensions} finite numbers")
        return nearest.search(self._current.state, vector, k, eligible) if k > 0 else []

    def cosines(self, vector: Vector, ids: Ids) -> dict[int, float]:
        """Of those of some chunk ids (ascending) that exist, with a vector that was searched for."""
        return nearest.cosines(self._current.state, vector, ids) if len(ids) else {}

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        """Those of the chunk ids that exist, ascending, with their vectors (n, dimensions). Raises StorageError."""
        state = self._current.state
        if isinstance(state, ExactScan | Graph):
            held, vectors = state.some(ids)
            if len(held) == len(ids):  # what was committed a moment ago may not be held yet
                return held, vectors
        return self._current.source.some(ids)

    @property
    def is_graph(self) -> bool:
        """Whether it is searched by walking through a graph, rather than by looking at every vector."""
        return not isinstance(self._current.state, ExactScan)

    def prepare(self, vectors: Matrix) -> None:
        """These (n, dimensions) will be searched for soon: what can be done for all of them at once is done now."""
        state = self._current.state
        if isinstance(state, ExactScan):
            state.prepare(vectors)

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Make committed vectors (n, dimensions) searchable; ids that are held already are left as they are."""
        self._current.add(ids, vectors)
        state = self._current.state
        if self._current.is_due:
            self._or_log(self._current.save)
        self._care_for(state)

    def remove(self, ids: Ids) -> None:
        """Those are found no more, also when they are added only later."""
        self._current.remove(np.sort(ids))
        self._care_for(self._current.state)

    def purge(self, ids: Ids) -> None:
        """Remove vectors so that no file holds them; their rows must be gone from the database before.

        `remove` only hides a vector: it stays in the graph and in its files. When this returns, neither the graph nor
        any generation on disk holds one of `ids`, or one removed earlier; where one did, a new graph has been built
        without them (minutes for a large collection; search goes on). Calling it again, after a crash for instance,
        does what is left to do. Raises StorageError; then it is not done.
        """
        self._current.remove(np.sort(ids))
        self._jobs.run("purge", "purged", lambda job: lifecycle.compact(self._current, job))

    def snapshot(self) -> None:
        """Write a generation, if there is a graph and anything has changed. Raises DiskFull, StorageError."""
        self._current.save()

    def links(self) -> tuple[Links, Ids] | None:
        """Those of the graph as it is now, and the chunk id of each node; None where there is no graph on disk, or one
        with vectors that were removed. Raises DiskFull, StorageError.
        """
        self.snapshot()
        with self._current.unchanged():
            if self._current.number is None:
                return None
            path = self._current.directory / str(self._current.number) / generation.GRAPH_FILE
            try:
                return read_links(path, self._current.form.dimensions)
            except (WrongLinksError, FileNotFoundError):
                return None

    def rebuild(self) -> None:
        """Make everything anew from the database and return when it serves.

        Raises StorageError: the new graph finds too little (index_refused) or does not fit into memory (index_memory),
        and the one before serves; or it serves but could not be written.
        """
        self._jobs.run("rebuild", "asked", lambda job: lifecycle.rebuild(self._current, job))

    def begin(
        self, name: Literal["rebuild", "compact", "rollback"], then: Callable[[Job], dict[str, float]] | None = None
    ) -> None:
        """Do it in the background, `then` what follows when it is done; `status` tells how far it is and how it ended.

        Raises Conflict when other work on this index is under way (index_busy), or when there is nothing to roll back
        to (no_previous_generation).
        """
        if name == "rollback":
            lifecycle.previous(self._current)

        def work(job: Job) -> dict[str, float]:
            return COMMANDS[name](self._current, job) | (then(job) if then else {})

        if not self._jobs.begin(name, "asked", work):
            job = self._jobs.current
            raise Conflict(
                f"The index is being worked on already ({job.name if job else 'closing'}).",
                code="index_busy",
                hint="`index status` shows how far it is; try again when it is done.",
            )

    def verify(self) -> list[str]:
        """What differs from the database, one line each: ids, vectors of a sample, and how well a graph finds them.

        Where a first look finds anything, changes wait for a second one, and what differs in both counts.
        """
        job = Job("verify", "asked", time.time())
        first = verify.look(self._current.state, self._current.source, job)
        if not first.lines():
            return []
        time.sleep(1)  # a commit whose vectors are just about to be added is no problem
        with self._current.unchanged():
            return verify.look(self._current.state, self._current.source, job).lines(first)

    @property
    def job(self) -> Job | None:
        """The long work under way."""
        return self._jobs.current

    def status(self) -> IndexStatus:
        return index_status(self._current, self._jobs)

    def counts(self) -> IndexCounts:
        """The figures of `status` that need no look at the disk."""
        return index_counts(self._current, self._jobs)

    def close(self) -> None:
        """Stop building and write a generation; failing to write is logged, it costs only time at the next start."""
        self._jobs.close()
        self._or_log(self._current.save)

    def _care_for(self, state: State) -> None:
        """Begin in the background what the size of the index or its dead vectors call for."""
        if isinstance(state, Behind):
            self._begin_by_itself("replay", "behind", lifecycle.replay)
        elif not isinstance(state, Graph):
            if state.held.count > self._current.form.exact_scan_below:
                self._begin_by_itself("rebuild", "grown", lifecycle.rebuild)
        elif state.held.dead > DEAD_SHARE * len(state.held.ids):
            self._begin_by_itself("compact", "removed", lifecycle.compact)
        elif recall.is_due(state):
            self._begin_by_itself("measure", "grown", lifecycle.measure)

    def _begin_by_itself(self, name: str, reason: str, work: Work) -> None:
        if time.monotonic() < self._not_before:
            return

        def guarded(job: Job) -> dict[str, float]:
            try:
                return work(self._current, job)
            except (ApplianceError, MemoryError) as error:
                refused = isinstance(error, ApplianceError) and error.code == "index_refused"
                self._not_before = time.monotonic() + (RETRY_REFUSED_S if refused else RETRY_S)
                raise

        self._jobs.begin(name, reason, guarded)

    def _or_log(self, write: Callable[[], None]) -> None:
        try:
            write()
        except StorageError as error:
            name = self._current.directory.name
            _log.warning("index_not_written", index=name, error=str(error), hint=error.hint)
