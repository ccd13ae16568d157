"""A bounded way from one thread to the next: bounded by what the entries weigh, and easy to abandon."""

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

from appliance.ingest.breaker import Stopped
from appliance.telemetry.tracing import carried

T = TypeVar("T")


class Channel(Generic[T]):
    """Entries in order. A weight counts until `release`: it bounds what is under way, not only what waits."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._entries: deque[T] = deque()
        self._weight = 0
        self._closed = False
        self._aborted = False
        self._changed = threading.Condition()

    def put(self, entry: T, weight: int) -> None:
        """Waits until the weight under way leaves room (an entry beyond the limit goes alone). Raises Stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or not self._weight or self._weight + weight <= self._limit)
            if self._aborted:
                raise Stopped
            self._weight += weight
            self._entries.append(entry)
            self._changed.notify_all()

    def get(self, *, wait: bool = True) -> T | None:
        """The next entry; None when there is none (now, or with `wait` ever again). Raises Stopped."""
        with self._changed:
            if wait:
                self._changed.wait_for(lambda: self._aborted or self._closed or bool(self._entries))
            if self._aborted:
                raise Stopped
            return self._entries.popleft() if self._entries else None

    def release(self, weight: int) -> None:
        """What weighed so much is done with."""
        with self._changed:
            self._weight -= weight
            self._changed.notify_all()

    def wait_idle(self) -> None:
        """Until nothing is under way. Raises Stopped."""
        with self._changed:
            self._changed.wait_for(lambda: self._aborted or not self._weight)
            if self._aborted:
                raise Stopped

    def close(self) -> None:
        """No more entries will come."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def abort(self) -> None:
        """Whoever waits, or comes later, gets Stopped."""
        with self._changed:
            self._aborted = True
            self._entries.clear()
            self._changed.notify_all()


class Crew:
    """Threads of one undertaking: the first failure ends all of them, through `abort`, and is raised by `join`."""

    def __init__(self, abort: Callable[[], None]) -> None:
        self._abort = abort
        self._threads: list[threading.Thread] = []
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def start(self, name: str, work: Callable[[], None]) -> None:
        thread = threading.Thread(target=carried(lambda: self._run(work)), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def run_here(self, work: Callable[[], None]) -> None:
        self._run(work)

    def join(self) -> None:
        """Raises the first failure of any member."""
        for thread in self._threads:
            thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - raised again by join
            with self._lock:
                if self._failure is None or isinstance(self._failure, Stopped):
                    self._failure = error
            self._abort()
