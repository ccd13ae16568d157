"""Tasks are accepted, durably and in order, also while another thread holds the one writer of the database."""

from pathlib import Path

import pytest

from appliance.errors import DiskFull, TooManyRequests
from appliance.ingest import inbox as inboxes
from appliance.ingest.inbox import Inbox
from appliance.ingest.spec import IngestSpec
from appliance.store.database import WriterBusyError
from appliance.store.job_rows import NewTask
from tests.ingest.jobs import Workshop, writer_held


def submit_text(workshop: Workshop, text: str) -> str:
    upload = workshop.ingestion.new_upload()
    upload.add("note.txt", [text.encode()])
    return workshop.ingestion.submit(IngestSpec(files=upload.files)).id


@pytest.mark.slow
def test_a_task_is_accepted_while_a_huge_document_commits_and_done_afterwards(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    with writer_held(workshop):
        first, second = submit_text(workshop, "The first version."), submit_text(workshop, "The second version.")
        assert [status.id for status in workshop.ingestion.tasks()] == [second, first]
        assert {status.state for status in workshop.ingestion.tasks()} == {"PENDING"}
        assert len(list((workshop.data / "spool").glob("*.task"))) == 2
    third = submit_text(workshop, "The third version.")  # the writer is free, but the order of acceptance counts
    workshop.ingestion.start()
    for task in (first, second, third):
        assert workshop.finished(task).documents_processed == 1
    [info] = workshop.store.documents.list("default")
    assert workshop.store.documents.get(info.id).text == "The third version."
    assert not list((workshop.data / "spool").glob("*.task"))
    workshop.close()


@pytest.mark.slow
def test_an_accepted_task_survives_a_restart(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    with writer_held(workshop):
        task = submit_text(workshop, "Kept over a restart.")
    workshop.restart()
    assert workshop.finished(task).documents_processed == 1
    workshop.close()


@pytest.mark.slow
def test_a_task_of_which_ledger_and_inbox_both_know_is_done_once(tmp_path: Path) -> None:
    """Killed after the ledger had it and before the file was removed."""
    workshop = Workshop(tmp_path)
    with writer_held(workshop):
        task = submit_text(workshop, "Only once.")
    [file] = (workshop.data / "spool").glob("*.task")
    content = file.read_bytes()
    workshop.restart()
    assert workshop.finished(task).documents_processed == 1
    file.write_bytes(content)
    workshop.restart()
    assert workshop.finished(task).documents_processed == 1
    assert [status.id for status in workshop.ingestion.tasks()] == [task]
    workshop.close()


def test_what_waits_in_the_inbox_counts_for_the_limit(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, ingest_queue=2)
    with writer_held(workshop):
        submit_text(workshop, "One.")
        submit_text(workshop, "Two.")
        with pytest.raises(TooManyRequests):
            submit_text(workshop, "Three.")
    workshop.close()


@pytest.mark.slow
def test_a_task_in_the_inbox_can_be_cancelled(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    with writer_held(workshop):
        task = submit_text(workshop, "Never mind.")
    assert workshop.ingestion.cancel(task).error == "cancelled"
    workshop.ingestion.start()
    assert workshop.finished(submit_text(workshop, "Go on.")).documents_processed == 1
    workshop.close()


def test_a_damaged_file_in_the_inbox_stops_nothing(tmp_path: Path) -> None:
    spool = tmp_path / "data" / "spool"
    spool.mkdir(parents=True)
    (spool / "torn.task").write_bytes(b"\x96\xa1")
    (spool / "cut.new").write_bytes(b"\x96")  # by a crash before it was accepted
    workshop = Workshop(tmp_path)
    workshop.ingestion.start()
    assert workshop.finished(submit_text(workshop, "Fine.")).documents_processed == 1
    workshop.close()
    assert not (spool / "cut.new").exists()


def test_a_disk_that_is_full_refuses_and_keeps_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Path) -> None:
        raise OSError(28, "No space left on device")

    def busy(_: NewTask, __: float | None) -> None:
        raise WriterBusyError

    monkeypatch.setattr(inboxes, "sync_path", full)
    inbox = Inbox(tmp_path, busy)
    with pytest.raises(DiskFull):
        inbox.accept(NewTask("t", "default", b"", None, 0.0))
    assert not len(inbox)
    assert list(tmp_path.iterdir()) == []
