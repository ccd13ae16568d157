"""`bench certificate`: three files that say the same, from steps that were measured."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from appliance.config import Settings
from bench.capacity import Memory, Step, figure, limit, per_passage, sizes, sustained
from bench.capacity_page import _cell, html
from bench.certificate import Level, Source, certify
from bench.histogram import Histogram
from bench.plots import Line, plot
from bench.scenarios import Measured, Scenario
from bench.watch import Sample, Watch


def _step(
    rate: float,
    seconds_each: float,
    *,
    failed: int = 0,
    cpu_s: float = 1.0,
    stage: str = "embed",
    mode: str = "extractive",
) -> Step:
    seen = Histogram()
    for _ in range(int(10 * rate)):
        seen.record(seconds_each)
    watch = Watch(samples=[Sample(0, 1, 1, 1, 0.0), Sample(10, 1, 1, 1, 10 * cpu_s)])
    watch.metrics = {f'rag_stage_seconds_sum{{stage="{stage}"}}': 9.0, 'rag_stage_seconds_sum{stage="fuse"}': 1.0}
    errors = {"503": failed} if failed else {}
    run = Measured(Scenario("x", 1 / 6, per_minute=60 * rate, mode=mode), seen, Histogram(), errors, 10.0, 0.1, watch)
    return Step("extractive, no cache", rate, run)


def test_what_is_sustained_ends_at_the_first_step_that_breaks_the_slo() -> None:
    assert sustained([_step(10, 0.1), _step(20, 0.2), _step(40, 5.0)]) == pytest.approx(20)
    assert sustained([_step(10, 0.1), _step(20, 3.0), _step(40, 0.1)]) == pytest.approx(10)
    assert sustained([_step(10, 0.1, failed=2)]) == 0
    assert sustained([]) == 0
    assert sustained([_step(10, 5.0, mode="generative")]) == pytest.approx(10), "what is written may take longer"
    assert sustained([_step(10, 25.0, mode="generative")]) == 0


def test_a_step_says_what_broke() -> None:
    assert _step(10, 0.1).broken == ""
    assert _step(10, 3.0, failed=2).broken == "errors, p95"
    late = _step(1, 6.0, mode="generative")
    assert replace(late, run=replace(late.run, seconds=16.0)).broken == "", "the last answer took no longer than any"
    assert replace(late, run=replace(late.run, seconds=20.0)).broken == "a queue grew"


def test_cells_are_for_people() -> None:
    assert [_cell(value) for value in (math.nan, 12_780.4, 36.24, 0.5, 3, True, None)] == [
        *("", "12,780", "36.2", "0.5"), *("3", "yes", "")
    ]  # fmt: skip


def test_what_limits_is_told_with_its_evidence() -> None:
    assert limit([_step(40, 5.0, cpu_s=1.9)], 2)["what"] == "the processor"
    assert limit([_step(40, 5.0, cpu_s=0.9)], 2)["what"].startswith("one core")
    assert limit([_step(40, 5.0, cpu_s=1.9, stage="generate")], 2)["what"] == "the generator"
    assert limit([_step(40, 5.0, cpu_s=0.2)], 2)["what"].startswith("waiting")
    told = limit([_step(40, 0.1, cpu_s=1.9)], 2)
    assert told["what"].startswith("nothing")
    assert "1.90 of 2 cores" in told["evidence"]
    assert "embed 90%" in told["evidence"]


def test_sizes_name_their_basis() -> None:
    memory = Memory(empty=150e6, idle=200e6, load=300e6)
    each, how = per_passage(340, memory, 384)
    assert how.startswith("computed")
    assert per_passage(10_000, memory, 384)[0] == 5_000
    assert per_passage(100_000, memory, 384)[0] == each  # a vector needs more than that
    rows = sizes(10.0, 340, memory, int(8e9), 384, 50_000)
    assert rows[0]["at"] == "about 210"  # 70 % of ten a second, a question every 30 s
    told = rows[1]["at"].removeprefix("about ").replace(",", "")
    assert int(told) == pytest.approx((0.7 * 8e9 - 300e6) / each, rel=0.05)
    assert not told[2:].strip("0"), "to two digits"
    assert all(row["basis"] for row in rows)


def test_a_plot_is_well_formed_and_stays_inside_its_frame() -> None:
    drawn = plot([Line("p95 <a>", [(10, 2.0), (100, 900.0), (200, 40_000.0)])], x="x", y="ms", logarithmic=True,
                 mark=(2000, "SLO"))  # fmt: skip
    points = ElementTree.fromstring(drawn).findall("polyline")[0].attrib["points"].split()
    for point in points:
        across, up = map(float, point.split(","))
        assert 64 <= across <= 624
        assert 16 <= up <= 252
    assert plot([], x="x", y="y") == "<p>Nothing was measured.</p>"


@pytest.mark.slow
def test_the_three_files_are_written_and_need_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.own.QUESTIONS", 20)
    monkeypatch.setattr("bench.certificate.RATES", (0.2, 0.4))
    monkeypatch.setattr("bench.certificate.MOST_PER_S", 50.0)
    settings = Settings(data_dir=tmp_path / "data", embedder="hash", generator="none", threads=1)
    told: list[str] = []
    level = Level("test", 0.6, (1, 2), False)
    found = certify(settings, Source(), level, tmp_path / "data" / "certificate", told.append)
    folder = tmp_path / "data" / "certificate"
    assert {path.name for path in folder.iterdir()} == {"CAPACITY.md", "capacity.json", "capacity.html"}
    kept = json.loads((folder / "capacity.json").read_text())
    assert kept["passages"] > 100
    assert {"made", "program", "processor", "cores", "memory_bytes"} <= kept.keys()
    assert [one["mode"] for one in kept["modes"]] == ["extractive, 85 % repeats", "extractive, no cache"]
    assert any("small" in warning for warning in kept["warnings"])
    page = (folder / "capacity.html").read_text()
    assert page == html(found)
    assert not re.search(r"https?://|<script|src=|url\(", page)
    assert page.count("<svg") == 3
    assert all(run["sustained"] is not bool(run["broken"]) for run in kept["runs"])
    assert "# Capacity of this host" in (folder / "CAPACITY.md").read_text()
    assert told


def test_figures_are_written_as_people_write_them() -> None:
    shown = [figure(value) for value in (1556.25, 37.24, 0.5321, 123_456.0, 100.0, 0.0)]
    assert shown == ["1,560", "37.2", "0.532", "123,000", "100", "0"]
