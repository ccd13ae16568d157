"""Whole answers: a layer in memory above the one on disk. A hit costs microseconds, and an orderly stop keeps all."""

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from appliance.cache.disk import DiskLayer
from appliance.cache.memory import MemoryLayer
from appliance.cache.stats import Counts, LayerStats
from appliance.cache.tags import tags_of


class Origin(NamedTuple):
    """The layer that an answer comes from, empty where it was computed; `question` is the earlier one that it was made
    for, where that is another.
    """

    layer: str = ""
    question: str = ""


COMPUTED, MEMORY, DISK, STALE = Origin(), Origin("memory"), Origin("disk"), Origin("stale")


class Kept(NamedTuple):
    """A cached answer as bytes, and where it was."""

    value: bytes
    origin: Origin


class AnswerCache:
    """Answers by key, in two layers. A broken disk means that only memory answers, never an exception.

    `disk_bytes` bounds the database file (0 turns all of it off), `memory_bytes` the layer above it.
    """

    def __init__(self, directory: Path, *, disk_bytes: int, memory_bytes: int) -> None:
        self._disk = DiskLayer(directory, size_bytes=disk_bytes)
        self._memory: MemoryLayer[bytes] = MemoryLayer(MEMORY.layer, memory_bytes if disk_bytes else 0)
        self._counts = Counts("answers")
        self._lock = threading.Lock()
        self._on = disk_bytes > 0

    def get(self, key: str) -> Kept | None:
        """The answer kept under `key`. Safe from many threads."""
        if not self._on:
            return None
        value, origin = self._memory.get(key), MEMORY
        if value is None:
            value, origin = self._from_disk(key), DISK
        with self._lock:
            self._counts.asked(value is not None)
        return None if value is None else Kept(value, origin)

    def left_behind(self, keys: Iterable[str]) -> Kept | None:
        """The first answer under keys of versions that a collection has left a moment ago."""
        for key in keys:
            kept = self.get(key)
            if kept is not None:
                return Kept(kept.value, STALE)
        return None

    def _from_disk(self, key: str) -> bytes | None:
        """What the disk has, taken up into memory unless something was removed meanwhile."""
        purges = self._memory.purges
        found = self._disk.get(key)
        if found is None:
            return None
        self._memory.put(
            key,
            found.value,
            size=len(found.value),
            until=found.until,
            tags=found.tags,
            still=lambda: self._memory.purges == purges,
        )
        return found.value

    def put(
        self, key: str, value: bytes, *, ttl_s: float, tags: frozenset[str], still: Callable[[], bool] = lambda: True
    ) -> None:
        """Keep `value` for `ttl_s` seconds under `tags`, if `still`, asked under the locks that `erase` takes."""
        if not self._on or ttl_s <= 0:
            return
        self._memory.put(key, value, size=len(value), until=time.time() + ttl_s, tags=tags, still=still)
        self._disk.put(key, value, ttl_s=ttl_s, tags=tags, still=still)

    def flush(self) -> None:
        """Write to disk now what waits for it."""
        self._disk.flush()

    def clear(self, tag: str | None = None) -> int:
        """Remove the answers that carry `tag`, or all; returns how many went."""
        in_memory = self._memory.clear(tag)
        return max(in_memory, self._disk.clear(tag))

    def erase(self, collection: str) -> int:
        """Remove the answers of a collection so that no byte of them stays in the files; returns how many went.

        Raises StorageError when that cannot be done; then the entries may still be there.
        """
        (tag,) = tags_of(collection)
        in_memory = self._memory.clear(tag)
        on_disk = self._disk.erase(tag)
        self._memory.clear(tag)  # what was read from disk in between
        return max(in_memory, on_disk)  # one that was on its way to the disk may not have been written any more

    def stats(self) -> tuple[LayerStats, LayerStats, LayerStats]:
        """Of both layers together, of memory, and of the disk."""
        memory, disk, counts = self._memory.stats(), self._disk.stats(), self._counts
        held = (max(memory.entries, disk.entries), memory.bytes + disk.bytes, memory.bound + disk.bound, disk.errors)
        evicted = memory.evictions + disk.evictions
        return LayerStats("answers", counts.hits, counts.misses, evicted, *held), memory, disk

    def close(self) -> None:
        """Write what waits for the disk. Later calls are misses."""
        self._on = False
        self._memory.clear()
        self._disk.close()
