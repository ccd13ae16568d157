"""`bench certificate`: what this host sustains, found by raising the load until the SLO breaks, in a few minutes.

Every stage is bounded. The search for the knee is open loop: a short closed-loop run gives a first idea of the
capacity, then rates around it are offered, each for some seconds, up to the first that is not sustained, and once more
between that and the last that was.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from appliance import __version__
from appliance.config import Settings
from appliance.paths import HANDBOOK, DataPaths
from bench import capacity
from bench.capacity import SECONDS_BETWEEN_QUESTIONS, Step, figure, sustained
from bench.capacity_page import headline, html, markdown
from bench.load import run
from bench.own import NO_CACHE, overhead_at
from bench.ratio import raw_server
from bench.scenarios import Scenario, Target, measure, run_client
from bench.serving import call, running_process, scratch, server
from bench.target import Site, Source, site
from bench.under_load import warnings

__all__ = ["LEVELS", "Source", "certify", "headline"]

RATES = (0.3, 0.6, 0.8, 1.0, 1.2, 1.5, 2.0, 3.0)  # of the capacity in a closed loop
MOST_PER_S = 3_000.0  # offered at most: beyond it the client is what is measured
GENERATED_SHARE = 4  # times as long are steps with generation: an answer takes seconds
GENERATED_POOL = 20  # questions that repeats with generation are drawn from: each is answered once before


@dataclass(frozen=True, slots=True)
class Level:
    """How long is measured: seconds a step, numbers of users, whether answers are generated."""

    name: str
    step_s: float
    users: tuple[int, ...]
    generate: bool


LEVELS = {
    one.name: one
    for one in (
        Level("quick", 4, (1, 8, 32), False),
        Level("normal", 8, (1, 4, 16, 64), True),
        Level("full", 30, (1, 2, 4, 8, 16, 32, 64, 100), True),
    )
}
# Mode -> questions asked before, the body's mode, whether the caches are on.
MODES = {
    "extractive, 85 % repeats": (0.85, "extractive", True),
    "extractive, no cache": (0.0, "extractive", False),
    "generated, 85 % repeats": (0.85, "generative", True),
    "generated, no cache": (0.0, "generative", False),
}


def certify(
    settings: Settings, source: Source, level: Level, folder: Path, tell: Callable[[str], None]
) -> dict[str, Any]:
    """Measure and write CAPACITY.md, capacity.json and capacity.html into `folder`; -> what capacity.json holds.

    Raises InvalidRequest, RuntimeError, OSError.
    """
    began = time.monotonic()
    with site(source, settings) as place:
        found = _measured(place, settings, level, tell)
    tell("our own overhead, without models")
    found["overhead"] = _overhead(settings)
    _derived(found, _empty_memory(settings), settings)
    found["took_s"] = round(time.monotonic() - began)
    write(found, folder)
    return found


def write(found: dict[str, Any], folder: Path) -> None:
    """The three files, each replaced as a whole."""
    import json

    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    contents = {"CAPACITY.md": markdown(found), "capacity.html": html(found),
                "capacity.json": json.dumps(found, ensure_ascii=False, indent=2) + "\n"}  # fmt: skip
    for name, content in contents.items():
        beside = folder / f".{name}.new"
        beside.write_text(content, encoding="utf-8")
        beside.replace(folder / name)


def conditions(place: Site, settings: Settings, level: Level) -> dict[str, Any]:
    """What the figures depend on."""
    import platform
    import re

    model = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(errors="replace"), re.MULTILINE)
    return {
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": __version__,
        "processor": model.group(1) if model else platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_bytes": psutil.virtual_memory().total,
        "kernel": platform.release(),
        "level": level.name,
        "source": place.told,
        "collection": place.source.collection,
        "documents": place.documents,
        "passages": place.passages,
        "embedder": settings.embedder,
        "generator": settings.generator,
        "threads": settings.threads,
        "slo": {
            "p95_s": capacity.SLO_P95_S["extractive"],
            "generated_p95_s": capacity.SLO_P95_S["generative"],
            "ok_share": capacity.SLO_OK,
        },
        "warnings": warnings(place),
    }


def _measured(place: Site, settings: Settings, level: Level, tell: Callable[[str], None]) -> dict[str, Any]:
    steps: list[Step] = []
    users: list[dict[str, Any]] = []
    found: dict[str, Any] = conditions(place, settings, level)
    for mode, (repeats, wanted, cached) in MODES.items():
        generates = wanted == "generative"
        if generates and (settings.generator == "none" or not level.generate):
            continue
        with place.target(**({} if cached else NO_CACHE)) as target:
            found.setdefault("dimensions", _dimensions(target))
            _idle(found, target)
            seconds = level.step_s * (GENERATED_SHARE if generates else 1)
            template = Scenario(mode, seconds / 60, per_minute=1, repeats=repeats, mode=wanted)
            tell(f"{mode}: first idea")
            few = replace(target, pool=target.pool[:GENERATED_POOL]) if generates else target
            steps += _knee(template, few, tell)
            if wanted == "extractive" and not cached:
                for count in level.users:
                    tell(f"{mode}: {count} users")
                    users.append(_users(target, count, level.step_s / 2))
    found["runs"] = [step.row() for step in steps]
    found["users"] = users
    found["modes"] = [_mode(mode, [step for step in steps if step.mode == mode], found["cores"])
                      for mode in dict.fromkeys(step.mode for step in steps)]  # fmt: skip
    return found


def _idle(found: dict[str, Any], target: Target) -> None:
    if target.process is not None:
        found.setdefault("idle_memory_bytes", target.process.memory_info().rss)


def _dimensions(target: Target) -> int:
    collections = call(target.url, target.key, "/collections")["collections"]
    return next(int(one["dimensions"]) for one in collections if one["name"] == target.collection)


def _knee(template: Scenario, target: Target, tell: Callable[[str], None]) -> list[Step]:
    capacity_per_s = min(MOST_PER_S, _closed(template, target))
    steps: list[Step] = []

    def offer(rate: float) -> Step:
        tell(f"{template.name}: {figure(rate)} requests/s")
        step = Step(template.name, rate, measure(template.at(60 * rate), target, seed=len(steps) + 1))
        if step.arrived:  # at a low rate nobody may come within a step
            steps.append(step)
        return step

    held = 0.0
    for share in RATES:
        rate = min(MOST_PER_S, share * capacity_per_s)
        step = offer(rate)
        if step.sustained:
            held = rate
        elif step.arrived:
            offer((held + rate) / 2)
            break
    return sorted(steps, key=lambda step: step.offered)


def _closed(template: Scenario, target: Target) -> float:
    """Answers a second to eight users who never rest."""
    users = Scenario(template.name, template.minutes, users=8, repeats=template.repeats, mode=template.mode)
    return max(0.2, measure(users, target).rate)


def _users(target: Target, count: int, seconds: float) -> dict[str, Any]:
    seen = measure(Scenario(f"{count} users", seconds / 60, users=count), target)
    return {"users": count, "requests_per_s": round(seen.rate, 1), **seen.latencies.summary(), "errors": seen.failed}


def _mode(mode: str, steps: list[Step], cores: int) -> dict[str, Any]:
    rate = sustained(steps)
    return {
        "mode": mode,
        "slo_p95_s": steps[0].slo_p95_s,
        "sustained_per_s": rate,
        "users": int(rate * SECONDS_BETWEEN_QUESTIONS),
        "limit": capacity.limit(steps, cores),
    }


def _overhead(settings: Settings) -> dict[str, Any]:
    """Our own time a question with models that cost nothing, on the handbook, and the client's own cost."""
    fake = settings.model_copy(update={"embedder": "hash", "generator": "none"})
    with site(Source(data=HANDBOOK), fake) as place:
        own = overhead_at(place)
    with raw_server() as (raw, _):
        client = run_client({"url": raw, "key": "", "path": "/query", "bodies": [{"question": "x"}] * 1_000,
                             "users": 8, "seconds": 2, "again": True})  # fmt: skip
        alone = run(raw, "", name="raw", questions=["x"], clients=1, seconds=1)
    answered = sum(client["latencies"]["buckets"].values())
    return {
        "own_p50_ms": round(own.repeats_ms, 3),
        "own_new_p50_ms": round(own.new_ms, 3),
        "raw_loop_p50_ms": alone.p50_ms,
        "raw_loop_per_s": round(answered / client["seconds"]),
        "client_cpu_ms": round(1000 * client["cpu_s"] / max(1, answered), 4),
        "told": "own: extractive answers over HTTP with an embedder that hashes words, where 85 % were asked before; "
        "own_new: of new questions without the cache; raw loop: a server that answers at once and does nothing; "
        "client: processor time of the load client a request",
    }


def _empty_memory(settings: Settings) -> int:
    """Bytes of a server with these settings and models, and without a document."""
    with scratch() as data, server(data, settings):
        return int(running_process(DataPaths(data)).memory_info().rss)


def _derived(found: dict[str, Any], empty: int, settings: Settings) -> None:
    by_mode = {one["mode"]: one["sustained_per_s"] for one in found["modes"]}
    highest = [run["memory_highest_mib"] for run in found["runs"] if run.get("memory_highest_mib")]
    idle, load = found.pop("idle_memory_bytes", None), max(highest) * 2**20 if highest else None
    found["memory"] = {"empty_bytes": empty, "idle_bytes": idle, "load_bytes": load}
    memory = capacity.Memory(empty, idle, load) if idle is not None and load is not None else None
    if memory is not None:
        each, how = capacity.per_passage(found["passages"], memory, found["dimensions"])
        found["memory"] |= {"per_passage_bytes": round(each), "per_passage_basis": how}
    found["sizes"] = capacity.sizes(by_mode.get("extractive, no cache", 0.0), found["passages"], memory,
                                    found["memory_bytes"], found["dimensions"], settings.exact_scan_below)  # fmt: skip
