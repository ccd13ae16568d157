"""The long work on an index, each beside what serves: building anew, measuring, compacting, rolling back."""

from appliance.errors import Conflict, StorageError
from appliance.faults import reached
from appliance.telemetry.metrics import INDEX_REBUILDS, INDEX_REFUSED, INDEX_UNUSABLE
from appliance.vectors import build, generation, memory, recall
from appliance.vectors.behind import Behind
from appliance.vectors.current import Current
from appliance.vectors.exact import ExactScan
from appliance.vectors.generation import UnusableGenerationError
from appliance.vectors.graph import Graph
from appliance.vectors.job import Job
from appliance.vectors.stored import StoredScan

Figures = dict[str, float]


def rebuild(current: Current, job: Job) -> Figures:
    """Build from the database, measure, and switch if it is good enough; the generation before is kept on disk.

    Raises Stopped; StorageError (index_refused, index_memory: the index before serves on; when writing fails the new
    one serves, from memory).
    """
    INDEX_REBUILDS.labels(job.reason).inc()
    new = build.anew(current.source, current.form, job)
    figures: Figures = {}
    if isinstance(new, Graph):
        figures = _measured(new, current, job)
        build.catch_up(new, current.source, job, after=build.last(new))
    job.at("switching")
    reached("rebuild.built")
    current.switch(new)
    job.at("writing")
    if isinstance(new, Graph):
        current.save()
    else:
        current.keep_no_other()
    return {"vectors": new.held.count, **figures}


def measure(current: Current, job: Job) -> Figures:
    """Measure the graph that serves, which has grown, and widen its searches if need be; else build it anew."""
    state = current.state
    if not isinstance(state, Graph):
        return {}
    measured = recall.measure(state, current.source, job)
    state.measured(measured)
    current.touch()
    if measured.value < recall.LEAST:
        return rebuild(current, job)
    return {"recall": measured.value, "ef": measured.ef}


def replay(current: Current, job: Job) -> Figures:
    """Bring a graph from disk level with the database; it serves alone then. Raises Stopped, StorageError."""
    state = current.state
    if not isinstance(state, Behind):
        return {}
    before = len(state.graph.held.ids)
    state.catch_up(job)
    current.caught_up(state)
    return {"replayed": len(state.graph.held.ids) - before}


def compact(current: Current, job: Job) -> Figures:
    """Drop removed vectors from memory, from the graph and from every file: a rebuild, and no generation before it.

    Raises what `rebuild` raises.
    """
    before = generation.bytes_on_disk(current.directory)
    figures: Figures = rebuild(current, job) if current.state.held.dead else {}
    current.keep_no_other()
    reached("compact.older_removed")
    return {**figures, "bytes_before": before, "bytes_after": generation.bytes_on_disk(current.directory)}


def previous(current: Current) -> int:
    """The generation to roll back to. Raises Conflict (no_previous_generation)."""
    number = generation.previous(current.directory, current.number)
    if number is None or isinstance(current.state, ExactScan | StoredScan):
        raise Conflict(
            "There is no generation to roll back to.",
            code="no_previous_generation",
            hint="A rebuild of a collection larger than `exact_scan_below` keeps the one before, until the index is "
            "compacted or something is erased. `index rebuild` makes a new one from the database.",
        )
    return number


def roll_back(current: Current, job: Job) -> Figures:
    """Let the previous generation serve, with what was committed since and without what was deleted.

    The one that served before is the previous one then, so that rolling back again goes forward. Raises Stopped,
    Conflict (no_previous_generation), StorageError (generation_unusable, index_memory).
    """
    number, ids = previous(current), current.source.ids()
    memory.require(len(ids), current.form.dimensions)
    current.save()
    job.at("loading", 0, len(ids))
    try:
        graph = build.open_generation(current.directory, number, current.form)
        missing = build.compared(graph, current.source, ids)
    except UnusableGenerationError as error:
        INDEX_UNUSABLE.labels(str(error)).inc()
        raise StorageError(
            f"Generation {number} cannot be used ({error}); the one that serves stays in force.",
            code="generation_unusable",
            hint="`index rebuild` makes a new generation from the database.",
        ) from error
    changes = len(missing) + build.drop_gone(graph, ids)
    if len(missing):
        build.catch_up(graph, current.source, job, after=int(missing[0]) - 1)
    job.at("switching")
    reached("rollback.loaded")
    current.switch_back(graph, number, changes)
    return {"generation": number, "vectors": graph.held.count, "replayed": len(missing)}


def _measured(graph: Graph, current: Current, job: Job) -> Figures:
    found = recall.measure(graph, current.source, job)
    if found.value < recall.LEAST:
        INDEX_REFUSED.inc()
        raise StorageError(
            f"The new index finds only {found.value:.1%} of the nearest vectors ({recall.LEAST:.0%} are needed); "
            "it was dropped, and the one before serves.",
            code="index_refused",
            hint="Run `rag-appliance index rebuild` again. If it is refused again, raise `exact_scan_below` above the "
            "size of the collection: search is then exact.",
        )
    graph.measured(found)
    return {"recall": found.value, "ef": found.ef}
