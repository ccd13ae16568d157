"""prometheus_client's histogram with a cheaper `observe`: some twenty are made for one question."""

from bisect import bisect_left
from collections.abc import Mapping

from prometheus_client import Histogram as Original


class Histogram(Original):
    """Safe from many threads: the lock of the sum guards the buckets, too, which nothing else writes to."""

    def observe(self, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Count `amount` (seconds or bytes) in the first bucket whose bound is not below it. Exemplars are not kept."""
        bucket = self._buckets[bisect_left(self._upper_bounds, amount)]
        with self._sum._lock:
            self._sum._value += amount
            bucket._value += 1.0
