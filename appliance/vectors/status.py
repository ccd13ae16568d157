"""What an index says of itself."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from appliance.vectors import generation
from appliance.vectors.behind import Behind
from appliance.vectors.current import Current
from appliance.vectors.graph import Graph
from appliance.vectors.job import Jobs, Outcome


@dataclass(frozen=True, slots=True)
class GenerationStatus:
    """A generation on disk. `created_at` is when it was written, `built_at` when its graph was built, for `reason`."""

    number: int
    current: bool
    bytes: int
    vectors: int
    removed: int
    created_at: float
    built_at: float
    reason: str
    m: int
    ef_construction: int
    ef: int
    recall: float | None


@dataclass(frozen=True, slots=True)
class JobStatus:
    """The work under way: `done` of `total` vectors of this `step`, 0 where that is not known."""

    name: str
    reason: str
    step: str
    done: int
    total: int
    started_at: float


@dataclass(frozen=True, slots=True)
class IndexStatus:
    """`removed` vectors are in memory but not found; `generation` is the one on disk that serves.

    `recall` is the share of the ten nearest vectors that the graph found when that was last measured, searching as wide
    as `ef`; an exact index finds all. `job` is under way, `last` is how the one before ended.
    """

    kind: Literal["exact", "hnsw"]
    vectors: int
    removed: int
    dead_share: float
    recall: float | None
    ef: int | None
    generation: int | None
    building: bool
    job: JobStatus | None
    last: Outcome | None
    generations: tuple[GenerationStatus, ...]


@dataclass(frozen=True, slots=True)
class IndexCounts:
    """What can be told without a look at the disk; `unsaved` changes since the generation on disk was written."""

    vectors: int
    dead_share: float
    recall: float | None
    unsaved: int
    at_work: bool


def index_counts(current: Current, jobs: Jobs) -> IndexCounts:
    """As `index_status`, for those who ask often. The recall of an exact scan is 1."""
    state = current.state
    graph = state.graph if isinstance(state, Behind) else state if isinstance(state, Graph) else None
    held = state.held
    recall = 1.0 if graph is None else graph.recall.value if graph.recall else None
    share = held.dead / len(held.ids) if len(held.ids) else 0.0
    return IndexCounts(held.count, share, recall, current.unsaved if graph else 0, jobs.current is not None)


def index_status(current: Current, jobs: Jobs) -> IndexStatus:
    """A look at an index at this moment."""
    state, job = current.state, jobs.current
    graph = state.graph if isinstance(state, Behind) else state if isinstance(state, Graph) else None
    held = state.held
    return IndexStatus(
        kind="exact" if graph is None else "hnsw",
        vectors=held.count,
        removed=held.dead,
        dead_share=round(held.dead / len(held.ids), 4) if len(held.ids) else 0.0,
        recall=graph.recall.value if graph and graph.recall else None,
        ef=graph.ef if graph else None,
        generation=current.number,
        building=job is not None,
        job=None if job is None else JobStatus(job.name, job.reason, job.step, job.done, job.total, job.started_at),
        last=jobs.last,
        generations=_on_disk(current.directory, current.number),
    )


def _on_disk(directory: Path, current: int | None) -> tuple[GenerationStatus, ...]:
    """The generations, newest first."""
    return tuple(
        GenerationStatus(
            *(number, number == current, m.bytes, m.vectors, len(m.removed), m.created_at, m.built_at, m.reason),
            *(m.m, m.ef_construction, m.ef, m.recall),
        )
        for number, m in generation.manifests(directory)
    )
