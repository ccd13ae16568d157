"""What tracing, metrics and the log take of the throughput: the same load against a server with them and without.

It is one server, which a signal strips of them and another gives them back: two of the same code, on copies of the same
data, differ by 2 %. Rounds with and without alternate, so that whatever else the host does meets both. The ratio of
each pair of rounds gives the mean and its confidence interval.
"""

import contextlib
import json
import math
import os
import signal
import statistics
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from appliance.config import Settings, load_settings
from appliance.paths import DataPaths
from bench.serving import copied, scratch
from bench.target import Source, site

START_S = 60.0
CACHED = 20  # questions that are asked again and again
STRIP, RESTORE = signal.SIGUSR1, signal.SIGUSR2
TICK_S = 0.01  # of the clock of processor time
ALLOWED = 0.05  # share of the throughput
# Student's t for 95 %, two-sided, by degrees of freedom (more: 1.96)
_T = (12.71, 4.30, 3.18, 2.78, 2.57, 2.45, 2.36, 2.31, 2.26, 2.23, 2.20, 2.18, 2.16, 2.14, 2.13, 2.12, 2.11, 2.10, 2.09)


@dataclass(frozen=True, slots=True)
class Compared:
    """One kind of load. `added` is the share of the throughput that is lost, between `low` and `high` with 95 %.

    `added_cpu` is the share of the server's processor time per request, which hardly depends on what else runs.
    """

    name: str
    with_per_s: float
    without_per_s: float
    added: float
    low: float
    high: float
    added_cpu: float
    errors: int


@dataclass(frozen=True, slots=True)
class Server:
    """A server of our own and how to reach it."""

    process: psutil.Process
    url: str
    key: str

    def call(self, path: str, body: dict[str, Any] | None = None) -> Any:
        headers = {"X-API-Key": self.key, "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers), timeout=60) as answer:
            return json.loads(answer.read())

    def strip(self, bare: bool) -> None:
        """Take it out, or put it back."""
        os.kill(self.process.pid, STRIP if bare else RESTORE)
        self.call("/health")  # by then the main thread has taken the signal

    def cpu_s(self) -> float:
        times = self.process.cpu_times()
        return float(times.user + times.system)


def bench_overhead(settings: Settings, source: Source, *, rounds: int = 8, seconds: float = 2.0) -> dict[str, Any]:
    """Measure cached and new questions, `rounds` pairs of `seconds` each, on a copy of the data.

    Returns {"runs": […], "allowed", "documents", "passages", "source"}. Raises InvalidRequest, RuntimeError.
    """
    with site(source, settings) as place, contextlib.ExitStack() as stack:
        assert place.data is not None, "a server of our own is measured"
        server = stack.enter_context(_server(settings, place.data))
        cached = list(place.pool[:CACHED])
        for question in cached:
            server.call("/query", {"question": question, "mode": "extractive"})

        def mixed() -> list[str]:
            return _mixed(cached, _some(place.fresh, seconds))

        runs = [
            _compare("cached, 32 clients", server, rounds, seconds, lambda: cached, clients=32),
            _compare("cached, 1 client", server, rounds, seconds, lambda: cached, clients=1),
            _compare("85 % repeats, 32 clients", server, rounds, seconds, mixed, clients=32),
            _compare("new, 8 clients", server, rounds, seconds, lambda: _some(place.fresh, seconds), clients=8),
        ]
    told: dict[str, Any] = {"documents": place.documents, "passages": place.passages, "source": place.told}
    return {"runs": [asdict(run) for run in runs], "allowed": ALLOWED, "rounds": rounds, "seconds": seconds} | told


def _compare(
    name: str, server: Server, rounds: int, seconds: float, ask: Callable[[], list[str]], *, clients: int
) -> Compared:
    """Rounds in the order with, without, without, with, …: what drifts meets both alike."""
    from bench.load import run

    rates: tuple[list[float], list[float]] = ([], [])
    cpu: tuple[list[float], list[float]] = ([], [])
    errors = 0
    for number in range(rounds):
        for which in (0, 1) if number % 2 == 0 else (1, 0):
            server.strip(bool(which))
            questions, before = ask(), server.cpu_s()
            done = run(
                server.url, server.key, name=name, questions=questions, clients=clients, seconds=seconds,
                repeat=len(questions) == CACHED,
            )  # fmt: skip
            rates[which].append(max(done.requests_per_s, 1 / seconds))  # a ratio needs one, and a tick
            cpu[which].append(max(server.cpu_s() - before, TICK_S) / max(1, done.requests))
            errors += done.errors
    kept, low, high = interval([a / b for a, b in zip(*rates, strict=True)])
    processor, _, _ = interval([a / b for a, b in zip(*cpu, strict=True)])
    with_per_s, without_per_s = (round(statistics.median(one), 1) for one in rates)
    added, least, most = (round(1 - share, 4) for share in (kept, high, low))
    return Compared(name, with_per_s, without_per_s, added, least, most, round(processor - 1, 4), errors)


def interval(ratios: Sequence[float]) -> tuple[float, float, float]:
    """Geometric mean of ratios and its 95 % confidence interval (Student's t over the logarithms)."""
    logs = [math.log(ratio) for ratio in ratios]
    mean = statistics.fmean(logs)
    if len(logs) < 2:
        return math.exp(mean), 0.0, math.inf
    t = _T[len(logs) - 2] if len(logs) - 2 < len(_T) else 1.96
    wide = t * statistics.stdev(logs) / math.sqrt(len(logs))
    return math.exp(mean), math.exp(mean - wide), math.exp(mean + wide)


@contextlib.contextmanager
def _server(settings: Settings, data: Path) -> Iterator[Server]:
    """A forked process that serves on a copy of `data`; STRIP takes out what is measured here, RESTORE puts it back."""
    with scratch() as folder:
        copied(data, folder)
        pid = os.fork()
        if not pid:
            os._exit(_serve(folder, settings))
        try:
            yield _reached(DataPaths(folder).server, pid)
        finally:
            os.kill(pid, signal.SIGTERM)
            os.waitpid(pid, 0)


def _serve(folder: Path, settings: Settings) -> int:
    """Serve until SIGTERM; in the forked process."""
    with (folder / "server.log").open("wb") as out:
        for stream in (1, 2):
            os.dup2(out.fileno(), stream)
    try:
        from appliance.app import Appliance
        from appliance.telemetry import log
        from appliance.web import serve

        log.configure("info", "json")
        _take_signals()
        taken = {name: getattr(settings, name) for name in ("embedder", "threads", "abstain_below")}
        loaded = load_settings({**taken, "data_dir": folder, "port": 0, "generator": "none"})
        with Appliance.open(loaded, purpose="bench") as appliance:
            return serve(appliance)
    except BaseException as error:  # noqa: BLE001 - told by the log; a forked process must not return
        sys.stderr.write(f"{error!r}\n")
        return 1


def _take_signals() -> None:
    from bench.bare import strip

    undo: list[Callable[[], None]] = []  # one at most

    def change(number: int, frame: FrameType | None) -> None:
        if number == STRIP and not undo:
            undo.append(strip())
        elif number == RESTORE and undo:
            undo.pop()()

    for number in (STRIP, RESTORE):
        signal.signal(number, change)


def _reached(path: Path, pid: int) -> Server:
    """Raises RuntimeError when it does not answer."""
    until = time.monotonic() + START_S
    while time.monotonic() < until:
        with contextlib.suppress(OSError, ValueError, KeyError):
            told = json.loads(path.read_text("utf-8"))
            server = Server(psutil.Process(pid), told["url"], told["key"])
            server.call("/health")
            return server
        time.sleep(0.1)
    raise RuntimeError(f"The server did not start:\n{path.with_name('server.log').read_text(errors='replace')[-2000:]}")


def _mixed(cached: Sequence[str], new: Sequence[str]) -> list[str]:
    """As people ask: of 20 questions 17 were asked before."""
    return [
        new[at // 20 * 3 + at % 20 - 17] if at % 20 >= 17 else cached[at % len(cached)] for at in range(len(new) * 6)
    ]


def _some(fresh: Callable[[int], list[str]], seconds: float) -> list[str]:
    """Enough new questions for a round, whatever the host can do."""
    return fresh(int(600 * seconds))
