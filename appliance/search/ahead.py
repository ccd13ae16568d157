"""A part of a search that is worked on while another is: beside each other where a thread is free, else in turn."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from appliance.telemetry.stages import Stages
from appliance.telemetry.tracing import carried

T = TypeVar("T")


class Ahead(Generic[T]):
    """`work` is begun in the pool, and done by the caller itself if no thread has taken it when it is wanted."""

    def __init__(self, work: Callable[[], T], pool: ThreadPoolExecutor | None) -> None:
        self._work = work
        self._begun: Future[tuple[T, float, float]] | None = pool.submit(carried(self._timed)) if pool else None
        self._done: tuple[T, float, float] | None = None

    def hasten(self) -> None:
        """Do it here and now where a thread was meant to and none has begun: the caller would only wait for others."""
        if self._done is None and self._begun is not None and self._begun.cancel():
            self._done = self._timed()

    def result(self, stages: Stages, stage: str) -> T:
        """What `work` gives; the time it took goes to `stage`. Raises what `work` raises."""
        if self._done is None:
            waiting = self._begun is None or self._begun.cancel()
            self._done = self._timed() if waiting or self._begun is None else self._begun.result()
        result, began, ended = self._done
        stages.add(stage, began, ended)
        return result

    def _timed(self) -> tuple[T, float, float]:
        began = time.perf_counter()
        return self._work(), began, time.perf_counter()


def beside(threads: int) -> ThreadPoolExecutor | None:
    """The pool of a process that may keep so many threads busy; none where one thread has to do everything.

    What waits in it is bounded by the questions being worked on.
    """
    return ThreadPoolExecutor(threads // 2, thread_name_prefix="words") if threads > 1 else None
