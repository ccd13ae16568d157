"""Erasures as durable work: the documents go at once, the cleaning and the proof follow, also after a restart."""

import contextlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import structlog

from appliance.cache import Caches
from appliance.collections import Collections
from appliance.erasure.begin import EraseRequest, begin
from appliance.erasure.steps import Run, Stopped
from appliance.errors import ApplianceError
from appliance.ingest.ingestion import Ingestion
from appliance.paths import DataPaths
from appliance.store import Store
from appliance.store.erasures import ErasureRow

RETRY_S = (1.0, 60.0)  # first and longest wait after a failure
STOP_S = 20.0

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ErasureStatus:
    """An erasure as seen from outside; times in seconds since the epoch, `done` and `total` in bytes of its scan."""

    id: str
    step: str
    created_at: float
    finished_at: float | None
    done: int
    total: int
    waiting: str | None
    receipt: dict[str, Any] | None


class Eraser:
    """Works on one erasure at a time, in a thread of its own. Thread-safe."""

    def __init__(
        self,
        store: Store,
        collections: Collections,
        cache: Caches,
        ingestion: Ingestion,
        paths: DataPaths,
        forget_backups: Callable[[bool], int],
    ) -> None:
        """`forget_backups(remove)` says how many it removed; it raises Conflict while one is being taken."""
        self._store, self._collections, self._cache = store, collections, cache
        self._ingestion, self._paths, self._forget_backups = ingestion, paths, forget_backups
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._run: Run | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Go on with what is unfinished. Call it once."""
        self._thread = threading.Thread(target=self._work, name="erase", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the work at the next step; it is taken up again at the next start."""
        self._stopping.set()
        self._wake.set()
        run = self._run
        if run is not None:
            run.interrupt()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def submit(self, request: EraseRequest) -> ErasureStatus:
        """When this returns the documents are durably gone for every question; the rest follows in the background.

        Raises what `begin` raises.
        """
        self._ingestion.inbox.hand_over()
        row, plan = begin(self._store, request)
        for name, ids in plan.chunk_ids.items():
            self._collections.index(name).remove(np.array(ids, dtype=np.int64))
            self._collections.publish(name)
        log.info("erasure_begun", erasure=row.id, documents=len(plan.documents))
        self._wake.set()
        return self.status(row.id)

    def again(self, erasure_id: str) -> ErasureStatus:
        """Clean and scan once more after an erasure that was not proved, for the same text and vectors.

        Raises NotFound, Conflict (erasure_ended) when it is under way or proved.
        """
        self._store.erasures.reopen(erasure_id)
        self._wake.set()
        return self.status(erasure_id)

    def status(self, erasure_id: str) -> ErasureStatus:
        """Raises NotFound."""
        return self._status(self._store.erasures.find(erasure_id))

    def list(self, limit: int) -> list[ErasureStatus]:
        """The newest first."""
        return [self._status(row) for row in self._store.erasures.list(limit)]

    def _status(self, row: ErasureRow) -> ErasureStatus:
        run = self._run
        done, total = run.scanned if run is not None and run.id == row.id else (0, 0)
        receipt = msgspec.json.decode(row.receipt) if row.receipt else None
        return ErasureStatus(row.id, row.step, row.created_at, row.finished_at, done, total, row.error, receipt)

    def _work(self) -> None:
        first, longest = RETRY_S
        wait_s = first
        while not self._stopping.is_set():
            self._wake.clear()
            row = None
            try:
                row = self._store.erasures.next()
                if row is None:
                    self._wake.wait()
                else:
                    self._erase(row)
                wait_s = first
            except Stopped:
                return
            except Exception as error:  # whatever it is: the erasure is durable and goes on later
                log.exception("erasure_interrupted", erasure=row.id if row else None)
                self._note(row, error)
                self._stopping.wait(wait_s)
                wait_s = min(longest, 2 * wait_s)

    def _erase(self, row: ErasureRow) -> None:
        run = Run(row, self._store, self._collections, self._cache, self._paths, self._stopping, self._forget_backups)
        self._run = run
        try:
            receipt = run.run()
        finally:
            self._run = None
        log.info("erasure_finished", erasure=row.id, verdict=receipt["verdict"])

    def _note(self, row: ErasureRow | None, error: Exception) -> None:
        """Say what the erasure waits for, as far as that can be written."""
        if row is None:
            return
        told = f"{error} {getattr(error, 'hint', '')}".strip() if isinstance(error, ApplianceError) else repr(error)
        with contextlib.suppress(ApplianceError):
            self._store.erasures.note(row.id, step=row.step, error=told)
