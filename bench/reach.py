"""What the appliance must reach under load, and whether it did: on two cores with 10,000 passages of real text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from bench.goals import against
from bench.own import Own
from bench.scenarios import Measured

OVERHEAD_MS = 1.5


@dataclass(frozen=True, slots=True)
class Goal:
    """`what` of the scenario `name` (with or without repeats) must be at least, or at most, `limit`."""

    name: str
    repeats: bool
    what: str
    limit: float
    at_most: bool
    value: Callable[[Measured], float | None]


def _p95(run: Measured) -> float:
    return run.latencies.quantile_ms(0.95)


def _probe(path: str) -> Callable[[Measured], float | None]:
    return lambda run: run.watch.probes[path].quantile_ms(0.95) if run.watch.probes[path].count else None


def _slope(what: str) -> Callable[[Measured], float | None]:
    """By how much the slope passes its own 95 % interval: 0 where it is 0 within noise."""

    def beyond(run: Measured) -> float | None:
        found = run.watch.slopes()[what]
        return max(0.0, found.value - found.within) if found.within < float("inf") else None

    return beyond


def _errors(run: Measured) -> float:
    return float(run.failed)


GOALS = (
    Goal("stress", True, "errors", 0, True, _errors),
    Goal("stress", True, "p95, ms", 50, True, _p95),
    Goal("stress", True, "cache hit rate", 0.85, False, lambda run: run.hit_rate),
    Goal("stress", False, "errors", 0, True, _errors),
    Goal("stress", False, "p95, ms", 200, True, _p95),
    Goal("users-search", False, "errors", 0, True, _errors),
    Goal("users-search", False, "searches a second", 220, False, lambda run: run.rate),
    Goal("users-answer", False, "errors", 0, True, _errors),
    Goal("users-answer", False, "extractive answers a second", 130, False, lambda run: run.rate),
    *(
        Goal(name, repeats, f"{path} p95, ms", limit, True, _probe(path))
        for name, repeats in (("stress", True), ("stress", False), ("users-search", False), ("users-answer", False))
        for path, limit in (("/health", 10), ("/metrics", 25))
    ),
    Goal("soak", True, "errors", 0, True, _errors),
    *(
        Goal("soak", True, f"growth of {what} an hour beyond noise", 0, True, _slope(what))
        for what in ("memory", "threads", "descriptors")
    ),
)


def judged(runs: Sequence[Measured], own: Own | None = None) -> list[dict[str, Any]]:
    """A row for each goal of the scenarios that were run: {"scenario", "what", "must", "is", "mark"}.

    `mark` is ok or short; shown for what is measured beside the goals.
    """
    rows = []
    for run in runs:
        for goal in GOALS:
            if goal.name == run.scenario.name and goal.repeats == bool(run.scenario.repeats):
                value = goal.value(run)
                if value is not None:
                    rows.append(_row(_named(run), goal.what, goal.limit, value, at_most=goal.at_most))
    if own is not None:
        told = "our own p50 a question, ms"
        rows.append(_row("one client, 85% repeats", told, OVERHEAD_MS, own.repeats_ms, at_most=True))
        new = {"scenario": "one client, no repeats, no cache", "what": told, "must": "", "is": round(own.new_ms, 2)}
        rows.append(new | {"mark": "shown"})
    return rows


def _named(run: Measured) -> str:
    repeats = f", {run.scenario.repeats:.0%} repeats" if run.scenario.repeats else ", no repeats"
    return run.scenario.name + (repeats if run.scenario.per_minute else "")


def _row(scenario: str, what: str, limit: float, value: float, *, at_most: bool) -> dict[str, Any]:
    return {"scenario": scenario, "what": what} | against(round(value, 4 if value < 1 else 2), limit, at_most=at_most)
