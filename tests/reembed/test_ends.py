"""Changes that are cancelled, refused, impossible, or of a collection that is not as usual."""

import time
from pathlib import Path

import pytest

from appliance.app import Appliance
from appliance.errors import ApplianceError, Conflict, DiskFull, InvalidRequest, NotFound
from appliance.inference import HashEmbedder, embedders
from appliance.ingest.spec import IngestSpec
from appliance.observation.parts import queues
from appliance.reembed import AskedQuestion, ChangeSpec, run
from appliance.telemetry.gauges import BREAKER_OPEN
from appliance.types import Query
from tests.reembed.changes import FP32, INT8, assert_whole, change, ended, opened, serving, take_in
from tests.web.conftest import until


@pytest.mark.slow
def test_cancelled_kept_discarded(appliance: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BATCH_CHUNKS", 4)
    status = appliance.reembedding.submit("default", FP32, ChangeSpec())
    while appliance.reembedding.status(status.id).done < 8:
        time.sleep(0.01)
    with pytest.raises(Conflict):
        appliance.reembedding.discard("default")
    appliance.reembedding.cancel(status.id)
    status = ended(appliance, status)
    assert (status.state, status.code, serving(appliance)) == ("FAILURE", "cancelled", INT8)
    assert status.done >= 8
    discarded = appliance.reembedding.discard("default")
    assert discarded is not None
    assert appliance.embedders.name_of(discarded) == FP32
    assert appliance.reembedding.discard("default") is None
    assert_whole(appliance)


@pytest.mark.slow
def test_a_change_that_waits_for_room_is_told(appliance: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise DiskFull("The disk is full.")

    def open_now() -> float:
        return {labels: value for gauge, labels, value in queues(appliance) if gauge is BREAKER_OPEN}["reembedding",]

    monkeypatch.setattr(run.ChangeRun, "_batch", full)
    assert open_now() == 0
    status = appliance.reembedding.submit("default", FP32, ChangeSpec())
    assert until(lambda: open_now() == 1)
    appliance.reembedding.cancel(status.id)
    assert ended(appliance, status).code == "cancelled"
    assert open_now() == 0


@pytest.mark.slow
def test_chunks_that_the_model_does_not_read_whole(appliance: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "HashEmbedder", lambda: HashEmbedder(max_tokens=40))
    status = change(appliance, "hash")
    assert (status.state, status.code) == ("FAILURE", "chunks_too_long")
    assert appliance.store.shadow.find("default") is None
    forced = change(appliance, "hash", ChangeSpec(force=True))
    assert forced.state == "SUCCESS"
    assert forced.truncated > 0.3 * forced.total


def test_what_cannot_be_asked_for(appliance: Appliance) -> None:
    for collection, model, spec, expected, code in (
        ("default", INT8, ChangeSpec(), Conflict, "model_in_use"),
        ("default", "unknown", ChangeSpec(), NotFound, "unknown_model"),
        ("unknown", FP32, ChangeSpec(), NotFound, "unknown_collection"),
        ("default", FP32, ChangeSpec(tolerance=2.0), InvalidRequest, "invalid_request"),
        ("default", FP32, ChangeSpec(questions=(AskedQuestion("x"),) * 2001), InvalidRequest, "invalid_request"),
    ):
        with pytest.raises(expected) as caught:
            appliance.reembedding.submit(collection, model, spec)
        assert isinstance(caught.value, ApplianceError)
        assert caught.value.code == code
        assert caught.value.hint or code == "invalid_request"
    with pytest.raises(Conflict):
        appliance.reembedding.rollback("default")


@pytest.mark.slow
def test_an_empty_collection_changes_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "empty", embedder="hash") as appliance:
        status = change(appliance, FP32)
        assert (status.state, status.total) == ("SUCCESS", 0)
        assert status.report is not None
        assert status.report["comparisons"] == []
        assert serving(appliance) == FP32


@pytest.mark.slow
def test_a_collection_whose_model_is_gone_can_be_changed_by_force(tmp_path: Path) -> None:
    with opened(tmp_path / "data", embedder="hash") as appliance:
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "a.txt").write_text("The harbour closes at nine, and the lighthouse is lit at eight each evening.")
        take_in(appliance, folder)
        with appliance.store.database.write() as connection:
            connection.execute("UPDATE collections SET embedder = 'gone'")
            connection.execute("UPDATE spaces SET embedder = 'gone'")
    with opened(tmp_path / "data", embedder=INT8) as appliance:
        refused = change(appliance, INT8)
        assert (refused.state, refused.code) == ("FAILURE", "models_not_comparable")
        assert change(appliance, INT8, ChangeSpec(force=True)).state == "SUCCESS"
        assert appliance.search(Query("When is the lighthouse lit?")).hits
        assert_whole(appliance)


@pytest.mark.slow
def test_a_dropped_collection_ends_its_change(
    appliance: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_CHUNKS", 1)
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.txt").write_text(f"Fact {number} is told here at some length, with a number.")
    task = appliance.ingestion.submit(IngestSpec(directory=folder, collection="notes"))
    assert appliance.ingestion.wait(task.id, 60).documents_processed == 60
    status = appliance.reembedding.submit("notes", FP32, ChangeSpec())
    while appliance.reembedding.status(status.id).done < 3:
        time.sleep(0.01)
    appliance.collections.drop("notes")
    deadline = time.monotonic() + 60
    while appliance.reembedding._run is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert appliance.reembedding._run is None
    assert appliance.reembedding.changes() == []
    assert sorted(path.name for path in appliance.paths.index.iterdir()) == []
    assert_whole(appliance)


@pytest.mark.slow
def test_a_cancelled_change_never_switches_even_when_nothing_is_left_to_embed(appliance: Appliance) -> None:
    assert change(appliance, FP32, ChangeSpec(force=True)).state == "SUCCESS"
    with appliance.ingestion.paused():  # the switch waits for it
        back = appliance.reembedding.rollback("default")
        while appliance.reembedding.status(back.id).step != "switching":
            time.sleep(0.01)
        appliance.reembedding.cancel(back.id)
    assert (ended(appliance, back).code, serving(appliance)) == ("cancelled", FP32)
    assert_whole(appliance)
