"""A server under load seen from outside: its memory, threads, descriptors and processor time, and how soon /health and
/metrics answer meanwhile.
"""

import asyncio
import math
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import psutil
import uvloop

from bench.histogram import Histogram
from bench.wire import Connection, connect, get

LOOK_EVERY_S = 1.0
PROBE_EVERY_S = {"/health": 0.05, "/metrics": 0.25}  # a run of a minute has enough for a p95
PROBE_TIMEOUT_S = 30.0
WARM_UP = 1 / 6  # of the samples of a slope that are left out: caches fill
BLOCKS = 20  # means of neighbouring samples that a slope is fitted to: neighbours are not independent
MIB = 2**20


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a process: seconds from the start, memory in bytes, threads, descriptors, processor seconds."""

    at: float
    memory: int
    threads: int
    descriptors: int
    cpu_s: float


@dataclass(slots=True)
class Watch:
    """What was seen while a load ran."""

    samples: list[Sample] = field(default_factory=list)  # one a second: bounded by the length of a run
    probes: dict[str, Histogram] = field(default_factory=lambda: {path: Histogram() for path in PROBE_EVERY_S})
    probe_errors: int = 0
    metrics: dict[str, float] = field(default_factory=dict)  # what /metrics grew by
    host_cores: float | None = None  # that all programs of this host together kept busy

    def summary(self) -> dict[str, Any]:
        """For a result: memory in MiB, its slope with its 95 % interval, threads, descriptors, processor seconds."""
        told: dict[str, Any] = {
            path.strip("/") + "_p95_ms": round(seen.quantile_ms(0.95), 2)
            for path, seen in self.probes.items() if seen.count
        }  # fmt: skip
        told["probe_errors"] = self.probe_errors
        if len(self.samples) < 2:
            return told
        first, last = self.samples[0], self.samples[-1]
        told |= {
            "server_cpu_s": round(last.cpu_s - first.cpu_s, 2),
            "memory_mib": round(last.memory / MIB, 1),
            "memory_highest_mib": round(max(one.memory for one in self.samples) / MIB, 1),
            "threads": [first.threads, last.threads],
            "descriptors": [first.descriptors, last.descriptors],
        }
        return told

    def slopes(self) -> dict[str, "Slope"]:
        """Of memory in MiB an hour, of threads and descriptors an hour."""
        at = [one.at / 3600 for one in self.samples]
        return {
            "memory": slope(at, [one.memory / MIB for one in self.samples]),
            "threads": slope(at, [float(one.threads) for one in self.samples]),
            "descriptors": slope(at, [float(one.descriptors) for one in self.samples]),
        }


@dataclass(frozen=True, slots=True)
class Slope:
    """Least squares: `value` a unit of time, and half the width of its 95 % interval (infinite with few samples)."""

    value: float
    within: float

    @property
    def flat(self) -> bool:
        """0 lies in the interval."""
        return abs(self.value) <= self.within


def slope(at: Sequence[float], values: Sequence[float]) -> Slope:
    """Of `values` over `at`, without the warm-up, from the means of BLOCKS blocks of neighbours (Student's t)."""
    start = int(len(at) * WARM_UP)
    times, seen = np.array(at[start:]), np.array(values[start:])
    count = min(BLOCKS, len(times))
    if count < 4:
        return Slope(0.0, math.inf)
    blocks = np.array_split(np.arange(len(times)), count)
    x, y = (np.array([part[block].mean() for block in blocks]) for part in (times, seen))
    spread = float(((x - x.mean()) ** 2).sum())
    found = float(((x - x.mean()) * (y - y.mean())).sum()) / spread
    left = y - y.mean() - found * (x - x.mean())
    error = math.sqrt(float((left**2).sum()) / (count - 2) / spread)
    return Slope(found, _student(count - 2) * error)


def _student(freedom: int) -> float:
    """The .975 quantile of Student's t (Abramowitz, Stegun 26.7.5)."""
    z = 1.959964
    terms = ((z**3 + z) / 4, (5 * z**5 + 16 * z**3 + 3 * z) / 96, (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384)
    return z + sum(term / float(freedom) ** power for power, term in enumerate(terms, 1))


@contextmanager
def watched(url: str, key: str, process: psutil.Process | None) -> Iterator[Watch]:
    """While the block runs, `process` (None: unknown) is looked at and the routes are asked, by another thread."""
    seen, over = Watch(), threading.Event()
    began = time.perf_counter()

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_watch(url, key, process, seen, over, began))

    thread = threading.Thread(target=run, name="watch")
    thread.start()
    try:
        yield seen
    finally:
        over.set()
        thread.join()


async def _watch(
    url: str, key: str, process: psutil.Process | None, seen: Watch, over: threading.Event, began: float
) -> None:
    before = _numbers(await _page(url, key))
    worked, since = _host_worked(), time.perf_counter()
    probes = [asyncio.create_task(_probe(url, key, path, every, seen)) for path, every in PROBE_EVERY_S.items()]
    while not over.is_set():
        if process is not None:
            _look(process, seen, began)
        until = time.perf_counter() + LOOK_EVERY_S
        while time.perf_counter() < until and not over.is_set():
            await asyncio.sleep(0.05)
    if process is not None:
        _look(process, seen, began)
    for probe in probes:
        probe.cancel()
    await asyncio.gather(*probes, return_exceptions=True)
    seen.host_cores = (_host_worked() - worked) / (time.perf_counter() - since)
    after = _numbers(await _page(url, key))
    seen.metrics = {name: value - before.get(name, 0.0) for name, value in after.items()}


def _look(process: psutil.Process, seen: Watch, began: float) -> None:
    try:
        with process.oneshot():
            used = process.cpu_times()
            seen.samples.append(Sample(time.perf_counter() - began, process.memory_info().rss, process.num_threads(),
                                       process.num_fds(), used.user + used.system))  # fmt: skip
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        seen.probe_errors += 1


def _host_worked() -> float:
    """Processor seconds of the whole host, of all cores."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


async def _probe(url: str, key: str, path: str, every: float, seen: Watch) -> None:
    """Ask at fixed times; an answer's time counts from the moment at which it was to be asked."""
    request = get(url, key, path)
    connection: Connection | None = None
    due = time.perf_counter()
    try:
        while True:
            due += every
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            try:
                if connection is None or not connection.open:
                    connection = await connect(url)
                sent = min(due, time.perf_counter())
                if await connection.ask(request, PROBE_TIMEOUT_S) != 200:
                    raise ConnectionResetError("not answered")
                seen.probes[path].record(time.perf_counter() - sent)
            except OSError:
                seen.probe_errors += 1
                connection = None
    finally:
        if connection is not None:
            connection.close()


async def _page(url: str, key: str) -> str:
    try:
        connection = await connect(url, keep=True)
        await connection.ask(get(url, key, "/metrics"), PROBE_TIMEOUT_S)
    except OSError:
        return ""
    connection.close()
    return connection.body.decode(errors="replace")


def _numbers(page: str) -> dict[str, float]:
    """Series name with labels -> value."""
    rows = (line.rpartition(" ") for line in page.splitlines() if line and not line.startswith("#"))
    return {name: float(value) for name, _, value in rows if name}
