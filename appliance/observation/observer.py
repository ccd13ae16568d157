"""Looks at every part of an appliance in turn; a part that fails leaves a gap and a count, never an error."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence

import structlog

from appliance import __version__
from appliance.app import Appliance
from appliance.observation import host, indexes, parts
from appliance.observation.indexes import Lags
from appliance.observation.reading import Reading
from appliance.telemetry import gauges
from appliance.telemetry.exposition import Labels, Readings, Sampled
from appliance.telemetry.metrics import METRICS_FAILED
from appliance.telemetry.process import process_readings

FRESH_S = 5.0  # between two looks, however often the page is asked for

log = structlog.get_logger(__name__)


class Observer:
    """Thread-safe. Takes no lock that a writer holds for long: rows are read beside it, as SQLite's WAL allows."""

    def __init__(self, appliance: Appliance, *, fresh_s: float = FRESH_S) -> None:
        self._fresh_s = fresh_s
        self._looking = threading.Lock()
        self._seen: Readings = {}
        self._looked_at = -fresh_s
        lags = Lags()
        self._looks: dict[str, Callable[[], Iterator[Reading]]] = {
            "program": lambda: iter([(gauges.BUILD, (__version__,), 1.0)]),
            "process": process_readings,
            "starts": lambda: parts.starts(appliance),
            "components": lambda: parts.components(appliance),
            "queues": lambda: parts.queues(appliance),
            "costs": lambda: parts.costs(appliance),
            "cache": lambda: parts.caches(appliance),
            "models": lambda: parts.models(appliance),
            "indexes": lambda: indexes.look(appliance, lags),
            "files": lambda: host.files(appliance),
            "disk": lambda: host.disk(appliance),
            "memory": host.memory,
            "backups": lambda: parts.backups(appliance),
        }

    def readings(self) -> Readings:
        """What was seen last; seen now, where that is older than `fresh_s` and nobody else is just looking."""
        if time.monotonic() - self._looked_at < self._fresh_s or not self._looking.acquire(blocking=not self._seen):
            return self._seen
        try:
            if time.monotonic() - self._looked_at >= self._fresh_s:
                self._seen = self._look()
                self._looked_at = time.monotonic()
            return self._seen
        finally:
            self._looking.release()

    def known(self, within_s: float | None = None) -> Readings | None:
        """What was seen at most so many seconds ago (None: lately enough not to look again), without looking."""
        age = time.monotonic() - self._looked_at
        return self._seen if self._seen and age < (self._fresh_s if within_s is None else within_s) else None

    def _look(self) -> Readings:
        found: dict[Sampled, list[tuple[Labels, float]]] = {}
        for part, look in self._looks.items():
            for sampled, labels, value in self._seen_of(part, look):
                found.setdefault(sampled, []).append((labels, value))
        return found

    @staticmethod
    def _seen_of(part: str, look: Callable[[], Iterator[Reading]]) -> Sequence[Reading]:
        try:
            return list(look())
        except Exception as error:  # noqa: BLE001 - whatever ails a part, the page of the others is needed most then
            METRICS_FAILED.labels(part).inc()
            log.warning("part_not_observed", part=part, error=f"{type(error).__name__}: {error}"[:200])
            return []
