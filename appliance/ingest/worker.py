"""The thread that works off the tasks of ingestion, one after another, and goes on with them after any restart."""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator

import msgspec
import structlog

from appliance.allocator import give_back
from appliance.errors import ApplianceError
from appliance.faults import reached
from appliance.ingest.breaker import Breaker, Stopped
from appliance.ingest.inbox import Inbox
from appliance.ingest.spool import Spool
from appliance.ingest.status import nothing_done
from appliance.ingest.task import Surroundings, TaskFailed, TaskRun
from appliance.ingest.tracing import end_of_task, traced_task
from appliance.priority import lower_priority
from appliance.pulse import IDLE_S, Pulse
from appliance.store.job_rows import TaskRow
from appliance.telemetry.traces import Traces

STOP_S = 30.0

log = structlog.get_logger(__name__)


class Worker:
    """Works on one task at a time. Thread-safe. `finished` is called when a task has ended or was put down."""

    def __init__(
        self,
        inbox: Inbox,
        spool: Spool,
        around: Surroundings,
        pulse: Pulse,
        traces: Traces,
        finished: Callable[[], None],
    ) -> None:
        self._inbox, self._spool, self._around, self._jobs = inbox, spool, around, around.store.jobs
        self._pulse, self._traces, self._finished = pulse, traces, finished
        first, longest, give_up = around.breaker_s
        self._ledger = Breaker("ledger", first_s=first, longest_s=longest, give_up_s=give_up, beat=pulse.beat)
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._resumed = threading.Event()  # cleared while the worker is paused
        self._resumed.set()
        self._turn = threading.Lock()  # held by a task that is worked on, or by a pause
        self._lock = threading.Lock()
        self._run: TaskRun | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Call it once."""
        self._thread = threading.Thread(target=self._loop, name="ingest", daemon=True)
        self._thread.start()

    def stop(self) -> bool:
        """End the work within a batch; what is not durable is taken up again at the next start. False when it hangs."""
        self._stopping.set()
        self._wake.set()
        self._resumed.set()
        self.interrupt()
        if self._thread is not None:
            self._thread.join(STOP_S)
            if self._thread.is_alive():
                log.warning("ingestion_does_not_stop", waited_s=STOP_S)
                return False
            self._pulse.end()
        return True

    def wake(self) -> None:
        """There is a task."""
        self._wake.set()

    def interrupt(self, task_id: str | None = None) -> None:
        """Stop the task that is worked on, or only that one, within a batch."""
        with self._lock:
            if self._run is not None and task_id in (None, self._run.task.id):
                self._run.stop()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No task is worked on within the block; the one under way goes on after it. For one caller at a time."""
        self._resumed.clear()
        self.interrupt()
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

    @property
    def waiting(self) -> str:
        """What the worker waits for, and so every task; "" while it goes on."""
        return self._ledger.waiting or (run.waiting if (run := self._run) else "")

    def run_of(self, task: TaskRow) -> TaskRun | None:
        """The work on this task, while there is any."""
        run = self._run
        return run if run is not None and run.task.id == task.id and task.finished_at is None else None

    # --- work --------------------------------------------------------------------------------------------------------

    def _loop(self) -> None:
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
        self._inbox.hand_over()
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
        self._finished()

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
