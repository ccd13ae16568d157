"""`bench ratio`: requests a second of processor time, as a share of what a loop that does nothing answers, in turns.

Absolute figures depend on the host, and rates by the clock on who else uses it; processor time of two servers that
answer the same client side by side hardly depends on either. So this is what continuous integration compares with a
committed baseline.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any

import psutil

from appliance.config import Settings, bare_environment
from appliance.errors import InvalidRequest
from appliance.paths import HANDBOOK, PACKAGE, DataPaths
from bench.load import run
from bench.serving import fill, running_process, scratch, server, texts, word_questions

ROUNDS = 5
SECONDS = 1.0
CLIENTS = 8
CACHED, MOST = 20, 500  # questions: asked again and again; new ones a round at most
SHORT = 0.6  # of the baseline: a ratio below this share of it is a regression; runs of one program differ by up to .25


def bench_ratio(settings: Settings, baseline: Path | None = None) -> dict[str, Any]:
    """{"runs": [{"name", "of_raw", "baseline"}], "raw_per_cpu_s", "errors", "short": names below the baseline}.

    With the fake embedder and without a generator: our own code is measured, not the models. Raises InvalidRequest for
    a baseline that is none.
    """
    wanted = _baseline(baseline) if baseline is not None else {}
    fake = settings.model_copy(update={"embedder": "hash", "generator": "none"})
    found: dict[str, list[float]] = {"cached answer": [], "uncached answer": [], "search": []}
    raw_rates: list[float] = []
    errors = 0
    with raw_server() as (raw, raw_process), scratch() as data, server(data, fake) as (url, key):
        process = running_process(DataPaths(data))
        fill(url, key, HANDBOOK)
        questions = word_questions(texts(url, key), 20_000, seed=1)
        cached, fresh = questions[:CACHED], iter(questions[CACHED:])
        run(url, key, name="prime", questions=cached, clients=1, seconds=60, repeat=False)
        for _ in range(ROUNDS):
            new = [next(fresh) for _ in range(2 * MOST)]
            asked = {
                "cached answer": (cached, "/query", True),
                "uncached answer": (new[:MOST], "/query", False),
                "search": (new[MOST:], "/search", False),
            }
            with _counted(raw_process) as used:
                one = run(raw, "", name="raw", questions=cached, clients=CLIENTS, seconds=SECONDS)
            most = one.requests / used()
            raw_rates.append(most)
            for name, (some, path, repeat) in asked.items():
                with _counted(process) as used:
                    one = run(
                        url, key, name=name, questions=some, clients=CLIENTS, seconds=SECONDS, path=path, repeat=repeat
                    )
                errors += one.errors
                found[name].append(one.requests / used() / most)
    shares = {name: round(median(measured), 5) for name, measured in found.items()}
    rows = [{"name": name, "of_raw": share, "baseline": wanted.get(name)} for name, share in shares.items()]
    short = [name for name, share in shares.items() if share < SHORT * wanted.get(name, 0.0)]
    return {"runs": rows, "raw_per_cpu_s": round(median(raw_rates)), "errors": errors, "short": short}


@contextmanager
def _counted(process: psutil.Process) -> Iterator[Callable[[], float]]:
    """Processor seconds that a process takes within the block."""
    before = sum(process.cpu_times()[:2])
    after = [before]
    yield lambda: max(1e-3, after[0] - before)
    after[0] = sum(process.cpu_times()[:2])


def _baseline(path: Path) -> dict[str, float]:
    try:
        return {row["name"]: float(row["of_raw"]) for row in json.loads(path.read_text("utf-8"))["runs"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{path} is no baseline: {error}.", code="bad_data",
                             hint="Write one with `bench ratio --json`.") from error  # fmt: skip


@contextmanager
def raw_server() -> Iterator[tuple[str, psutil.Process]]:
    """The loop as a process of its own; gives its address and the process."""
    environment = bare_environment() | {"PYTHONPATH": str(PACKAGE.parent)}
    command = [sys.executable, "-m", "bench.raw_server"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), psutil.Process(process.pid)
        finally:
            process.terminate()
