"""Ingestion as a durable queue: tasks are noted, worked off one after another, and gone on with after any restart."""

import contextlib
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import structlog

from appliance.allocator import give_back
from appliance.config import Settings
from appliance.errors import ApplianceError
from appliance.faults import reached
from appliance.ingest.breaker import Breaker, Stopped
from appliance.ingest.committing import VectorIndex
from appliance.ingest.inbox import Inbox
from appliance.ingest.priority import lower_priority
from appliance.ingest.sandbox import ReaderProcess
from appliance.ingest.spec import DeadDocument, IngestSpec, TaskStatus, check_spec, encode_spec
from appliance.ingest.spool import Spool, UploadSpool
from appliance.ingest.status import dead_document, nothing_done, status_of, status_of_accepted
from appliance.ingest.task import Surroundings, TaskFailed, TaskRun
from appliance.ingest.tracing import end_of_task, traced_task
from appliance.pulse import IDLE_S, Pulse
from appliance.store import Store, collections
from appliance.store.job_rows import NewTask, TaskRow
from appliance.store.jobs import check_room
from appliance.telemetry.traces import Traces
from appliance.types import Embedder

FAILED_SHOWN = 100
BREAKER_S = (1.0, 30.0, 3600.0)  # first wait, longest wait, give up after
STOP_S = 30.0

log = structlog.get_logger(__name__)


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
        self._pulse = pulse or Pulse("ingestion")
        self._traces = traces or Traces()
        self._reader = reader or ReaderProcess(scratch=spool, heard=self._pulse.beat)
        self.inbox = Inbox(spool, lambda task, patience_s: store.jobs.add(task, patience_s=patience_s))
        self._around = Surroundings(
            store=store,
            embedder=embedder,
            reader=self._reader,
            index=index,
            changed=changed or (lambda _: None),
            busy=busy or (lambda: False),
            settings=settings,
            scratch=spool / "copies",
            breaker_s=breaker_s,
            beat=self._pulse.beat,
        )
        first, longest, give_up = breaker_s
        self._ledger = Breaker("ledger", first_s=first, longest_s=longest, give_up_s=give_up, beat=self._pulse.beat)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._resumed = threading.Event()  # cleared while the worker is paused
        self._resumed.set()
        self._turn = threading.Lock()  # held by a task that is worked on, or by a pause
        self._finished = threading.Condition()
        self._lock = threading.Lock()
        self._run: TaskRun | None = None
        self._thread: threading.Thread | None = None

    # --- life --------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Go on with what is unfinished, in a thread of its own. Call it once."""
        accepted = [(task.upload, True, task.created_at) for task in self.inbox.tasks() if task.upload]
        self._spool.keep_only([*self._jobs.uploads(), *accepted])
        self._thread = threading.Thread(target=self._work, name="ingest", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the work within a batch; what is not durable is taken up again at the next start."""
        self._stopping.set()
        self._wake.set()
        self._resumed.set()
        with self._lock:
            if self._run is not None:
                self._run.stop()
        if self._thread is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                log.warning("ingestion_does_not_stop", waited_s=STOP_S)
                return
            self._pulse.end()
        self._reader.close()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No task is worked on within the block; the one under way goes on after it. For one caller at a time."""
        self._resumed.clear()
        with self._lock:
            if self._run is not None:
                self._run.stop()
        try:
            with self._turn:
                yield
        finally:
            self._resumed.set()
            self._wake.set()

    def health(self) -> str:
        """What the worker does, in a few words. Raises ApplianceError when it does not run."""
        if self._thread is None or not self._thread.is_alive():
            hint = "Start the appliance again; the log says why it ended."
            raise ApplianceError("The ingestion worker does not run.", code="ingestion_stopped", hint=hint)
        if waiting := self.waiting:
            return f"waiting: {waiting}"
        return f"working on task {run.task.id}" if (run := self._run) else "idle"

    def backlog(self) -> tuple[int, float | None]:
        """Unfinished tasks, and when the oldest of them was submitted: seconds since the epoch, None without one."""
        accepted, first = self.inbox.tasks(), self._jobs.next()
        times = [task.created_at for task in (first, *accepted) if task is not None]
        return self._jobs.unfinished() + len(accepted), min(times, default=None)

    @property
    def waiting(self) -> str:
        """What the worker waits for, and so every task; "" while it goes on."""
        return self._ledger.waiting or (run.waiting if (run := self._run) else "")

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
        self._wake.set()
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
        self._wake.set()
        return self._status(task)

    def cancel(self, task_id: str) -> TaskStatus:
        """Ask for the end of a task; what it has committed stays. One that is being worked on ends within a batch.

        Raises NotFound, Conflict when it is finished.
        """
        self.inbox.hand_over()
        task = self._jobs.cancel(task_id, time.time())
        with self._lock:
            if self._run is not None and self._run.task.id == task_id:
                self._run.stop()
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
        run = self._run
        live = run if run is not None and run.task.id == task.id and task.finished_at is None else None
        return status_of(task, count, failed, live, self.waiting if task.finished_at is None else "")

    # --- work --------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        lower_priority()
        while not self._stopping.is_set():
            self._wake.clear()
            if not self._resumed.is_set():
                self._pulse.end()  # nothing is expected of it while it is paused
                self._resumed.wait()
            self._pulse.beat()
            try:
                task = self._ledger.run(self._next, self._stopping)
                if task is None:
                    give_back()
                    self._wake.wait(IDLE_S)
                else:
                    self._pulse.end()
                    with self._turn, traced_task(self._traces, task):
                        self._work_on(task)
            except Stopped:
                return
            except Exception:
                log.exception("ingestion_worker_failed")
                self._stopping.wait(self._around.breaker_s[1])

    def _next(self) -> TaskRow | None:
        """The task to work on now, once all that were accepted are in the ledger."""
        self.inbox.hand_over()
        return self._jobs.next()

    def _work_on(self, task: TaskRow) -> None:
        try:
            run = TaskRun(task, self._around)
        except msgspec.MsgspecError as error:
            self._jobs.finish(task.seq, f"What was asked for cannot be read: {error}. Submit it again.", time.time())
            return
        with self._lock:
            self._run = run
        if not self._resumed.is_set():
            run.stop()
        try:
            self._ledger.run(lambda: self._jobs.begin(task.seq), self._stopping)
            failure = self._outcome(run)
            self._ledger.run(lambda: self._jobs.finish(task.seq, failure, time.time()), self._stopping)
            reached("ingest.task_finished")
            end_of_task(failure, run.progress)
            log.info("ingestion_task_finished", error=failure)
        except Stopped:
            with contextlib.suppress(ApplianceError):
                self._jobs.put_down(task.seq)
        finally:
            with self._lock:
                self._run = None
        self._tidy_spool(task)
        self._notify()

    def _outcome(self, run: TaskRun) -> str | None:
        """Why the task failed, None when it succeeded. Raises Stopped when it is to go on at the next start."""
        try:
            run.load(self._jobs.task(run.task.id))
            if run.task.cancelled:
                return "cancelled"
            run.run()
            task = self._jobs.task(run.task.id)
            return nothing_done(task, self._jobs.failures(task.seq, 0)[0])
        except Stopped:
            if self._jobs.task(run.task.id).cancelled:
                return "cancelled"
            raise
        except (TaskFailed, ApplianceError) as error:
            log.warning("ingestion_task_failed", error=str(error))
            return f"{error} {getattr(error, 'hint', '')}".strip()
        except Exception as error:
            log.exception("ingestion_task_failed")
            return f"Internal error: {error!r}. The log has the details; retry the task, and report it."

    def _tidy_spool(self, task: TaskRow) -> None:
        """Uploads of finished tasks go, but for those that a retry would need, as far as there is room."""
        with contextlib.suppress(ApplianceError):  # the next task, or the next start, tidies
            if task.upload is not None and self._spool.tidy(task.upload, self._jobs.uploads()):
                reached("ingest.upload_removed")

    def _notify(self) -> None:
        with self._finished:
            self._finished.notify_all()
