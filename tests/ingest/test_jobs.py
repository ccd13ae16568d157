"""Ingestion from submission to result: what is taken in, skipped, replaced, removed, and what is said of it."""

import os
import socket
import threading
import time
from pathlib import Path

import pytest

from appliance.errors import Conflict, InvalidRequest, NotFound, TooManyRequests
from appliance.ingest.spec import IngestSpec, SpooledFile, TaskState
from tests.ingest.jobs import Gate, Workshop, archive, until


def test_a_folder_becomes_documents(workshop: Workshop) -> None:
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.write("deep/er/b.md", "# Beta\n\nBeta is the second letter.")
    status = workshop.ingest(metadata={"year": 2020})
    assert status.state is TaskState.SUCCESS
    assert (status.total, status.done, status.documents_processed, status.chunks_created) == (2, 2, 2, 2)
    assert (status.progress, status.failed_count, status.error) == (1.0, 0, None)
    assert workshop.names() == {"a.txt", "deep/er/b.md"}
    stored = workshop.store.documents.list("default")
    assert all(document.metadata["year"] == 2020 for document in stored)
    assert "default" in workshop.changes


def test_unchanged_files_are_skipped_and_changed_ones_replaced(workshop: Workshop) -> None:
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.write("b.txt", "Beta is the second letter.")
    workshop.ingest()
    before = {info.source: info for info in workshop.store.documents.list("default")}
    workshop.write("b.txt", "Beta comes after alpha.")
    status = workshop.ingest()
    after = {info.source: info for info in workshop.store.documents.list("default")}
    assert (status.documents_processed, status.documents_skipped) == (1, 1)
    a, b = str(workshop.documents / "a.txt"), str(workshop.documents / "b.txt")
    assert after[a] == before[a]
    assert after[b].sha256 != before[b].sha256
    assert len(after) == 2


def test_other_metadata_takes_unchanged_files_in_again(workshop: Workshop) -> None:
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.ingest(metadata={"year": 2020})
    assert workshop.ingest(metadata={"year": 2020}).documents_skipped == 1
    assert workshop.ingest(metadata={"year": 2021}).documents_processed == 1
    assert [info.metadata["year"] for info in workshop.store.documents.list("default")] == [2021]


@pytest.mark.slow
def test_a_deleted_document_comes_back_when_its_file_is_ingested_again(workshop: Workshop) -> None:
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.ingest()
    [info] = workshop.store.documents.list("default")
    workshop.vectors["default"].remove(workshop.store.documents.delete("default", [info.id]))
    assert workshop.ingest().documents_processed == 1


@pytest.mark.slow
def test_members_of_an_archive_follow_it(workshop: Workshop) -> None:
    workshop.write("x.zip", archive(a_txt="Alpha is the first letter.", b_txt="Beta is the second letter."))
    status = workshop.ingest()
    assert (status.total, status.documents_processed) == (1, 2)
    assert workshop.names() == {"x.zip!/a.txt", "x.zip!/b.txt"}
    assert workshop.ingest(sync=True).documents_skipped == 1
    workshop.write("x.zip", archive(b_txt="Beta is the second letter.", c_txt="Gamma is the third letter."))
    status = workshop.ingest(sync=True)
    assert workshop.names() == {"x.zip!/b.txt", "x.zip!/c.txt"}
    (workshop.documents / "x.zip").unlink()
    workshop.write("y.txt", "Something else.")
    assert workshop.ingest(sync=True).documents_removed == 2
    assert workshop.names() == {"y.txt"}


def test_traps_are_left_out(workshop: Workshop) -> None:
    outside = workshop.root / "outside.txt"
    outside.write_text("Nobody asked for this.")
    kept = workshop.write("a.txt", "Alpha is the first letter.")
    folder = workshop.documents
    workshop.write(".hidden", "A hidden file.")
    workshop.write(".git/config.txt", "A hidden folder.")
    workshop.write("CVS/entries.txt", "Version control.")
    (folder / "out.txt").symlink_to(outside)
    (folder / "in.txt").symlink_to(kept)
    (folder / "broken.txt").symlink_to(folder / "nowhere.txt")
    (folder / "circle.txt").symlink_to(folder / "circle.txt")
    (folder / "loop").symlink_to(folder, target_is_directory=True)
    os.mkfifo(folder / "pipe.txt")
    with socket.socket(socket.AF_UNIX) as endpoint:
        previous = Path.cwd()
        os.chdir(folder)  # socket names are short
        try:
            endpoint.bind("socket.txt")
        finally:
            os.chdir(previous)
    status = workshop.ingest()
    assert status.failed == {}
    assert workshop.names() == {"a.txt", "in.txt"}


def test_names_that_are_no_text(workshop: Workshop) -> None:
    folder = os.fsencode(workshop.documents)
    for number, name in enumerate(
        [b"caf\xe9.txt", b"caf\\xe9.txt", b"a\nb.txt", "\u202egpj.txt".encode(), b"x\xff\xfey"]
    ):
        with open(folder + b"/" + name, "wb") as target:  # noqa: PTH123 - bytes
            target.write(f"The text of number {number}.".encode())
    status = workshop.ingest()
    assert (status.documents_processed, status.failed) == (5, {})
    assert workshop.names() == {"caf\\xe9.txt", "caf\\\\xe9.txt", "a\nb.txt", "\u202egpj.txt", "x\\xff\\xfey"}
    assert workshop.ingest(sync=True).documents_skipped == 5


def test_bad_files_cost_only_themselves(workshop: Workshop) -> None:
    workshop.write("good.txt", "Alpha is the first letter.")
    workshop.write("empty.txt", "")
    workshop.write("noise.bin", bytes(range(256)) * 20)
    status = workshop.ingest()
    assert status.state is TaskState.SUCCESS
    assert status.documents_processed == 1
    assert {Path(source).name for source in status.failed} == {"empty.txt", "noise.bin"}
    for failed in status.failed.values():
        assert failed.dead
        assert failed.attempts == 1
        assert failed.message
    assert {Path(dead.source).name for dead in workshop.ingestion.dead()} == {"empty.txt", "noise.bin"}


def test_a_task_of_bad_files_only_fails(workshop: Workshop) -> None:
    status = workshop.ingest(workshop.write("empty.txt", ""))
    assert status.state is TaskState.FAILURE
    assert status.error
    assert status.failed_count == 1


def test_an_empty_folder_is_no_failure(workshop: Workshop) -> None:
    status = workshop.ingest()
    assert (status.state, status.total, status.progress) == (TaskState.SUCCESS, 0, 1.0)


@pytest.mark.parametrize(
    ("spec", "error", "code"),
    [
        (IngestSpec(), InvalidRequest, "nothing_to_ingest"),
        (IngestSpec(directory=Path("/nowhere/at/all")), NotFound, "path_not_found"),
        (IngestSpec(directory=Path("/a\x00b")), InvalidRequest, "invalid_path"),
        (IngestSpec(directory=Path("/"), collection="No Such!"), InvalidRequest, "invalid_collection_name"),
        (IngestSpec(directory=Path("/"), metadata={"": 1}), InvalidRequest, "invalid_metadata"),
        (IngestSpec(directory=Path("/"), metadata={"x": float("nan")}), InvalidRequest, "invalid_metadata"),
        (IngestSpec(directory=Path("/"), metadata={"x": "\ud800"}), InvalidRequest, "invalid_metadata"),
        (IngestSpec(directory=Path("/"), label="  "), InvalidRequest, "invalid_label"),
        (IngestSpec(files=(SpooledFile("passwd", Path("/etc/passwd"), 1),)), InvalidRequest, "foreign_files"),
    ],
)
def test_specifications_that_make_no_sense(
    workshop: Workshop, spec: IngestSpec, error: type[Exception], code: str
) -> None:
    with pytest.raises(error) as raised:
        workshop.ingestion.submit(spec)
    assert getattr(raised.value, "code", "") == code
    assert getattr(raised.value, "hint", "")
    assert workshop.ingestion.tasks() == []


def test_a_collection_of_another_embedder_is_refused(workshop: Workshop) -> None:
    workshop.store.documents.ensure_collection("old", "another", 8)
    with pytest.raises(Conflict):
        workshop.ingestion.submit(IngestSpec(directory=workshop.documents, collection="old"))


@pytest.mark.slow
def test_a_pause_stops_the_task_and_lets_it_go_on(tmp_path: Path) -> None:
    gate = Gate()
    workshop = Workshop(tmp_path, gate)
    for number in range(300):
        workshop.write(f"{number}.txt", f"Fact {number}. And more of it.")
    gate.opened.clear()
    workshop.ingestion.start()
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    assert gate.reached.wait(30)
    threading.Timer(0.1, gate.opened.set).start()
    with workshop.ingestion.paused():
        stored = len(workshop.sources())
        assert stored < 300
        assert workshop.ingestion.health() == "idle"
        time.sleep(0.3)
        assert len(workshop.sources()) == stored
    assert workshop.finished(task.id).documents_processed == 300
    workshop.assert_consistent()
    workshop.close()


def test_unknown_tasks(workshop: Workshop) -> None:
    for call in (workshop.ingestion.status, workshop.ingestion.cancel, workshop.ingestion.retry):
        with pytest.raises(NotFound):
            call("nothing")


@pytest.mark.slow
def test_the_queue_is_bounded_and_in_order(tmp_path: Path) -> None:
    gate = Gate()
    gate.opened.clear()
    workshop = Workshop(tmp_path, gate, ingest_queue=3)
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    ids = [workshop.ingestion.submit(IngestSpec(directory=workshop.documents)).id for _ in range(3)]
    with pytest.raises(TooManyRequests) as raised:
        workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    assert (raised.value.status, raised.value.code) == (429, "ingest_queue_full")
    assert gate.reached.wait(20)
    assert [workshop.ingestion.status(task).state for task in ids] == ["PROGRESS", "PENDING", "PENDING"]
    gate.opened.set()
    statuses = [workshop.finished(task) for task in ids]
    assert [status.documents_processed for status in statuses] == [1, 0, 0]
    finished = [status.finished_at or 0.0 for status in statuses]
    assert finished == sorted(finished)
    workshop.close()


@pytest.mark.slow
def test_cancel_ends_work_under_way_and_keeps_what_is_committed(tmp_path: Path) -> None:
    gate = Gate()
    workshop = Workshop(tmp_path, gate)
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.ingest()
    workshop.write("b.txt", "Beta is the second letter.")
    gate.opened.clear()
    gate.reached.clear()
    running = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    waiting = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    assert gate.reached.wait(20)
    assert workshop.ingestion.cancel(waiting.id).state is TaskState.FAILURE
    assert workshop.ingestion.cancel(running.id).finished_at is None
    gate.opened.set()
    status = workshop.finished(running.id)
    assert (status.state, status.error) == (TaskState.FAILURE, "cancelled")
    assert workshop.names() == {"a.txt"}
    with pytest.raises(Conflict):
        workshop.ingestion.cancel(running.id)
    workshop.ingestion.retry(running.id)
    assert workshop.finished(running.id).state is TaskState.SUCCESS
    assert workshop.names() == {"a.txt", "b.txt"}
    workshop.close()


@pytest.mark.slow
def test_submission_does_not_wait_for_the_folder(workshop: Workshop) -> None:
    for number in range(300):
        workshop.write(f"{number}.txt", f"The text of number {number}.")
    taken = []
    for _ in range(5):
        began = time.perf_counter()
        task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
        taken.append(time.perf_counter() - began)
    assert sorted(taken)[2] < 0.05
    workshop.finished(task.id)


def test_finished_tasks_forget_their_files(workshop: Workshop) -> None:
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.write("bad.txt", "")
    workshop.ingest()

    def states() -> list[str]:
        with workshop.store.database.read() as connection:
            return [state for (state,) in connection.execute("SELECT state FROM task_items")]

    until(lambda: states() == ["dead"])  # they go a little later than the task ends
