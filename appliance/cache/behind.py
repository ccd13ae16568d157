"""Values on their way to the disk: they wait in memory until a thread writes several of them in one transaction."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import NamedTuple

import structlog

log = structlog.get_logger(__name__)

TOGETHER_S = 0.25  # how long the first one waits for others
BATCH_ENTRIES, BATCH_BYTES = 128, 1024**2  # of one transaction; a larger value has one to itself
MOST_ENTRIES, MOST_BYTES = 2048, 8 * 1024**2
CLOSE_WAIT_S = 5.0  # how long the end waits for what is left to be written


class Waiting(NamedTuple):
    """A value under its key, when its life ends (seconds since the epoch), and whether it may `still` be kept."""

    key: str
    value: bytes
    until: float
    tags: frozenset[str]
    still: Callable[[], bool]

    def lives(self) -> bool:
        """Whether it may be given and written. Where that cannot be told, it may not."""
        try:
            return self.until > time.time() and self.still()
        except Exception as error:  # noqa: BLE001 - whatever it is: a cache never fails a question
            log.warning("cache_still_unknown", error=type(error).__name__, detail=str(error)[:200])
            return False


class WriteBehind:
    """The newest value of each key until it is written, oldest first. Adding takes microseconds and never waits.

    It is bounded: what has waited longest goes first. A batch is looked up, written and taken out under `writing`, the
    lock of whoever removes entries, so none is on its way while that lock is held.
    """

    def __init__(
        self,
        write: Callable[[list[Waiting]], None],
        writing: threading.RLock,
        *,
        most_entries: int = MOST_ENTRIES,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._write, self._writing = write, writing
        self._most_entries, self._most_bytes = most_entries, most_bytes
        self._waiting: dict[str, Waiting] = {}
        self._bytes = 0
        self._changed = threading.Condition(threading.Lock())  # never held while anything is written
        self._thread: threading.Thread | None = None  # from the first value on
        self._closed = False
        self._dropped = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, entry: Waiting) -> None:
        """Let it wait, in place of another of its key. At the end nothing is taken any more."""
        with self._changed:
            if self._closed:
                return
            self._take(entry.key)
            had_enough = self._enough()  # then the thread knows
            self._waiting[entry.key] = entry
            self._bytes += len(entry.value)
            while len(self._waiting) > self._most_entries or self._bytes > self._most_bytes:
                self._take(next(iter(self._waiting)))
                self._dropped += 1
            if len(self._waiting) == 1 or (self._enough() and not had_enough):
                self._changed.notify()
            if self._thread is None:
                self._start()

    def get(self, key: str) -> Waiting | None:
        """What waits under `key`, unless it may not be kept any more."""
        with self._changed:
            found = self._waiting.get(key)
        return found if found is not None and found.lives() else None

    def remove(self, tag: str | None = None) -> int:
        """Drop what carries `tag`, or all, and return how many; called under the lock `writing`."""
        with self._changed:
            gone = [entry.key for entry in self._waiting.values() if tag is None or tag in entry.tags]
            for key in gone:
                self._take(key)
        return len(gone)

    def dropped(self) -> int:
        """How many went for want of room since this was asked last."""
        with self._changed:
            dropped, self._dropped = self._dropped, 0
        return dropped

    def flush(self, within_s: float = CLOSE_WAIT_S) -> None:
        """Write what waits, in the caller's thread; no further batch is begun after `within_s` seconds."""
        until = time.monotonic() + within_s
        while self._write_batch() and time.monotonic() < until:
            pass

    def close(self) -> None:
        """End the thread and write what waits. What cannot be written within some seconds is dropped."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(CLOSE_WAIT_S)
        self.flush()
        self.remove()

    def _start(self) -> None:
        thread = threading.Thread(target=self._run, name="answer-cache", daemon=True)
        with suppress(RuntimeError):  # no thread is to be had: the next value tries again
            thread.start()
            self._thread = thread

    def _run(self) -> None:
        while self._due():
            self._write_batch()

    def _due(self) -> bool:
        """Wait until there is a batch, or something for a while; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or self._closed)
            self._changed.wait_for(lambda: self._closed or self._enough(), TOGETHER_S)
            return not self._closed

    def _write_batch(self) -> bool:
        """Whether there was one. It is gone from here afterwards, written or not."""
        with self._writing:
            batch = self._batch()
            try:
                if batch:
                    self._write(batch)
            except Exception:  # the thread goes on, whatever it is
                log.exception("cache_batch_not_written", entries=len(batch))
            finally:
                self._written(batch)
        return bool(batch)

    def _batch(self) -> list[Waiting]:
        """The oldest, which stay to be found until they are written."""
        batch: list[Waiting] = []
        size = 0
        with self._changed:
            for entry in self._waiting.values():
                size += len(entry.value)
                if batch and (size > BATCH_BYTES or len(batch) == BATCH_ENTRIES):
                    break
                batch.append(entry)
        return batch

    def _written(self, batch: list[Waiting]) -> None:
        with self._changed:
            for entry in batch:
                if self._waiting.get(entry.key) is entry:  # and not a newer one
                    self._take(entry.key)

    def _enough(self) -> bool:
        return len(self._waiting) >= BATCH_ENTRIES or self._bytes >= BATCH_BYTES

    def _take(self, key: str) -> None:
        entry = self._waiting.pop(key, None)
        if entry is not None:
            self._bytes -= len(entry.value)
