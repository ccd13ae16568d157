"""What serves now and the generation it has on disk: changed, saved and replaced by one thread at a time."""

import errno
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from appliance.errors import DiskFull, StorageError
from appliance.faults import reached
from appliance.types import Ids, Matrix
from appliance.vectors import build, generation
from appliance.vectors.behind import Behind
from appliance.vectors.build import Form
from appliance.vectors.exact import ExactScan
from appliance.vectors.graph import Graph
from appliance.vectors.nearest import State
from appliance.vectors.source import VectorSource

EARLY_REMOVALS = 100_000
SAVED_EVERY, SAVED_SHARE = 5_000, 0.1  # changes, share of the collection: a start replays little more than that


class Current:
    """`state` may be searched at any time. `unsaved` counts the changes since the generation `number` was written."""

    def __init__(self, directory: Path, source: VectorSource, form: Form) -> None:
        self.directory = directory
        self.source = source
        self.form = form
        self.state: State = ExactScan(form.dimensions)
        self.number: int | None = None
        self.unsaved = 0
        self._early: dict[int, None] = {}  # removed before they were added, oldest first
        self._change = threading.Lock()

    def add(self, ids: Ids, vectors: Matrix) -> None:
        """Make vectors searchable, but for those that were removed already or are held."""
        with self._change:
            wanted = np.array([chunk_id not in self._early for chunk_id in ids.tolist()], dtype=np.bool_)
            self.state.add(ids[wanted], build.as_stored(vectors[wanted]))
            self.unsaved += len(ids)

    def remove(self, ids: Ids) -> None:
        """Ascending ids that are to be found no more, also when they are added only later."""
        with self._change:
            known = self.state.held.known(ids)
            for chunk_id in ids[~known].tolist():
                self._early[chunk_id] = None
            while len(self._early) > EARLY_REMOVALS:
                del self._early[next(iter(self._early))]
            self.state.remove(ids)
            self.unsaved += int(np.count_nonzero(known))

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Changes wait until the block ends."""
        with self._change:
            yield

    @property
    def is_due(self) -> bool:
        """Whether so much has changed that a generation should be written."""
        return self.unsaved >= max(SAVED_EVERY, SAVED_SHARE * self.state.held.count)

    def touch(self) -> None:
        """Something worth saving has changed beside the vectors."""
        with self._change:
            self.unsaved += 1

    def switch(self, new: ExactScan | Graph) -> None:
        """Let a newly built index serve, level with the database."""
        with self._change:
            build.complete(new, self.source)
            self.state, self.unsaved, self.number = new, 1, None
        reached("rebuild.switched")

    def caught_up(self, behind: Behind) -> None:
        """Let a graph from disk serve alone. Raises DiskFull, StorageError: it serves, and is not on disk."""
        with self._change:
            graph = behind.whole()
            self.unsaved += build.complete(graph, self.source)
            self.state = graph
        if self.is_due:
            self.save()

    def switch_back(self, graph: Graph, number: int, changes: int) -> None:
        """Let the graph of a generation on disk, to which so many `changes` were made, serve level with the database.

        Raises StorageError.
        """
        with self._change:
            changes += build.complete(graph, self.source)
            try:
                generation.switch(self.directory, number)
            except OSError as error:
                raise disk_error(error, self.directory) from error
            self.state, self.unsaved, self.number = graph, changes, number
        reached("rollback.switched")

    def save(self) -> None:
        """Write a generation, if there is a graph and anything has changed. Raises DiskFull, StorageError."""
        with self._change:  # the graph and its manifest must say the same
            if not isinstance(self.state, Graph) or (not self.unsaved and self.number):
                return
            try:
                self.number = generation.write(self.directory, self.state, self.form.fingerprint)
            except OSError as error:
                raise disk_error(error, self.directory) from error
            self.unsaved = 0

    def keep_no_other(self) -> None:
        """Remove every generation on disk but the one that serves. Raises StorageError."""
        if self.number is None:
            self.save()
        try:
            generation.remove_all(self.directory, but=self.number)
        except OSError as error:
            raise disk_error(error, self.directory) from error


def disk_error(error: OSError, directory: Path) -> StorageError:
    """The same in terms of an operator."""
    message = f"The index in {directory} cannot be written: {error.strerror or error}."
    if error.errno == errno.ENOSPC:
        return DiskFull(message, hint="Free some space; the index is written again later, and nothing else is lost.")
    return StorageError(message, code="index_unwritable", hint="Give the index folder to the user of the appliance.")
