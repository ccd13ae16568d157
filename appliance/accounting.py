"""What requests take: summed up in memory, written to the database every few seconds, and as an estimate of energy.

core-seconds = CPU time of the request's own thread; time x threads for a batch that is embedded
             + share of the generator's time (of each second, every one of m requests at once pays 1/m) x threads
watt-hours   = core-seconds x watts_per_core / 3600
"""

import contextlib
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

import structlog

from appliance.config import Settings
from appliance.errors import ApplianceError
from appliance.inference import Metered, SharedTime
from appliance.pulse import Pulse
from appliance.store import Costs
from appliance.store.database import WriterBusyError
from appliance.types import Generator, Usage

log = structlog.get_logger(__name__)

WRITE_EVERY_S = 5.0  # what a crash can lose
_DAY_S = 86_400
_EPOCH = date(1970, 1, 1)


def watt_hours(compute_s: float, watts_per_core: float) -> float:
    """The estimate of energy for seconds of one core."""
    return compute_s * watts_per_core / 3600


def first_day(days: int) -> str:
    """The first of the last `days` days, today included: an ISO date (UTC)."""
    return (datetime.now(UTC).date() - timedelta(days=days - 1)).isoformat()


class Spending:
    """What one request takes. `generator` is the one to use in it; `counts` are amounts by the names of `Sums`."""

    def __init__(self, generator: Generator | None, shared: SharedTime, settings: Settings, principal: str) -> None:
        self.generator = Metered(generator, shared, principal) if generator is not None else None
        self.counts: Counter[str] = Counter()
        self.beside_s = 0.0  # core-seconds of other threads that worked for it
        self.told: Usage | None = None  # what `usage` said last
        self._settings = settings
        self._began = time.thread_time()

    def usage(self, compression_saved_tokens: int = 0) -> Usage:
        """What was taken until now, by the thread that began."""
        compute_s = time.thread_time() - self._began + self.beside_s
        tokens = (0, 0)
        if self.generator is not None:
            tokens = (self.generator.prompt_tokens, self.generator.completion_tokens)
            compute_s += self.generator.seconds * self._settings.threads
        energy = watt_hours(compute_s, self._settings.watts_per_core)
        self.told = Usage(*tokens, round(compute_s, 6), round(energy, 9), compression_saved_tokens)
        return self.told


class Accounts:
    """Sums by principal and day. Adding costs a microsecond and never waits for the disk. Thread-safe."""

    def __init__(self, costs: Costs, settings: Settings, pulse: Pulse | None = None) -> None:
        self._costs = costs
        self._pulse = pulse or Pulse("accounts")
        self._settings = settings
        self._shared = SharedTime()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._unwritten: dict[tuple[int, str], dict[str, float]] = {}
        self._totals: dict[str, float] = {}
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_writing, name="accounts", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Write what is left and stop."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
        self._pulse.end()
        self.write()

    @contextlib.contextmanager
    def spending(self, principal: str, generator: Generator | None = None) -> Iterator[Spending]:
        """What the block takes goes to the sums of `principal`, also when it fails."""
        spending = Spending(generator, self._shared, self._settings, principal)
        try:
            yield spending
        finally:
            usage = spending.told or spending.usage()
            spending.counts["prompt_tokens"] += usage.prompt_tokens
            spending.counts["completion_tokens"] += usage.completion_tokens
            amounts: dict[str, float] = {**spending.counts, "compute_s": usage.compute_s}
            self.add(principal, amounts)

    def add(self, principal: str, amounts: Mapping[str, float]) -> None:
        """Add amounts by the names of `Sums`."""
        key = (int(time.time()) // _DAY_S, principal)
        with self._lock:
            known = self._unwritten.setdefault(key, {})
            for name, amount in amounts.items():
                known[name] = known.get(name, 0) + amount
                self._totals[name] = self._totals.get(name, 0) + amount

    def totals(self) -> dict[str, float]:
        """The sums of everybody since the start, by the names of `Sums`."""
        with self._lock:
            return dict(self._totals)

    def write(self) -> None:
        """Bring the database up to date; where it cannot be written now, the sums wait in memory."""
        with self._writing:
            with self._lock:
                taken, self._unwritten = self._unwritten, {}
            if not taken:
                return
            dated = {((_EPOCH + timedelta(days=day)).isoformat(), who): sums for (day, who), sums in taken.items()}
            try:
                self._costs.add(dated, keep_from=first_day(self._settings.costs_days))
            except (ApplianceError, WriterBusyError) as error:
                log.warning("costs_not_written", error=str(error) or "the database is busy")
                self._put_back(taken)

    def _put_back(self, taken: Mapping[tuple[int, str], Mapping[str, float]]) -> None:
        with self._lock:
            for key, sums in taken.items():
                known = self._unwritten.setdefault(key, {})
                for name, amount in sums.items():
                    known[name] = known.get(name, 0) + amount

    def _keep_writing(self) -> None:
        while not self._stopped.wait(WRITE_EVERY_S):
            self._pulse.beat()
            self.write()
