"""How long the stages of one question took: for the answer's `timings` and for the stage histogram."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from appliance.telemetry.metrics import STAGE_SECONDS


class Stages:
    """Times of one question. Not shared between threads. `ms` are milliseconds by stage, in the order they ran."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time the body under `name`, one of a fixed set of names; a stage that runs twice is added up."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """What a stage took that ran beside the others."""
        self.ms[name] = self.ms.get(name, 0.0) + round(seconds * 1000, 3)
        STAGE_SECONDS.labels(name).observe(seconds)
