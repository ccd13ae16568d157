"""What searches found, by everything they depend on: for `/search`, and for answers in another mode."""

import time
from collections.abc import Callable

from msgspec.structs import replace

from appliance.cache.memory import MemoryLayer
from appliance.cache.stats import LayerStats
from appliance.cache.tags import tags_of
from appliance.telemetry.stages import Stages
from appliance.types import SearchResult

LAYER = "retrieval"
HIT_BYTES = 700  # of a hit beside its text, as counted with sys.getsizeof over its parts


class RetrievalCache:
    """Search results in memory. Thread-safe."""

    def __init__(self, bound: int) -> None:
        self._kept: MemoryLayer[SearchResult] = MemoryLayer(LAYER, bound)
        self.on = bound > 0

    def through(
        self,
        key: str,
        search: Callable[[], SearchResult],
        *,
        collection: str,
        ttl_s: float,
        still: Callable[[], bool],
    ) -> SearchResult:
        """What is kept under `key`, else what `search` finds, kept for `ttl_s` seconds if `still` after it.

        A result from which something was left out is not kept: the next asker may get the whole one.
        """
        stages = Stages()
        with stages.stage("cache"):
            kept = self._kept.get(key)
        if kept is not None:
            return replace(kept, timings=stages.ms, cached=True)
        found = search()
        if ttl_s > 0 and not found.notice and not (found.understood is not None and found.understood.stale):
            tags = tags_of(collection, {hit.chunk.document_id for hit in found.hits})
            self._kept.put(key, found, size=_size(found), until=time.time() + ttl_s, tags=tags, still=still)
        return found

    def clear(self, tag: str | None = None) -> int:
        return self._kept.clear(tag)

    def stats(self) -> LayerStats:
        return self._kept.stats()


def _size(found: SearchResult) -> int:
    """Bytes in memory, about: a character of a text that is not plain Latin takes two or four."""
    texts = [hit.chunk.text for hit in found.hits]
    if found.context is not None:
        texts += [passage.text for passage in found.context.passages]
    return int(found.query_vector.nbytes) + sum(2 * len(text) + HIT_BYTES for text in texts)
