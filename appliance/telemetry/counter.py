"""prometheus_client's counter with a cheaper `inc`: a question moves up to eight of them."""

import threading
from collections.abc import Iterable

from prometheus_client import Counter as Original
from prometheus_client.samples import Sample

from appliance.telemetry.steps import Total


class Counter(Total, Original):  # type: ignore[misc] # `inc` takes no exemplar
    """Adds up without a lock of its own, and tells the original when somebody looks. Safe from many threads."""

    def _metric_init(self) -> None:
        super()._metric_init()
        self._telling = threading.Lock()
        self.observable = True

    def _child_samples(self) -> Iterable[Sample]:
        with self._telling:
            self._value.set(self.total)
            return super()._child_samples()
