"""prometheus_client's histogram with a cheaper `observe`: some twenty are made for one question."""

from bisect import bisect_left
from collections.abc import Iterable, Mapping

from prometheus_client import Histogram as Original
from prometheus_client.samples import Sample

from appliance.telemetry.put_down import taken
from appliance.telemetry.steps import MOST_UNCOUNTED


class Histogram(Original):
    """Amounts are only put down when they are observed, and counted when somebody looks or when they are many. Safe
    from many threads: the lock of the sum guards the buckets, too, which nothing else writes to.
    """

    def _metric_init(self) -> None:
        super()._metric_init()
        self.uncounted: list[float] = []  # whoever adds to it calls `count` when it is long

    def observe(self, amount: float, exemplar: Mapping[str, str] | None = None) -> None:
        """Count `amount` (seconds or bytes) in the first bucket whose bound is not below it. Exemplars are not kept."""
        self.uncounted.append(amount)
        if len(self.uncounted) >= MOST_UNCOUNTED:
            self.count()

    def count(self) -> None:
        """Bring sum and buckets up to date with what was observed until now."""
        with self._sum._lock:
            for amount in taken(self.uncounted):
                self._sum._value += amount
                self._buckets[bisect_left(self._upper_bounds, amount)]._value += 1.0

    def _child_samples(self) -> Iterable[Sample]:
        self.count()
        return super()._child_samples()
