"""Places for those who compute, taken in the order in which they came."""

import threading
from collections import deque


class Turns:
    """`places` callers at once, the others one after the other. (threading.Semaphore lets newcomers pass those who
    wait, so that under load some wait for seconds.) Thread-safe.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Lock] = deque()  # bounded by the threads that questions have
        self._lock = threading.Lock()

    def take(self, seconds: float) -> bool:
        """Whether a place was free within so many seconds; who got one gives it back."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append(mine)
        if mine.acquire(timeout=max(0.0, seconds)):
            return True
        with self._lock:
            if mine in self._waiting:
                self._waiting.remove(mine)
                return False
        return True  # it was handed over in this very moment

    def give_back(self) -> None:
        """Hand it to whoever waits longest."""
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1
