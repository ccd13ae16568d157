"""The version of each collection that rows and index had both reached, and those that it left a moment ago."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

Version = tuple[int, str]  # of the rows, and the fingerprint of the model that answered then

KEPT = 4  # versions that were left
LASTING_S = 2.0  # a version that was in force less long is not kept: hardly anybody was answered from it


@dataclass(slots=True)
class _Past:
    now: Version
    since: float
    left: list[tuple[Version, float]] = field(default_factory=list)  # the newest last, with the time it was left


class Versions:
    """Thread-safe. What was left can be looked up only until something is taken away from the collection."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._past: dict[str, _Past] = {}
        self._lock = threading.Lock()

    def publish(self, name: str, version: Version, *, only_ingested: bool) -> None:
        """`version` is in force. Unless documents were only taken in, those before it are forgotten."""
        now = self._clock()
        with self._lock:
            past = self._past.get(name)
            if past is None or not only_ingested:
                self._past[name] = _Past(version, now)
            elif past.now != version:
                if now - past.since >= LASTING_S or not past.left:
                    past.left = [*past.left, (past.now, now)][-KEPT:]
                past.now, past.since = version, now

    def published(self, name: str) -> Version:
        """The version in force; (0, "") of an unknown collection."""
        past = self._past.get(name)
        return (0, "") if past is None else past.now

    def left(self, name: str, within_s: float) -> list[Version]:
        """Those that were left at most `within_s` seconds ago, the newest first."""
        past, now = self._past.get(name), self._clock()
        return [] if past is None else [version for version, at in reversed(past.left) if now - at <= within_s]

    def settled(self, name: str, for_s: float) -> bool:
        """Whether the version in force has been so for that long."""
        past = self._past.get(name)
        return past is not None and self._clock() - past.since >= for_s

    def forget_left(self) -> None:
        """Of no collection is an earlier version looked up any more."""
        with self._lock:
            for past in self._past.values():
                past.left = []

    def drop(self, name: str) -> None:
        """The collection is gone."""
        with self._lock:
            self._past.pop(name, None)
