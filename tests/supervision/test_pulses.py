"""Every work loop of an open appliance gives signs of life, and one that stands still is named."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance import app
from appliance.app import Appliance
from appliance.config import load_settings
from appliance.ingest import breaker, worker
from appliance.ingest.spec import IngestSpec
from appliance.pulse import Pulse
from tests.web.conftest import until

BOUND_S = 0.5


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Appliance]:
    """An appliance whose loops must beat twice a second."""
    for name in ("INGESTION_S", "GENERATOR_S", "UPKEEP_S"):
        monkeypatch.setattr(app, name, BOUND_S)
    monkeypatch.setattr(worker, "IDLE_S", 0.05)
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    settings = load_settings({**arguments, "reader_timeout_s": 2.0})
    with Appliance.open(settings, purpose="tests") as opened:
        yield opened


def late(appliance: Appliance) -> set[str]:
    return {pulse.name for pulse in appliance.pulses.late()}


@pytest.mark.slow
def test_an_idle_worker_is_well_and_a_stuck_one_is_missed(watched: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    time.sleep(2 * BOUND_S)
    assert "ingestion" not in late(watched)
    stuck, go_on = threading.Event(), threading.Event()
    run = breaker.Breaker.run

    def hang(self: breaker.Breaker, work: object, stopped: threading.Event) -> object:
        stuck.set()
        go_on.wait(30)
        return run(self, work, stopped)  # type: ignore[arg-type]

    monkeypatch.setattr(breaker.Breaker, "run", hang)
    assert stuck.wait(5)
    assert until(lambda: "ingestion" in late(watched))
    go_on.set()
    assert until(lambda: "ingestion" not in late(watched))


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_worker_that_has_died_is_missed(watched: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    def die(*_: object) -> None:
        raise SystemExit

    monkeypatch.setattr(breaker.Breaker, "run", die)
    assert until(lambda: "ingestion" in late(watched))


def test_work_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each file that is read, and each batch, is a sign of life."""
    folder = tmp_path / "documents"
    folder.mkdir()
    for number in range(40):
        (folder / f"{number}.txt").write_text(f"Document {number} is about the number {number}.")
    beats: Counter[str] = Counter()
    beat = Pulse.beat

    def counted(self: Pulse, within_s: float | None = None) -> None:
        beats[threading.current_thread().name] += 1
        beat(self, within_s)

    monkeypatch.setattr(Pulse, "beat", counted)
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    with Appliance.open(load_settings(arguments), purpose="tests") as opened:
        task = opened.ingestion.submit(IngestSpec(collection="default", directory=folder))
        assert opened.ingestion.wait(task.id, 120).finished_at is not None
    assert beats["ingest-read"] >= 40
    assert beats["ingest-commit"] >= 1


def test_closing_expects_nothing_any_more(tmp_path: Path) -> None:
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    with Appliance.open(load_settings(arguments), purpose="tests") as opened:
        assert until(lambda: opened.doing().startswith("Ready; ingestion idle"))
    assert late(opened) == set()
