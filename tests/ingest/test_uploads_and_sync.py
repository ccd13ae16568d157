"""Uploads, labels, retries of dead documents, and what a sync removes."""

import io
import os

import pytest

from appliance.errors import Conflict, InvalidRequest, NotFound, TooLarge
from appliance.ingest.spec import IngestSpec, TaskState
from appliance.ingest.spool import UploadSpool
from tests.ingest.jobs import Workshop, archive


def test_sync_removes_what_is_gone_and_nothing_else(workshop: Workshop) -> None:
    for name in ("docs/a.txt", "docs/b.txt", "docs2/c.txt", "other/d.txt"):
        workshop.write(name, f"The text of {name}.")
    workshop.ingest()
    (workshop.documents / "docs/b.txt").unlink()
    (workshop.documents / "other/d.txt").unlink()
    assert workshop.ingest(workshop.documents / "docs").documents_removed == 0
    status = workshop.ingest(workshop.documents / "docs", sync=True)
    assert status.documents_removed == 1
    assert workshop.names() == {"docs/a.txt", "docs2/c.txt", "other/d.txt"}


def test_sync_of_a_missing_folder_removes_nothing(workshop: Workshop) -> None:
    path = workshop.write("docs/a.txt", "Alpha is the first letter.")
    workshop.ingest()
    spec = IngestSpec(directory=path.parent, sync=True)
    path.unlink()
    path.parent.rmdir()
    with pytest.raises(NotFound, match="cannot be ingested"):
        workshop.ingestion.submit(spec)
    assert workshop.names() == {"docs/a.txt"}


def test_sync_removes_nothing_where_a_folder_cannot_be_listed(
    workshop: Workshop, monkeypatch: pytest.MonkeyPatch
) -> None:
    workshop.write("a.txt", "Alpha is the first letter.")
    secret = workshop.write("secret/b.txt", "Beta is the second letter.").parent
    workshop.ingest()
    real = os.scandir

    def scandir(path: bytes) -> object:  # permissions do not bind root, who may run the tests
        if path == os.fsencode(secret):
            raise PermissionError(13, "Permission denied")
        return real(path)

    monkeypatch.setattr(os, "scandir", scandir)
    (workshop.documents / "a.txt").unlink()
    workshop.write("c.txt", "Gamma is the third letter.")
    status = workshop.ingest(sync=True)
    assert status.state is TaskState.SUCCESS
    assert status.failed[str(secret)].code == "unlisted_folder"
    assert (status.documents_processed, status.documents_removed) == (1, 0)
    assert workshop.names() == {"a.txt", "secret/b.txt", "c.txt"}


@pytest.mark.slow
def test_dead_documents_leave_the_list_once_their_file_is_well(workshop: Workshop) -> None:
    workshop.write("good.txt", "Alpha is the first letter.")
    path = workshop.write("bad.txt", "")
    first = workshop.ingest()
    assert len(workshop.ingestion.dead()) == 1
    path.write_text("Now there is text.")
    workshop.ingest()
    assert workshop.ingestion.dead() == []
    with pytest.raises(Conflict, match="Nothing of this task failed"):
        workshop.ingestion.retry(first.id)


@pytest.mark.slow
def test_retry_takes_dead_documents_again_and_removes_nothing(workshop: Workshop) -> None:
    workshop.write("good.txt", "Alpha is the first letter.")
    path = workshop.write("bad.txt", "")
    task = workshop.ingest(sync=True)
    path.write_text("Now there is text.")
    assert workshop.ingestion.retry(task.id).state is TaskState.PENDING
    status = workshop.finished(task.id)
    assert status.state is TaskState.SUCCESS
    assert (status.failed, status.done, status.total, status.documents_removed) == ({}, 2, 2, 0)
    assert workshop.names() == {"good.txt", "bad.txt"}


def test_dead_members_of_an_archive_are_retried_with_it(workshop: Workshop) -> None:
    workshop.write("x.zip", archive(a_txt="Alpha is the first letter.", b_txt=""))
    task = workshop.ingest()
    assert (task.documents_processed, list(task.failed)) == (1, [f"{workshop.documents}/x.zip!/b.txt"])
    assert workshop.ingest().documents_skipped == 1
    assert len(workshop.ingestion.dead()) == 1
    workshop.write("x.zip", archive(a_txt="Alpha is the first letter.", b_txt="Beta is the second letter."))
    workshop.ingestion.retry(task.id)
    assert workshop.finished(task.id).failed == {}
    assert workshop.names() == {"x.zip!/a.txt", "x.zip!/b.txt"}


def test_uploads(workshop: Workshop) -> None:
    upload = workshop.ingestion.new_upload()
    upload.add("notes/a.txt", [b"Alpha is ", b"the first letter."])
    upload.add("../../b.txt", io.BytesIO(b"Beta is the second letter."))
    task = workshop.ingestion.submit(IngestSpec(files=upload.files))
    assert workshop.finished(task.id).documents_processed == 2
    assert workshop.sources() == {"notes/a.txt", "b.txt"}
    assert list((workshop.data / "spool").iterdir()) == []


@pytest.mark.slow
def test_uploads_of_dead_documents_are_kept_for_a_retry(workshop: Workshop) -> None:
    upload = workshop.ingestion.new_upload()
    upload.add("a.txt", [b"Alpha is the first letter."])
    upload.add("b.txt", [b""])
    task = workshop.ingestion.submit(IngestSpec(files=upload.files))
    assert list(workshop.finished(task.id).failed) == ["b.txt"]
    workshop.restart()
    workshop.ingestion.retry(task.id)
    status = workshop.finished(task.id)
    assert status.failed["b.txt"].code == "empty"


def test_upload_limits(workshop: Workshop) -> None:
    spool = UploadSpool(workshop.data / "spool" / "x", upload_bytes=2500, file_bytes=1500)
    spool.add("a", [b"x" * 1400])
    with pytest.raises(TooLarge, match="larger than 1,500"):
        spool.add("b", [b"x" * 1000, b"x" * 501])
    with pytest.raises(TooLarge, match="upload is larger"):
        spool.add("c", [b"x" * 1200])
    with pytest.raises(InvalidRequest, match="Two files"):
        spool.add("a", [b"x"])
    with pytest.raises(InvalidRequest, match="no name"):
        spool.add("../", [b"x"])
    assert [(file.name, file.size) for file in spool.files] == [("a", 1400)]
    assert len(list((workshop.data / "spool" / "x").iterdir())) == 1
    spool.discard()
    assert not (workshop.data / "spool" / "x").exists()


@pytest.mark.slow
def test_labels_name_the_sources(workshop: Workshop) -> None:
    path = workshop.write("deep/a.txt", "Alpha is the first letter.")
    workshop.ingest(label="manuals", collection="one")
    workshop.ingest(path, label="manuals", collection="two")
    assert workshop.sources("one") == {"manuals/deep/a.txt"}
    assert workshop.sources("two") == {"manuals/a.txt"}
    path.unlink()
    assert workshop.ingest(label="manuals", collection="one", sync=True).documents_removed == 1


@pytest.mark.slow
def test_sync_of_one_labelled_file_removes_nothing_else(workshop: Workshop) -> None:
    workshop.write("a.txt", "Alpha is the first letter.")
    path = workshop.write("b.txt", "Beta is the second letter.")
    workshop.ingest(label="manuals")
    assert workshop.ingest(path, label="manuals", sync=True).documents_removed == 0
    assert workshop.sources() == {"manuals/a.txt", "manuals/b.txt"}
