"""Calibration of a real appliance: made questions, an operator's own, and what is in force afterwards."""

import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.answer import evidence_rules
from appliance.app import Appliance
from appliance.calibration import CalibrationQuestion, CalibrationSpec, CalibrationStatus
from appliance.calibration.probes import made_probes
from appliance.config import load_settings
from appliance.errors import Conflict, InvalidRequest, NotFound
from appliance.ingest.spec import IngestSpec
from appliance.types import Query
from tests.erasure.conftest import unique_text

DOCUMENTS = 60
FOREIGN = "what is the colour of the harbour at noon?"


@pytest.fixture(scope="module")
def appliance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Appliance]:
    root = tmp_path_factory.mktemp("calibration")
    folder = root / "documents"
    folder.mkdir()
    for number in range(DOCUMENTS):
        (folder / f"d{number}.txt").write_text(unique_text(str(number), sentences=6))
    settings = {"data_dir": root / "data", "generator": "none", "threads": 2}
    with Appliance.open(load_settings(settings), purpose="tests") as opened:
        ingest(opened, folder)
        yield opened


def ingest(appliance: Appliance, path: Path) -> None:
    task = appliance.ingestion.submit(IngestSpec(directory=path))
    assert appliance.ingestion.wait(task.id, 120).state == "SUCCESS"


def ended(appliance: Appliance, status: CalibrationStatus) -> CalibrationStatus:
    until = time.monotonic() + 120
    while (status := appliance.calibrator.status(status.id)).state not in ("SUCCESS", "FAILURE"):
        assert time.monotonic() < until
        time.sleep(0.05)
    return status


def calibrated(appliance: Appliance, **spec: Any) -> CalibrationStatus:
    return ended(appliance, appliance.calibrator.begin("default", CalibrationSpec(**spec)))


@pytest.mark.slow
def test_made_questions_fit_a_threshold_that_is_used_and_removed(appliance: Appliance) -> None:
    version = appliance.store.documents.version("default")
    status = calibrated(appliance, made=60)
    assert status.state == "SUCCESS", status
    report = status.report
    assert report is not None
    assert (report["covered"], report["uncovered"]) == (60, 60)
    assert report["fitted"]["wrong"] <= 0.05
    assert report["fitted"]["answered"] > 0.9
    assert [row["max_wrong"] for row in report["other_rates"]] == [0.05, 0.1, 0.2]  # 60 questions prove no less
    [row] = appliance.calibrator.in_force()
    assert row["calibrated"]
    assert row["abstain_below"] == report["abstain_below"]
    assert appliance.store.documents.version("default") > version  # cached answers are of the threshold before
    assert appliance.calibrator.remove("default")
    assert not appliance.calibrator.remove("default")
    assert not appliance.calibrator.in_force()[0]["calibrated"]


def test_questions_are_declined_by_the_fitted_threshold(appliance: Appliance) -> None:
    query = Query(made_probes(appliance.store, "default", 1)[0].text)
    assert not appliance.answer(query, cancel=threading.Event()).abstained
    rules = evidence_rules(appliance.collections.embedder("default").fingerprint)
    appliance.store.calibrations.put("default", 1.0, rules, b"{}")
    assert appliance.answer(query, cancel=threading.Event()).abstained
    appliance.store.calibrations.put("default", 1.0, "rules of another model", b"{}")
    assert not appliance.answer(query, cancel=threading.Event()).abstained
    assert appliance.calibrator.in_force()[0]["stale"]
    appliance.calibrator.remove("default")


@pytest.mark.slow
def test_a_threshold_that_costs_too_much_is_not_put_to_use(appliance: Appliance) -> None:
    nearly = [" ".join(probe.text.split()[:2]) for probe in made_probes(appliance.store, "default", 50)]
    questions = [CalibrationQuestion(text, answerable=False) for text in nearly] + [CalibrationQuestion(FOREIGN)]
    status = calibrated(appliance, questions=tuple(questions))
    assert status.report is not None, status
    assert status.report["fitted"]["answered"] == 0
    assert status.report["applied"] is False
    assert not appliance.calibrator.in_force()[0]["calibrated"]
    status = calibrated(appliance, questions=tuple(questions), min_answered=0)
    assert status.report is not None, status
    assert status.report["applied"] is True
    assert appliance.calibrator.remove("default")


@pytest.mark.slow
def test_a_dry_run_changes_nothing(appliance: Appliance) -> None:
    version = appliance.store.documents.version("default")
    status = calibrated(appliance, made=50, apply=False)
    assert status.report is not None
    assert status.report["applied"] is False
    assert appliance.store.documents.version("default") == version
    assert not appliance.calibrator.in_force()[0]["calibrated"]


@pytest.mark.slow
def test_an_operators_questions_are_asked_with_and_without_their_document(appliance: Appliance) -> None:
    probes = made_probes(appliance.store, "default", 50)
    names = [Path(appliance.store.documents.info(probe.document or 0).source).name for probe in probes]
    asked = [CalibrationQuestion(probe.text, source=name) for probe, name in zip(probes, names, strict=True)]
    status = calibrated(appliance, questions=(*asked, CalibrationQuestion(FOREIGN, answerable=False)), apply=False)
    assert status.report is not None, status
    assert (status.report["covered"], status.report["uncovered"]) == (50, 51)
    assert not status.report["made_questions"]


@pytest.mark.slow
def test_what_is_found_for_a_copy_is_left_out_too(appliance: Appliance, tmp_path: Path) -> None:
    original = appliance.store.documents.get(made_probes(appliance.store, "default", 1)[0].document or 0)
    copy = tmp_path / "copy-of-it.txt"
    copy.write_text(original.text)
    ingest(appliance, copy)
    status = calibrated(appliance, made=61, apply=False)
    assert status.report is not None
    assert status.report["fitted"]["wrong"] <= 0.05
    assert status.report["fitted"]["abstain_below"] < 0.99


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        ({"made": 20}, "too_few_questions"),
        ({"questions": (CalibrationQuestion("Where is it?", source="nowhere.pdf"),)}, "unknown_document"),
    ],
)
def test_what_cannot_be_fitted_is_told(appliance: Appliance, spec: dict[str, Any], code: str) -> None:
    status = calibrated(appliance, **spec)
    assert status.state == "FAILURE"
    assert status.code == code
    assert status.hint
    assert not appliance.calibrator.in_force()[0]["calibrated"]


def test_bad_requests(appliance: Appliance) -> None:
    with pytest.raises(NotFound):
        appliance.calibrator.begin("nowhere", CalibrationSpec())
    with pytest.raises(NotFound):
        appliance.calibrator.status("0")
    for bad in (CalibrationSpec(max_wrong=0), CalibrationSpec(confidence=1), CalibrationSpec(made=0)):
        with pytest.raises(InvalidRequest):
            appliance.calibrator.begin("default", bad)


@pytest.mark.slow
def test_one_at_a_time(appliance: Appliance) -> None:
    first = appliance.calibrator.begin("default", CalibrationSpec(made=60, apply=False))
    with pytest.raises(Conflict):
        appliance.calibrator.begin("default", CalibrationSpec(made=60))
    assert ended(appliance, first).state == "SUCCESS"
