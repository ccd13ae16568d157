"""Keeps the posting segments of every collection in step with its chunks, and its commonest lists in memory.

In one background thread.
"""

import threading
from collections.abc import Callable, Iterable

import structlog

from appliance.errors import ApplianceError
from appliance.priority import give_way, lower_priority
from appliance.pulse import Pulse
from appliance.store import Store

LOOK_S = 60.0  # at the latest; sooner when something was written

log = structlog.get_logger(__name__)


class _Stopped(Exception):
    """The appliance is closing."""


class KeywordUpkeep:
    """Without it, keyword search is answered by FTS5 alone. Lists are read ahead while questions are not `busy`."""

    def __init__(self, store: Store, names: Callable[[], Iterable[str]], pulse: Pulse) -> None:
        self._segments, self._lexical = store.segments, store.lexical
        self._pulse = pulse
        self._names = names
        self._written = threading.Event()
        self._stopping = threading.Event()
        self._read_once = threading.Event()
        self._asked: set[str] = set()
        self.busy: Callable[[], bool] = lambda: False
        self._thread = threading.Thread(target=self._run, name="keywords", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def wait(self, seconds: float) -> bool:
        """Whether the commonest lists of every collection were read since the start, after so many seconds at most."""
        return self._read_once.wait(seconds)

    def wake(self) -> None:
        """Something was written."""
        self._written.set()

    def remake(self, name: str) -> None:
        """Make all segments of a collection anew."""
        self._asked.add(name)
        self._written.set()

    def close(self) -> None:
        """Waits until the thread has ended."""
        self._stopping.set()
        self._written.set()
        if self._thread.ident is not None:
            self._thread.join()
        self._pulse.end()

    def _run(self) -> None:
        lower_priority()
        self._done(self._read_ahead)
        self._read_once.set()
        while not self._stopping.is_set():
            if not self._done(self._keep_up):
                self._stopping.wait(LOOK_S)
            self._pulse.beat()
            self._written.wait(LOOK_S)
            self._written.clear()

    def _done(self, work: Callable[[], None]) -> bool:
        """Whether it succeeded; that it did not is told."""
        try:
            work()
        except _Stopped:
            return False
        except ApplianceError as error:
            log.warning("posting_segments_delayed", error=str(error), hint=error.hint)
            return False
        return True

    def _read_ahead(self) -> None:
        """Of the segments that there are."""
        for name in self._names():
            self._lexical.warm_up(name, self._pause)

    def _keep_up(self) -> None:
        for name in self._names():
            if name in self._asked:
                self._asked.discard(name)
                self._segments.remake(name, self._check)
            while self._segments.make_next(name, self._check):
                log.info("posting_segment_written", collection=name)
            self._lexical.warm_up(name, self._pause)

    def _pause(self) -> None:
        self._check()
        give_way(self.busy, self._stopping)

    def _check(self) -> None:
        self._pulse.beat()
        if self._stopping.is_set():
            raise _Stopped
