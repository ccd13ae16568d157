"""Latencies in bounded memory: counts in buckets whose width is a fixed share of their value, as HdrHistogram has them.

Up to 64 microseconds a bucket is a microsecond wide; above, each octave has 64 buckets, so a value is known to 1.6 %
(Tene, http://hdrhistogram.org). 1,700 counts hold everything from a microsecond to an hour; histograms add up.
"""

from collections.abc import Mapping
from typing import Any

SUB_BITS = 6
SUB = 1 << SUB_BITS
LONGEST_US = 3_600_000_000  # longer ones count as this


class Histogram:
    """Counts of latencies. Not shared between threads."""

    __slots__ = ("_counts", "count", "highest", "total")

    def __init__(self) -> None:
        self._counts = [0] * (_bucket(LONGEST_US) + 1)
        self.count = 0
        self.total = 0.0  # seconds
        self.highest = 0.0  # seconds

    def record(self, seconds: float) -> None:
        """Negative ones count as 0."""
        self._counts[_bucket(min(LONGEST_US, max(0, int(seconds * 1e6))))] += 1
        self.count += 1
        self.total += seconds
        self.highest = max(self.highest, seconds)

    def quantile_ms(self, share: float) -> float:
        """The latency in milliseconds that this share (0..1) does not pass; NaN when nothing was recorded."""
        if not self.count:
            return float("nan")
        wanted = max(1, -int(-share * self.count // 1))
        seen = 0
        for bucket, count in enumerate(self._counts):
            seen += count
            if seen >= wanted:
                return min(_middle_us(bucket) / 1000, self.highest * 1000)
        return self.highest * 1000

    def share_below(self, seconds: float) -> float:
        """The share (0..1) of latencies in the buckets up to that of `seconds`; 1 when nothing was recorded."""
        last = _bucket(min(LONGEST_US, int(seconds * 1e6)))
        return sum(self._counts[: last + 1]) / self.count if self.count else 1.0

    def summary(self) -> dict[str, float]:
        """p50, p95, p99, p99.9 and the highest, in milliseconds."""
        shares = {"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99, "p999_ms": 0.999}
        quantiles = {name: round(self.quantile_ms(share), 3) for name, share in shares.items()}
        return {**quantiles, "max_ms": round(self.highest * 1000, 3)}

    def merge(self, other: "Histogram") -> None:
        self._counts = [one + two for one, two in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.total += other.total
        self.highest = max(self.highest, other.highest)

    def to_json(self) -> dict[str, Any]:
        """The counts by bucket, without empty ones; `from_json` reads it."""
        buckets = {str(bucket): count for bucket, count in enumerate(self._counts) if count}
        return {"buckets": buckets, "total": self.total, "highest": self.highest}

    @classmethod
    def from_json(cls, read: Mapping[str, Any]) -> "Histogram":
        made = cls()
        for bucket, count in read["buckets"].items():
            made._counts[int(bucket)] = count
            made.count += count
        made.total, made.highest = read["total"], read["highest"]
        return made


def _bucket(microseconds: int) -> int:
    shift = max(0, microseconds.bit_length() - SUB_BITS - 1)
    return (shift << SUB_BITS) + (microseconds >> shift)


def _middle_us(bucket: int) -> float:
    shift = max(0, (bucket >> SUB_BITS) - 1)
    low = (bucket - (shift << SUB_BITS)) << shift
    return low + ((1 << shift) - 1) / 2
