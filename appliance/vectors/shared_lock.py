"""A lock that many may share or one may own; whoever wants to own it goes before those who come later to share it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class SharedLock:
    """Not re-entrant."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._sharing = 0
        self._owned = False
        self._wanting = 0

    @contextmanager
    def shared(self) -> Iterator[None]:
        with self._condition:
            while self._owned or self._wanting:
                self._condition.wait()
            self._sharing += 1
        try:
            yield
        finally:
            with self._condition:
                self._sharing -= 1
                if not self._sharing:
                    self._condition.notify_all()

    @contextmanager
    def exclusive(self) -> Iterator[None]:
        with self._condition:
            self._wanting += 1
            while self._owned or self._sharing:
                self._condition.wait()
            self._wanting -= 1
            self._owned = True
        try:
            yield
        finally:
            with self._condition:
                self._owned = False
                self._condition.notify_all()
