"""The one long piece of work on an index at a time: its progress, how it ended, and stopping it."""

import contextlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Literal

import structlog

from appliance.errors import ApplianceError, StorageError
from appliance.priority import lower_priority

_log = structlog.get_logger(__name__)


class Stopped(Exception):
    """Raised inside a job when it has to end."""


@dataclass(slots=True)
class Job:
    """Work under way. `step` is what it is doing, `done` of `total` how far that is (vectors; 0 where unknown)."""

    name: str
    reason: str
    started_at: float
    step: str = "starting"
    done: int = 0
    total: int = 0
    _stop: threading.Event = field(default_factory=threading.Event, repr=False)

    def at(self, step: str, done: int = 0, total: int = 0) -> None:
        """Say how far the work is. Raises Stopped."""
        self.step, self.done, self.total = step, done, total
        if self._stop.is_set():
            raise Stopped


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a job ended; `code`, `error` and `hint` are empty when it was done. `detail` are its figures."""

    name: str
    reason: str
    state: Literal["done", "failed", "stopped"]
    started_at: float
    finished_at: float
    code: str = ""
    error: str = ""
    hint: str = ""
    detail: dict[str, float] = field(default_factory=dict)


LEAVING_S = 1.0  # given to a job that has ended, and whose thread is about to leave
Work = Callable[[Job], dict[str, float]]  # gives the figures of its outcome


class Jobs:
    """Runs one job at a time, in the caller's thread or in one of its own."""

    def __init__(self, index: str) -> None:
        self._index = index
        self._turn = threading.Lock()
        self._begin = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self.current: Job | None = None
        self.last: Outcome | None = None

    def run(self, name: str, reason: str, work: Work) -> None:
        """Do it here, after the job under way. Raises what `work` raises, StorageError (closing) when stopped."""
        with self._turn:
            try:
                self._run(name, reason, work)
            except Stopped:
                raise StorageError(
                    "The index is being closed.", code="closing", hint="Try again when the appliance is back."
                ) from None

    def begin(self, name: str, reason: str, work: Work) -> bool:
        """Do it in a thread of its own; False when another job is under way or the index is being closed."""
        with self._begin:
            ended = 0.0 if self.current is not None else LEAVING_S
            if self._stop.is_set() or not self._turn.acquire(timeout=ended):
                return False
            self.current = Job(name, reason, time.time(), _stop=self._stop)
            self._thread = threading.Thread(
                target=self._in_background, args=(name, reason, work), name=f"index-{self._index}", daemon=True
            )
            self._thread.start()
            return True

    def close(self) -> None:
        """Stop the job under way and begin no other."""
        with self._begin:
            self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def _in_background(self, name: str, reason: str, work: Work) -> None:
        lower_priority()
        try:
            with contextlib.suppress(Stopped, ApplianceError, MemoryError):  # they are in the log and in `last`
                self._run(name, reason, work)
        finally:
            self._turn.release()

    def _run(self, name: str, reason: str, work: Work) -> None:
        job = self.current = Job(name, reason, time.time(), _stop=self._stop)
        _log.info("index_job_started", index=self._index, job=name, reason=reason)
        ended = self._outcome(job, "failed", code="internal_error", error="It ended unexpectedly; see the log.")
        try:
            job.at(job.step)
            ended = self._outcome(job, "done", detail=work(job))
        except Stopped:
            ended = self._outcome(job, "stopped")
            raise
        except ApplianceError as error:
            ended = self._outcome(job, "failed", code=error.code, error=str(error), hint=error.hint)
            raise
        except MemoryError:
            ended = self._outcome(job, "failed", code="index_memory", error="Memory ran out.")
            raise
        finally:
            ended = replace(ended, finished_at=time.time())
            self.last, self.current = ended, None
            seconds = round(ended.finished_at - ended.started_at, 1)
            log = _log.error if ended.state == "failed" else _log.info
            log("index_job_ended", index=self._index, job=name, reason=reason, state=ended.state, seconds=seconds,
                error=ended.error, **ended.detail)  # fmt: skip

    @staticmethod
    def _outcome(job: Job, state: Literal["done", "failed", "stopped"], **more: object) -> Outcome:
        return Outcome(job.name, job.reason, state, job.started_at, 0.0, **more)  # type: ignore[arg-type]
