"""Ingestion as a durable queue: what may be asked of it, and what became of each task."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path

from appliance.config import Settings
from appliance.faults import reached
from appliance.ingest.committing import VectorIndex
from appliance.ingest.inbox import Inbox
from appliance.ingest.sandbox import ReaderProcess
from appliance.ingest.spec import DeadDocument, IngestSpec, TaskStatus, check_spec, encode_spec
from appliance.ingest.spool import Spool, UploadSpool
from appliance.ingest.status import dead_document, status_of, status_of_accepted
from appliance.ingest.task import Surroundings
from appliance.ingest.worker import Worker
from appliance.pulse import Pulse
from appliance.store import Store, collections
from appliance.store.job_rows import NewTask, TaskRow
from appliance.store.jobs import check_room
from appliance.telemetry.traces import Traces
from appliance.types import Embedder

FAILED_SHOWN = 100
BREAKER_S = (1.0, 30.0, 3600.0)  # first wait, longest wait, give up after


class Ingestion:
    """Takes tasks at any time, works on one at a time. Thread-safe.

    `embedder` and `index` give those of a collection. `busy` says whether questions are being worked on; batches then
    wait a little. `changed` learns the name of a collection after each commit. `reader` is the child process that reads
    files (it is closed by `stop`).
    """

    def __init__(  # noqa: PLR0913 - it is put together from these
        self,
        store: Store,
        embedder: Callable[[str], Embedder],
        index: Callable[[str], VectorIndex],
        spool: Path,
        settings: Settings,
        *,
        changed: Callable[[str], None] | None = None,
        busy: Callable[[], bool] | None = None,
        reader: ReaderProcess | None = None,
        breaker_s: tuple[float, float, float] = BREAKER_S,
        pulse: Pulse | None = None,
        traces: Traces | None = None,
    ) -> None:
        self._store, self._jobs, self._embedder, self._settings = store, store.jobs, embedder, settings
        self._spool = Spool(spool, upload_bytes=settings.upload_bytes, file_bytes=settings.file_bytes)
        pulse = pulse or Pulse("ingestion")
        self._reader = reader or ReaderProcess(scratch=spool, heard=pulse.beat)
        self.inbox = Inbox(spool, lambda task, patience_s: store.jobs.add(task, patience_s=patience_s))
        around = Surroundings(
            store=store,
            embedder=embedder,
            reader=self._reader,
            index=index,
            changed=changed or (lambda _: None),
            busy=busy or (lambda: False),
            settings=settings,
            scratch=spool / "copies",
            breaker_s=breaker_s,
            beat=pulse.beat,
        )
        self._worker = Worker(self.inbox, self._spool, around, pulse, traces or Traces(), self._notify)
        self._finished = threading.Condition()

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with what is unfinished, in a thread of its own. Call it once."""
        accepted = [(task.upload, True, task.created_at) for task in self.inbox.tasks() if task.upload]
        self._spool.keep_only([*self._jobs.uploads(), *accepted])
        self._worker.start()

    def stop(self) -> None:
        """End the work within a batch; what is not durable is taken up again at the next start."""
        if self._worker.stop():
            self._reader.close()

    def paused(self) -> contextlib.AbstractContextManager[None]:
        """No task is worked on within the block; the one under way goes on after it. For one caller at a time."""
        return self._worker.paused()

    def health(self) -> str:
        """What the worker does, in a few words. Raises ApplianceError when it does not run."""
        return self._worker.health()

    def backlog(self) -> tuple[int, float | None]:
        """Unfinished tasks, and when the oldest of them was submitted: seconds since the epoch, None without one."""
        accepted, first = self.inbox.tasks(), self._jobs.next()
        times = [task.created_at for task in (first, *accepted) if task is not None]
        return self._jobs.unfinished() + len(accepted), min(times, default=None)

    @property
    def waiting(self) -> str:
        """What the worker waits for, and so every task; "" while it goes on."""
        return self._worker.waiting

    # --- tasks -------------------------------------------------------------------------------------------------------

    def submit(self, spec: IngestSpec) -> TaskStatus:
        """Queue a task; it is durable on return, whatever the size of the folder: files are listed later.

        Raises InvalidRequest, NotFound (path), Conflict (collection of a model that is not here), TooManyRequests
        (ingest_queue_full), StorageError.
        """
        spec = check_spec(spec)
        collections.check_name(spec.collection)
        embedder = self._embedder(spec.collection)
        found = self._store.documents.collection(spec.collection)
        if found is not None:
            collections.check_embedder(found, embedder.fingerprint, embedder.dimensions)
        task = NewTask(
            uuid.uuid4().hex, spec.collection, encode_spec(spec), self._spool.upload_of(spec.files), time.time()
        )
        check_room(self._jobs.unfinished() + len(self.inbox), self._settings.ingest_queue)
        self.inbox.accept(task)
        reached("ingest.task_noted")
        self._worker.wake()
        return self.status(task.id)

    def new_upload(self) -> UploadSpool:
        """A place for the files of one upload."""
        return self._spool.new()

    def status(self, task_id: str) -> TaskStatus:
        """Raises NotFound."""
        accepted = self.inbox.find(task_id)
        if accepted:
            return status_of_accepted(accepted, self.waiting)
        return self._status(self._jobs.task(task_id))

    def tasks(self, limit: int = 50) -> list[TaskStatus]:
        """The newest first."""
        limit = max(1, min(limit, 1000))
        accepted = [status_of_accepted(task, self.waiting) for task in reversed(self.inbox.tasks())]
        begun = [self._status(task) for task in self._jobs.tasks(limit)]
        return list({status.id: status for status in (*accepted, *begun)}.values())[:limit]

    def dead(self, limit: int = 100) -> list[DeadDocument]:
        """Documents that were given up and that no later task has dealt with, the newest first."""
        return [dead_document(row) for row in self._jobs.dead(max(1, min(limit, 10_000)))]

    def retry(self, task_id: str) -> TaskStatus:
        """Queue a finished task again: for its dead documents, or from the beginning when it failed as a whole.

        Raises NotFound, Conflict when it is not finished or nothing of it failed, TooManyRequests.
        """
        task = self._jobs.retry(task_id, limit=self._settings.ingest_queue)
        self._worker.wake()
        return self._status(task)

    def cancel(self, task_id: str) -> TaskStatus:
        """Ask for the end of a task; what it has committed stays. One that is being worked on ends within a batch.

        Raises NotFound, Conflict when it is finished.
        """
        self.inbox.hand_over()
        task = self._jobs.cancel(task_id, time.time())
        self._worker.interrupt(task_id)
        self._notify()
        return self._status(task)

    def wait(self, task_id: str, timeout_s: float) -> TaskStatus:
        """The status once the task is finished, or after `timeout_s` seconds. Raises NotFound."""
        until = time.monotonic() + timeout_s
        with self._finished:
            while (status := self.status(task_id)).finished_at is None and (left := until - time.monotonic()) > 0:
                self._finished.wait(min(left, 1.0))
        return status

    def _status(self, task: TaskRow) -> TaskStatus:
        count, failed = self._jobs.failures(task.seq, FAILED_SHOWN)
        live = self._worker.run_of(task)
        return status_of(task, count, failed, live, self.waiting if task.finished_at is None else "")

    def _notify(self) -> None:
        with self._finished:
            self._finished.notify_all()
