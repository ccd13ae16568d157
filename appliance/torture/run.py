"""A whole run: rounds of start, check, work and kill, on one data directory after another."""

import random
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from appliance.paths import BUNDLED_MODELS
from appliance.torture import disk
from appliance.torture.journal import Journal
from appliance.torture.plan import SERVED, TWO_MODELS, plan
from appliance.torture.proof import prove
from appliance.torture.report import Report
from appliance.torture.rounds import Rounds
from appliance.torture.server import Site

MODEL_SHARE = 0.16  # of the kills that go to a server with the real embedder, and to changes of it
MODEL = "minilm-l6-v2.int8"
SETTINGS: dict[str, Any] = {
    "embedder": "hash",
    "generator": "none",
    "threads": 2,
    "log_format": "json",
    "log_level": "warning",
    "chunk_tokens": 32,
    "exact_scan_below": 60,  # small, so that the index is a graph with generations on disk
    "ingest_attempts": 20,  # documents that are at work in many kills in a row are not given up
    "cache_bytes": 16 * 1024**2,
}


@dataclass(frozen=True, slots=True)
class Options:
    """`minutes` ends a run early; False leaves the full disk, or the real embedder and its changes, out."""

    kills: int = 300
    minutes: float | None = None
    seed: int = 1
    disk: bool = True
    models: bool = True


def torture(root: Path, options: Options, show: Callable[[Report, str], None]) -> Report:
    """Torture servers below `root` (made by `claim`); `show` learns how it goes.

    Whatever is found is in the report: nothing that a server does raises.
    """
    started = time.monotonic()
    report = Report(options.seed)
    deadline = started + 60 * options.minutes if options.minutes else float("inf")
    try:
        for site, kills in _sites(root, options, report):
            with _journal(root, site, report) as journal:
                _site(site, kills, options, journal, report, lambda what: show(report, what), deadline)
        if options.disk:
            disk.torture(Site(root, SETTINGS, "disk"), options.seed, report, lambda what: show(report, what))
    finally:
        report.seconds = time.monotonic() - started
    return report


def _sites(root: Path, options: Options, report: Report) -> Iterator[tuple[Site, int]]:
    """Data directories, and how many kills each is to survive."""
    real = int(MODEL_SHARE * options.kills) if options.models and _has_models() else 0
    if options.models and not _has_models():
        report.notes.append("no bundled models here: the real embedder and a change of it were left out")
    yield Site(root, SETTINGS), options.kills - real
    if real:
        settings = {**SETTINGS, "embedder": MODEL, "chunk_tokens": 220, "exact_scan_below": 30}
        yield Site(root, settings, "model", models=("hash", MODEL)), real


def _has_models() -> bool:
    return BUNDLED_MODELS.is_dir() and any(BUNDLED_MODELS.iterdir())


@contextmanager
def _journal(root: Path, site: Site, report: Report) -> Iterator[Journal]:
    with Journal(root / f"{site.name}.jsonl") as journal:
        try:
            yield journal
        finally:
            report.count("documents acknowledged", journal.documents)
            report.count("deletions acknowledged", journal.deletions)
            report.count("documents at the end", sum(entry.settled > 0 for entry in journal.entries().values()))


def _site(
    site: Site,
    kills: int,
    options: Options,
    journal: Journal,
    report: Report,
    show: Callable[[str], None],
    deadline: float,
) -> None:
    chance = random.Random(f"{options.seed}/{site.name}")
    rounds = Rounds(site, journal, report, chance)
    steps = [step for step in SERVED if step.startswith(TWO_MODELS) == bool(site.models)]
    waiting = deque(plan(kills, chance, steps))
    rounds.begin()
    while waiting and time.monotonic() < deadline:
        kill = waiting.popleft()
        show(kill.step or kill.moment)
        if rounds.round(kill):
            continue
        if (again := kill.again()) is not None:
            waiting.append(again)
        else:  # not reached: nor will it be with the others
            waiting = deque(other for other in waiting if not kill.step or other.step != kill.step)
    if waiting:
        report.notes.append(f"{len(waiting)} kills of {site.name} were left out: the time was up")
    show("checking everything")
    listed = rounds.end()
    for failure in prove(listed, journal.entries()):
        report.problem(failure)
    report.count("proofs that a loss would be seen")
