"""The third stage: finished files are stored, several in one transaction, and made known to the index."""

import threading
import time
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import structlog

from appliance.errors import ApplianceError, InvalidRequest
from appliance.faults import reached
from appliance.ingest.breaker import Breaker
from appliance.ingest.channel import Channel
from appliance.ingest.progress import Progress
from appliance.ingest.spec import IngestSpec
from appliance.ingest.unit import Unit, to_intake
from appliance.store import Store
from appliance.store.ingested import Intake, IntakeResult, documents_of, take_in
from appliance.store.job_rows import TaskRow
from appliance.telemetry.metrics import INGESTED_CHUNKS, INGESTED_DOCUMENTS
from appliance.telemetry.stages import stage
from appliance.telemetry.tracing import note
from appliance.types import Ids, Matrix, Vector

GROUP_CHUNKS = 256  # of one transaction: some tens of milliseconds, so that other writers wait no longer
GROUP_UNITS = 256

log = structlog.get_logger(__name__)


class VectorIndex(Protocol):
    """What ingestion needs of `vectors.CollectionIndex`."""

    def add(self, ids: Ids, vectors: Matrix) -> None: ...
    def remove(self, ids: Ids) -> None: ...


class Committing:
    """Stores units of one task. The commit is the acknowledgement; the index only follows it."""

    def __init__(
        self,
        store: Store,
        embedder: str,
        breaker: Breaker,
        index: Callable[[str], VectorIndex],
        changed: Callable[[str], None],
        attempts_limit: int,
        stopped: threading.Event,
    ) -> None:
        self._store = store
        self._embedder = embedder  # fingerprint of the model that made the vectors
        self._breaker = breaker
        self._index = index
        self._changed = changed
        self._attempts_limit = attempts_limit
        self._stopped = stopped

    def run(
        self,
        incoming: Channel[Unit],
        release: Callable[[int], None],
        task: TaskRow,
        spec: IngestSpec,
        version: str,
        progress: Progress,
    ) -> None:
        """Until `incoming` is closed and empty; `release` learns the weight of what is durable."""
        while (unit := incoming.get()) is not None:
            group = _group(unit, incoming)
            embedded = sum(bool(unit.chunks) for unit in group)
            weight = sum(unit.weight for unit in group)
            self._store_group(group, task, spec, version)
            progress.settle(len(group), embedded)
            del group, unit
            release(weight)

    def _store_group(self, group: Sequence[Unit], task: TaskRow, spec: IngestSpec, version: str) -> None:
        """Raises StorageError after the breaker gave up, NotFound when the collection was dropped,
        Conflict when it was made anew with another model, Stopped."""

        def commit() -> tuple[list[Intake], IntakeResult]:
            intakes = [
                to_intake(unit, spec.metadata, version, self._attempts_limit, time.time(), self._present(task))
                for unit in group
            ]
            return intakes, take_in(self._store.database, task, intakes, self._embedder)

        try:
            with stage("ingest.commit"):
                note(files=len(group), chunks=sum(unit.chunks for unit in group))
                intakes, result = self._breaker.run(commit, self._stopped)
        except InvalidRequest as error:
            if len(group) > 1:
                for unit in group:
                    self._store_group([unit], task, spec, version)
                return
            log.warning("document_refused", code=error.code)
            group[0].fail(error)
            intakes, result = self._breaker.run(commit, self._stopped)
        reached("ingest.committed")
        self._publish(task.collection, group, result)
        _count(intakes)

    def _present(self, task: TaskRow) -> Callable[[str], dict[str, int]]:
        """Documents of a file, but for those that are files of this task themselves ("a!/b" can be both)."""
        jobs = self._store.jobs

        def present(source: str) -> dict[str, int]:
            found = documents_of(self._store.database, task.collection, source)
            return {
                name: number for name, number in found.items() if name == source or not jobs.has_source(task.seq, name)
            }

        return present

    def _publish(self, collection: str, group: Sequence[Unit], result: IntakeResult) -> None:
        if not len(result.added) and not len(result.removed):
            return
        vectors = [chunk.vector for unit in group for draft in unit.drafts for chunk in draft.embedded]
        with stage("ingest.index"):
            note(added=len(result.added), removed=len(result.removed))
            update_index(self._index, collection, result.removed, result.added, vectors)
        reached("ingest.index_told")
        self._changed(collection)
        reached("ingest.published")


def update_index(
    index: Callable[[str], VectorIndex], collection: str, removed: Ids, added: Ids, vectors: Sequence[Vector]
) -> None:
    """Tell the index of a commit. It can be rebuilt from the database, so its failure is not ours: logged only."""
    try:
        opened = index(collection)
        if len(removed):
            opened.remove(removed)
        if len(added):
            opened.add(added, np.stack(vectors).astype(np.float32, copy=False))
    except (ApplianceError, RuntimeError, OSError) as error:
        log.exception("index_not_updated", collection=collection, error=str(error))


def _group(first: Unit, incoming: Channel[Unit]) -> list[Unit]:
    """What is ready now, up to the bounds of one transaction."""
    group, chunks = [first], first.chunks
    while len(group) < GROUP_UNITS and chunks < GROUP_CHUNKS and (unit := incoming.get(wait=False)) is not None:
        group.append(unit)
        chunks += unit.chunks
    return group


def _count(intakes: Sequence[Intake]) -> None:
    for intake in intakes:
        INGESTED_DOCUMENTS.labels(intake.settled.state).inc(len(intake.documents) or 1)
        if intake.settled.members:
            INGESTED_DOCUMENTS.labels("dead").inc(len(intake.settled.members))
        INGESTED_CHUNKS.inc(sum(intake.settled.documents))
