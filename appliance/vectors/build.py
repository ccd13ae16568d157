"""Makes what a CollectionIndex searches: a matrix or a graph, from the database or from a generation on disk."""

import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import structlog

from appliance.telemetry.metrics import INDEX_UNUSABLE
from appliance.types import Ids, Matrix
from appliance.vectors import generation, memory
from appliance.vectors.behind import Behind
from appliance.vectors.exact import ExactScan
from appliance.vectors.generation import UnusableGenerationError
from appliance.vectors.graph import Graph, Origin
from appliance.vectors.job import Job
from appliance.vectors.live_ids import LiveIds
from appliance.vectors.nearest import State
from appliance.vectors.source import VectorSource
from appliance.vectors.stored import READ_AT_ONCE, StoredScan

STALE_SHARE = 0.5  # of a collection; a generation that lacks more is built anew
REPLAYED_AT_ONCE = 1_000  # vectors; more are added to the graph in the background, and found in a matrix meanwhile
BUILD_SLICE = 1_024  # vectors added between two looks at whether to stop
NEARLY_COMPLETE = 500  # vectors; so few may be added while changes wait
SAMPLE = 64
LEAST_COSINE = 0.999  # of a vector in the index and the same in the database, which keeps float16

_log = structlog.get_logger(__name__)


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


def meanwhile(source: VectorSource, form: Form, ids: Ids) -> ExactScan | StoredScan:
    """What finds `ids` until a graph has them: a matrix if memory holds it beside their graph, else the database."""
    matrix, graph = 4 * form.dimensions * len(ids), memory.graph_bytes(len(ids), form.dimensions)
    if matrix + graph + memory.RESERVE > memory.available():
        return StoredScan(source, ids)
    scan = ExactScan(form.dimensions, len(ids))
    for start in range(0, len(ids), READ_AT_ONCE):
        scan.add(*source.some(ids[start : start + READ_AT_ONCE]))
    return scan


def anew(source: VectorSource, form: Form, job: Job) -> ExactScan | Graph:
    """A matrix or a graph, by the size of the collection, nearly complete. Raises Stopped."""
    count = len(source.ids())
    if count <= form.exact_scan_below:
        return exact(source, form, count)
    memory.require(count, form.dimensions)
    origin = Origin(time.time(), job.reason)
    graph = Graph(form.dimensions, origin, threads=form.threads, capacity=count + count // 10)
    job.at("building", 0, count)
    catch_up(graph, source, job, after=0)
    return graph


def catch_up(graph: Graph, source: VectorSource, job: Job, *, after: int) -> None:
    """Add to a graph that does not serve what it lacks above `after`, but for what comes meanwhile. Raises Stopped."""
    total = job.total
    while True:
        before = len(graph.held.ids)
        for ids, vectors in source.vectors(after):
            for start in range(0, len(ids), BUILD_SLICE):
                part = slice(start, start + BUILD_SLICE)
                graph.add(ids[part], vectors[part], at_once=BUILD_SLICE)
                job.at("building", len(graph.held.ids), max(total, len(graph.held.ids)))
        if len(graph.held.ids) - before < NEARLY_COMPLETE:
            return
        after = last(graph)


def complete(state: State, source: VectorSource) -> int:
    """Bring it level with the database while no change is made elsewhere; returns how many changes that took."""
    before = len(state.held.ids)
    for ids, vectors in source.vectors(last(state)):
        state.add(ids, vectors)
    return len(state.held.ids) - before + drop_gone(state, source.ids())


def load(directory: Path, source: VectorSource, form: Form, ids: Ids) -> tuple[int, Graph | Behind, int] | str:
    """The first usable generation, level with the database (`ids`): (number, graph, changes made to it).

    Where it lacks so much that adding it would take more than a moment, that is in a scan beside the graph. Where there
    is none, the reason: missing, torn, foreign or stale.
    """
    reason = "missing"
    for attempt, number in enumerate(generation.numbers(directory)):
        try:
            graph = open_generation(directory, number, form)
            missing = compared(graph, source, ids)
            if len(missing) > STALE_SHARE * len(ids):
                raise UnusableGenerationError("stale")
            again = attempt or generation.is_old(directory, number)  # one before the newest, or in an older format
            changes = len(missing) + drop_gone(graph, ids) + int(again)
            if len(missing) > REPLAYED_AT_ONCE:
                return number, Behind(graph, meanwhile(source, form, missing), source), changes
            graph.add(*source.some(missing))
            return number, graph, changes
        except UnusableGenerationError as error:
            reason = reason if attempt else str(error)
            INDEX_UNUSABLE.labels(str(error)).inc()
            _log.warning("index_generation_unusable", index=directory.name, generation=number, reason=str(error))
    return reason


def open_generation(directory: Path, number: int, form: Form) -> Graph:
    """Read a generation made for this form. Raises UnusableGenerationError."""
    return generation.load(
        directory, number, fingerprint=form.fingerprint, dimensions=form.dimensions, threads=form.threads
    )


def compared(graph: Graph, source: VectorSource, ids: Ids) -> Ids:
    """Those of the database's ids that the graph lacks.

    Raises UnusableGenerationError when the graph holds other vectors than the database (one restored from a backup
    gives the same ids to other chunks).
    """
    known, counts = graph.held.known(ids), graph.held.known_live(ids)
    if not np.array_equal(known, counts):
        raise UnusableGenerationError("foreign")
    live = ids[counts]
    spread = live[:: max(1, len(live) // SAMPLE)]  # and the newest: they are the likeliest to differ
    some, vectors = source.some(np.union1d(spread, live[-SAMPLE:]))
    if len(some) and float(np.einsum("ij,ij->i", graph.vectors(some), vectors).min()) < LEAST_COSINE:
        raise UnusableGenerationError("foreign")
    missing: Ids = ids[~known]
    return missing


def drop_gone(state: State, ids: Ids) -> int:
    """Remove what the database (`ids`) no longer has; returns how many that were."""
    held = state.held.ids[state.held.live]
    gone = held[~LiveIds.of(ids).known(held)]
    state.remove(gone)
    return len(gone)


def last(state: State) -> int:
    """The largest id it holds; 0 when it holds none."""
    return int(state.held.ids[-1]) if len(state.held.ids) else 0
