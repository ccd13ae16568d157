"""`bench load SCENARIO…`: each scenario on a server, the rows of what must be reached, and our own overhead."""

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from appliance.config import Settings
from bench.own import NO_CACHE, own_overhead
from bench.reach import judged
from bench.scenarios import SCENARIOS, Measured, Scenario, measure, new_questions
from bench.target import FEW_PASSAGES, Site, Source, site


def chosen(names: Sequence[str], minutes: float | None, repeats: float | None, rate: float | None) -> list[Scenario]:
    """The scenarios of the names; `users` and `all` stand for several. What is None stays as the scenario has it."""
    groups = {
        "users": ["users-search", "users-answer"],
        "all": ["stress", "stress-fresh", "users-search", "users-answer", "overhead"],
    }
    found: list[Scenario] = []
    for name in (member for one in names for member in groups.get(one, [one])):
        scenario = replace(SCENARIOS["stress"], repeats=0.0) if name == "stress-fresh" else SCENARIOS.get(name)
        if scenario is None:
            continue
        if scenario.per_minute:
            share = scenario.repeats if repeats is None or name == "stress-fresh" else repeats
            scenario = replace(scenario, per_minute=rate or scenario.per_minute, repeats=share)
        found.append(replace(scenario, minutes=minutes or scenario.minutes))
    return found


def bench_under_load(
    settings: Settings, source: Source, scenarios: Sequence[Scenario], *, overhead: bool = False
) -> dict[str, Any]:
    """{"runs": [a row a scenario], "reach": [a row a goal], "documents", "passages", "source", "warnings"}.

    Scenarios of users run with the cache off, where the server is of our own. Raises InvalidRequest, RuntimeError.
    """
    measured: list[Measured] = []
    with site(source, settings) as place:
        place.fresh.prepare(sum(map(new_questions, scenarios)))  # what is missing is told before the first run
        for scenario in scenarios:
            others: dict[str, object] = {} if scenario.per_minute else NO_CACHE
            with place.target(**others) as target:
                measured.append(measure(scenario, target))
        own = None
        if overhead and place.data is not None:
            own = own_overhead(settings, source)
    return {
        "runs": [one.row() | _soak(one) for one in measured],
        "reach": judged(measured, own),
        "documents": place.documents,
        "passages": place.passages,
        "source": place.told,
        "warnings": warnings(place),
    }


def _soak(run: Measured) -> dict[str, Any]:
    if run.scenario.name != "soak" or not run.watch.samples:
        return {}
    return {
        f"{what}_slope_per_hour": f"{found.value:.2f} +- {found.within:.2f}"
        for what, found in run.watch.slopes().items()
    }


def warnings(place: Site) -> list[str]:
    """What makes the figures say less than they seem to."""
    found = []
    if place.passages < FEW_PASSAGES:
        found.append(f"the collection is small ({place.passages} passages): with more, questions take longer")
    if os.getloadavg()[0] > 1.5 * len(os.sched_getaffinity(0)):
        found.append("the host is busy with other work")
    if place.data is None:
        found.append("the server was measured as it runs: its cache is on, and others may have asked meanwhile")
    return found
