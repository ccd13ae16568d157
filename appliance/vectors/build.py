"""Makes what a CollectionIndex searches: a matrix or a graph, from the database or from a generation on disk."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import structlog

from appliance.types import Ids, Matrix
from appliance.vectors import generation
from appliance.vectors.exact import ExactScan
from appliance.vectors.generation import UnusableGenerationError
from appliance.vectors.graph import Graph

REPLAY_SHARE, REPLAY_LEAST = 0.2, 10_000  # of a collection, vectors; a generation that lacks more than both is stale
BUILD_SLICE = 1_024  # vectors added between two looks at whether to stop
NEARLY_COMPLETE = 500  # vectors; so few may be added while changes wait
SAMPLE = 64
LEAST_COSINE = 0.999  # of a vector in the index and the same in the database, which keeps float16

_log = structlog.get_logger(__name__)


class VectorSource(Protocol):
    """The truth about one collection: committed chunk ids, ascending, and their unit vectors."""

    def ids(self) -> Ids: ...

    def vectors(self, after: int) -> Iterator[tuple[Ids, Matrix]]:
        """Batches of ids above `after`, ascending, with (n, dimensions) vectors."""
        ...

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        """Those of the ids that exist, ascending, with their vectors."""
        ...


@dataclass(frozen=True, slots=True)
class Form:
    """What an index is to be: `fingerprint` names the model of its vectors, `threads` bounds what building may use."""

    dimensions: int
    fingerprint: str
    exact_scan_below: int
    threads: int


def as_stored(vectors: Matrix) -> Matrix:
    """Rounded to float16 as the database keeps them, so that a search answers the same before and after a restart."""
    rounded: Matrix = vectors.astype(np.float16).astype(np.float32)
    lengths = np.sqrt(np.einsum("ij,ij->i", rounded, rounded))[:, None]
    np.divide(rounded, lengths, out=rounded, where=lengths > 0)
    return rounded


def exact(source: VectorSource, form: Form, count: int) -> ExactScan:
    """A matrix of everything in the database, `count` vectors or somewhat more."""
    scan = ExactScan(form.dimensions, count)
    for ids, vectors in source.vectors(0):
        scan.add(ids, vectors)
    return scan


def anew(source: VectorSource, form: Form, stop: threading.Event) -> ExactScan | Graph | None:
    """A matrix or a graph, by the size of the collection, nearly complete; None when `stop` was set meanwhile."""
    count = len(source.ids())
    if count <= form.exact_scan_below:
        return exact(source, form, count)
    graph = Graph(form.dimensions, threads=form.threads, capacity=count + count // 10)
    while True:
        before = len(graph.held.ids)
        for ids, vectors in source.vectors(_last(graph)):
            for start in range(0, len(ids), BUILD_SLICE):
                if stop.is_set():
                    return None
                part = slice(start, start + BUILD_SLICE)
                graph.add(ids[part], vectors[part], at_once=BUILD_SLICE)
        if len(graph.held.ids) - before < NEARLY_COMPLETE:
            return graph


def complete(state: ExactScan | Graph, source: VectorSource) -> None:
    """Bring it level with the database while no change is made elsewhere."""
    for ids, vectors in source.vectors(_last(state)):
        state.add(ids, vectors)
    state.remove(np.setdiff1d(state.held.ids, source.ids(), assume_unique=True))


def load(directory: Path, source: VectorSource, form: Form, ids: Ids) -> tuple[int, Graph, int] | str:
    """The first usable generation, level with the database (`ids`): (number, graph, changes made to it).

    Else the reason why there is none: missing, torn, foreign or stale.
    """
    reason = "missing"
    for attempt, number in enumerate(generation.numbers(directory)):
        try:
            graph = generation.load(
                directory, number, fingerprint=form.fingerprint, dimensions=form.dimensions, threads=form.threads
            )
            return number, graph, _replay(graph, source, ids) + attempt  # an older one is written again
        except UnusableGenerationError as error:
            reason = reason if attempt else str(error)
            _log.warning("index_generation_unusable", index=directory.name, generation=number, reason=str(error))
    return reason


def _replay(graph: Graph, source: VectorSource, ids: Ids) -> int:
    """Drop what the database no longer has and add what it has since; returns how many that were.

    Raises UnusableGenerationError when that would be too much, or when the graph holds other vectors than the database
    (one restored from a backup gives the same ids to other chunks).
    """
    held = graph.held
    gone = np.setdiff1d(held.ids[held.live], ids, assume_unique=True)
    missing = np.setdiff1d(ids, held.ids, assume_unique=True)
    if len(np.intersect1d(held.ids[~held.live], ids, assume_unique=True)):
        raise UnusableGenerationError("foreign")
    if len(missing) > max(REPLAY_LEAST, REPLAY_SHARE * len(ids)):
        raise UnusableGenerationError("stale")
    graph.remove(gone)
    _compare_sample(graph, source)
    if len(missing):
        for some, vectors in source.vectors(int(missing[0]) - 1):
            graph.add(some, vectors)
    return len(gone) + len(missing)


def _compare_sample(graph: Graph, source: VectorSource) -> None:
    """The newest vectors (the likeliest to differ) and a spread over all."""
    live = graph.held.ids[graph.held.live]
    spread = live[:: max(1, len(live) // SAMPLE)]
    ids, vectors = source.some(np.union1d(spread, live[-SAMPLE:]))
    if len(ids) and float(np.einsum("ij,ij->i", graph.vectors(ids), vectors).min()) < LEAST_COSINE:
        raise UnusableGenerationError("foreign")


def _last(state: ExactScan | Graph) -> int:
    return int(state.held.ids[-1]) if len(state.held.ids) else 0
