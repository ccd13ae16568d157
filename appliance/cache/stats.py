"""What a layer of the cache counts: for `/cache/stats` and for the metrics."""

from dataclasses import dataclass

from appliance.telemetry.metrics import CACHE_EVICTIONS, CACHE_REQUESTS


@dataclass(frozen=True, slots=True)
class LayerStats:
    """Counts since this process opened the layer, and what it holds now; `bound` is the most bytes it may hold."""

    layer: str
    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int
    bound: int
    errors: int = 0


class Counts:
    """Hits, misses and evictions of one layer, in memory and as metrics. Calls come under the layer's own lock."""

    __slots__ = ("_evicted", "_hit", "_miss", "evictions", "hits", "misses")

    def __init__(self, layer: str) -> None:
        self.hits = self.misses = self.evictions = 0
        self._hit = CACHE_REQUESTS.labels(layer, "hit")
        self._miss = CACHE_REQUESTS.labels(layer, "miss")
        self._evicted = CACHE_EVICTIONS.labels(layer)

    def asked(self, hit: bool) -> None:
        """One look-up."""
        if hit:
            self.hits += 1
            self._hit.inc()
        else:
            self.misses += 1
            self._miss.inc()

    def evicted(self, count: int) -> None:
        """Entries that went to make room."""
        if count > 0:
            self.evictions += count
            self._evicted.inc(count)
