"""`bench load SCENARIO`: what arrives, how often and for how long; one run of it; and what it must reach."""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from math import ceil
from typing import Any

import psutil
from rich.progress import TextColumn

from appliance.config import bare_environment
from appliance.paths import PACKAGE
from bench.arrivals import POOL, arrivals, fresh_needed, mixed
from bench.histogram import Histogram
from bench.load import body_of
from bench.progress import bar
from bench.watch import MIB, Watch, watched

REPEATS = 0.85
FILL = 4_000  # questions between two looks at the memory, while the caches fill
FILLS = 30  # looks at most
LOOKS = 4  # together they see four times as many new questions as a soak does
GREW = MIB // 2  # bytes in so many looks that are no growth
MOST_PER_S = {"extractive": 1_000, "generative": 25}  # questions that users in a closed loop are given; then it ends


@dataclass(frozen=True, slots=True)
class Scenario:
    """Open loop with `per_minute`, closed loop with `users`; `repeats` is the share of questions asked before."""

    name: str
    minutes: float
    per_minute: float = 0.0
    users: int = 0
    path: str = "/query"
    repeats: float = 0.0
    mode: str = "extractive"

    def at(self, per_minute: float) -> "Scenario":
        """The same at another rate."""
        return replace(self, per_minute=per_minute)


SCENARIOS = {
    one.name: one
    for one in (
        Scenario("steady", 10, per_minute=1_000, repeats=REPEATS),
        Scenario("spike", 2, per_minute=5_000, repeats=REPEATS),
        Scenario("stress", 5, per_minute=10_000, repeats=REPEATS),
        Scenario("soak", 60, per_minute=500, repeats=REPEATS),
        Scenario("users-search", 1, users=100, path="/search"),
        Scenario("users-answer", 1, users=100),
    )
}


@dataclass(frozen=True, slots=True)
class Target:
    """A server, what it may be asked, and its process where that is on this host."""

    url: str
    key: str
    process: psutil.Process | None
    pool: Sequence[str]  # asked again and again
    fresh: Callable[[int], Sequence[str]]  # that many questions which were never asked
    collection: str = "default"


@dataclass(frozen=True, slots=True)
class Measured:
    """One run. `cpu_s` is the client's own processor time, `late` by how much it was late itself."""

    scenario: Scenario
    latencies: Histogram
    late: Histogram
    errors: dict[str, int]
    seconds: float
    cpu_s: float
    watch: Watch = field(default_factory=Watch)

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.latencies.count / self.seconds

    @property
    def hit_rate(self) -> float | None:
        """The share of questions that the answer cache had; None where it was not asked."""
        hits, misses = (self.watch.metrics.get(f'rag_cache_requests_total{{layer="answers",outcome="{one}"}}', 0.0)
                        for one in ("hit", "miss"))  # fmt: skip
        return hits / (hits + misses) if hits + misses and self.scenario.path == "/query" else None

    def row(self) -> dict[str, Any]:
        """For the table and the result file."""
        requests = self.latencies.count + self.failed
        row: dict[str, Any] = {
            "name": self.scenario.name,
            "repeats": self.scenario.repeats,
            "requests": requests,
            "requests_per_s": round(self.rate, 1),
            **self.latencies.summary(),
            "errors": self.failed,
            "hit_rate": None if self.hit_rate is None else round(self.hit_rate, 4),
            "client_cpu_ms": round(1000 * self.cpu_s / max(1, requests), 3),
            "client_late_p99_ms": round(self.late.quantile_ms(0.99), 2),
            **self.watch.summary(),
        }
        if (used := row.pop("server_cpu_s", None)) is not None:
            row["server_cpu_ms"] = round(1000 * used / max(1, requests), 3)  # a request: runs differ in length
        if self.failed:
            row["error_kinds"] = self.errors
        return row


def measure(scenario: Scenario, target: Target, *, seed: int = 1) -> Measured:
    """Run it: the client is a process of its own. Raises RuntimeError when that fails."""
    spec = _spec(scenario, target, seed)
    if scenario.repeats and scenario.path == "/query":
        prime(target, scenario.mode)
    if scenario.name == "soak" and target.process is not None:
        _fill(target, target.process)
    total = len(spec["bodies"]) if scenario.per_minute else None
    with watched(target.url, target.key, target.process) as watch, _progress(scenario, total) as tell:
        found = run_client(spec, tell)
    return Measured(
        scenario,
        Histogram.from_json(found["latencies"]),
        Histogram.from_json(found["late"]),
        found["errors"],
        found["seconds"],
        found["cpu_s"],
        watch,
    )


def _spec(scenario: Scenario, target: Target, seed: int) -> dict[str, Any]:
    spec: dict[str, Any] = {"url": target.url, "key": target.key, "path": scenario.path}
    if scenario.per_minute:
        spec["at"] = arrivals(scenario.per_minute / 60, 60 * scenario.minutes, seed)
    else:
        spec |= {"users": scenario.users, "seconds": 60 * scenario.minutes}
    count = requests(scenario, seed)
    fresh = target.fresh(fresh_needed(count, scenario.repeats))
    asked = mixed(target.pool, fresh, count, scenario.repeats, seed)
    spec["bodies"] = [body_of(question, scenario.path, target.collection, scenario.mode) for question in asked]
    return spec


def requests(scenario: Scenario, seed: int = 1) -> int:
    """How many a run sends; in a closed loop at most."""
    seconds = 60 * scenario.minutes
    if scenario.per_minute:
        return len(arrivals(scenario.per_minute / 60, seconds, seed))
    return ceil(seconds * MOST_PER_S[scenario.mode] * (2.5 if scenario.repeats else 1))


def new_questions(scenario: Scenario) -> int:
    """How many a run asks at most."""
    filling = FILLS * FILL if scenario.name == "soak" else 0
    return fresh_needed(requests(scenario), scenario.repeats) + filling


def prime(target: Target, mode: str = "extractive") -> None:
    """Each question of the pool once, so that a repeat is one from the beginning."""
    _ask_all(target, target.pool[:POOL], users=2, seconds=120, mode=mode)


def _fill(target: Target, process: psutil.Process) -> None:
    """Ask new questions, many at once, until memory grows no more: the caches, which are bounded, are full then, and
    all threads have begun. What grows after it, grows without end.
    """
    seen = [0] * LOOKS
    for _ in range(FILLS):
        _ask_all(target, target.fresh(FILL), users=16, seconds=300)
        seen.append(process.memory_info().rss)
        if seen[-1] - seen[-1 - LOOKS] < GREW:
            return


def _ask_all(target: Target, questions: Sequence[str], *, users: int, seconds: float, mode: str = "extractive") -> None:
    bodies = [body_of(question, "/query", target.collection, mode) for question in questions]
    client = {"url": target.url, "key": target.key, "path": "/query", "users": users, "seconds": seconds}
    run_client(client | {"bodies": bodies})


def run_client(spec: dict[str, Any], tell: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Start the client process on `spec` (see `bench.client`), pass on how far it is, and give what it measured."""
    environment = bare_environment() | {"PYTHONPATH": str(PACKAGE.parent)}
    with subprocess.Popen(
        [sys.executable, "-m", "bench.client"],
        env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            json.dump(spec, process.stdin)
            process.stdin.close()
            for line in process.stdout:
                told = json.loads(line)
                if "result" in told:
                    found: dict[str, Any] = told["result"]
                    return found
                if tell is not None:
                    tell(told)
        except BrokenPipeError:
            pass  # it has ended; why is said below
        except BaseException:
            process.kill()
            raise
        raise RuntimeError(f"The load client ended early:\n{process.stderr.read()[-2000:]}")


@contextmanager
def _progress(scenario: Scenario, total: int | None) -> Iterator[Callable[[dict[str, Any]], None]]:
    """A bar with the rate, p95 and errors of the last moments; on a terminal, nothing elsewhere."""
    live = TextColumn("{task.fields[live]}")
    with bar(scenario.name, total or scenario.minutes * 60, told=live, live="") as move:

        def tell(told: dict[str, Any]) -> None:
            live = f"{told['recent'] / 0.5:,.0f}/s  p95 {told['p95_ms'] or 0:g} ms  errors {told['errors']}"
            if total:
                move(completed=told["sent"], live=live)
            else:
                move(advance=0.5, live=live)

        yield tell
