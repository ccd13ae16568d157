"""Places for those who compute, taken in the order in which they came."""

import threading
from collections import deque

# Places for a question that compares every vector, as in small collections: it hardly lets go of the interpreter's
# lock, for which two such would fight. With 10,000 passages one at a time is a fifth faster than two beside each other;
# with 1,000,000, where a graph is walked and long lists are read without the lock, a third slower.
SCANNING = 2


class Turns:
    """`places` at once, the others one after the other. (threading.Semaphore lets newcomers pass those who wait, so
    that under load some wait for seconds.) Thread-safe.
    """

    def __init__(self, places: int) -> None:
        self.places = places
        self._free = places
        self._waiting: deque[tuple[threading.Lock, int]] = deque()  # bounded by the threads that questions have
        self._lock = threading.Lock()

    def take(self, seconds: float, places: int = 1) -> bool:
        """Whether so many places were free within so many seconds; who got them gives them back.

        Nobody gets more than there are.
        """
        places = min(places, self.places)
        with self._lock:
            if places <= self._free and not self._waiting:
                self._free -= places
                return True
            mine = threading.Lock()
            mine.acquire()
            self._waiting.append((mine, places))
        if mine.acquire(timeout=max(0.0, seconds)):
            return True
        with self._lock:
            if (mine, places) in self._waiting:
                self._waiting.remove((mine, places))
                self._hand_over()  # whoever stood behind may need less
                return False
        return True  # they were handed over in this very moment

    def give_back(self, places: int = 1) -> None:
        """Hand them to those who wait longest."""
        with self._lock:
            self._free += min(places, self.places)
            self._hand_over()

    def _hand_over(self) -> None:
        while self._waiting and self._waiting[0][1] <= self._free:
            next_one, places = self._waiting.popleft()
            self._free -= places
            next_one.release()
