"""The threads that questions are computed in: a queue leads there, and one call of the event loop back.

That costs 3 µs. An executor costs 20: its futures are made for threads that wait for each other, and copied for the
event loop.
"""

import asyncio
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from appliance.priority import lower_priority

T = TypeVar("T")

COMPUTING = 3  # added to the niceness: the event loop goes first, and /health answers a sixth sooner (p95, 100 users)


class Lane:
    """A few threads for questions of one kind, which come first come first served. For the event loop."""

    def __init__(self, name: str, threads: int) -> None:
        self.threads = threads
        self.working = 0
        self._name = name
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._started: list[threading.Thread] = []
        self._closed = False

    @property
    def active(self) -> int:
        return min(self.working, self.threads)

    @property
    def held_back(self) -> int:
        return self.working - self.active

    def run(self, work: Callable[[], T]) -> asyncio.Future[T]:
        """What becomes of `work`, which the next free thread does."""
        if self._closed:
            raise RuntimeError(f"the lane {self._name} is closed")
        if len(self._started) < min(self.working + 1, self.threads):
            self._start()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()
        self._jobs.put(_Job(work, loop, future))
        return future

    def _start(self) -> None:
        name = f"{self._name}_{len(self._started)}"
        thread = threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True)
        thread.start()
        self._started.append(thread)

    def close(self) -> None:
        """Cancel what nobody has begun, and let the threads end."""
        self._closed = True
        with suppress(Empty):
            while (job := self._jobs.get_nowait()) is not None:
                job.tell(job.future.cancel)
        for _ in self._started:
            self._jobs.put(None)
        for thread in self._started:
            thread.join()


class _Job:
    """Work for a thread, and the future of the event loop that waits for it."""

    __slots__ = ("_loop", "_work", "future")

    def __init__(self, work: Callable[[], Any], loop: asyncio.AbstractEventLoop, future: asyncio.Future[Any]) -> None:
        self._work, self._loop, self.future = work, loop, future

    def run(self) -> None:
        try:
            result = self._work()
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is for whoever waits
            self.tell(_fail, self.future, error)
        else:
            self.tell(_finish, self.future, result)

    def tell(self, call: Callable[..., object], *of_what: Any) -> None:
        """Have the event loop make a call; where it has ended, nobody waits any more."""
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(call, *of_what)


def _work(jobs: "SimpleQueue[_Job | None]") -> None:
    lower_priority(COMPUTING)
    while (job := jobs.get()) is not None:
        job.run()
        del job  # with its answer, which nobody else may hold while this thread waits


def _finish(future: asyncio.Future[Any], result: Any) -> None:
    if not future.done():
        future.set_result(result)


def _fail(future: asyncio.Future[Any], error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
