"""`bench overhead`: the interval, what is taken out and put back, and a run against a real server."""

import math
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.config import load_settings
from bench.overhead import _mixed, bench_overhead, interval
from bench.target import Source


def test_the_interval_holds_the_mean_and_narrows_with_more_rounds() -> None:
    mean, low, high = interval([0.9, 1.0, 1.1])
    assert low < mean < high
    assert mean == pytest.approx((0.9 * 1.1) ** (1 / 3))
    again = interval([0.9, 1.0, 1.1] * 5)
    assert again[2] - again[1] < high - low
    assert interval([0.5]) == (0.5, 0.0, math.inf)


def test_of_twenty_questions_seventeen_were_asked_before() -> None:
    asked = _mixed([f"old {number}" for number in range(20)], [f"new {number}" for number in range(60)])
    new = [question for question in asked if question.startswith("new")]
    assert len(new) == len(set(new)) == len(asked) * 3 // 20


def test_what_is_taken_out_is_put_back() -> None:
    """In a process of its own: the log is set up anew."""
    program = """
from types import SimpleNamespace
from appliance.ingest.tracing import traced_task
from appliance.telemetry.metrics import INGESTED_CHUNKS, REGISTRY, STAGE_SECONDS
from appliance.telemetry.stages import stage
from appliance.telemetry.traces import Traces
from bench.bare import strip

def work():
    traces = Traces()
    with traced_task(traces, SimpleNamespace(id='1' * 32, collection='default')), stage('ingest.list'):
        INGESTED_CHUNKS.inc()
    count = REGISTRY.get_sample_value('rag_stage_seconds_count', {'stage': 'ingest.list'})
    return count, REGISTRY.get_sample_value('rag_ingested_chunks_total')

print(work())
restore = strip()
print(work())
restore()
print(work())
"""
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=60)
    shown = "(1.0, 1.0)\n(1.0, 1.0)\n(2.0, 2.0)\n"
    assert (told.stdout, told.returncode) == (shown, 0), told.stderr


@pytest.mark.slow
def test_a_server_answers_with_and_without_and_is_compared(tmp_path: Path) -> None:
    settings = load_settings({"embedder": "hash", "generator": "none", "data_dir": tmp_path}).settings
    found = bench_overhead(settings, Source(), rounds=2, seconds=0.2)
    assert found["source"] == "the handbook"
    assert found["passages"] > 100
    assert [run["name"].split(",")[0] for run in found["runs"]] == ["cached", "cached", "85 % repeats", "new"]
    for run in found["runs"]:
        assert run["errors"] == 0
        assert run["with_per_s"] > 0
        assert run["low"] <= run["added"] <= run["high"]
