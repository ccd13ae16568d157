"""An erasure beside other work: deletions, ingestion, questions, requests that make no sense, a disk without room."""

import threading
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from appliance.erasure.begin import EraseRequest
from appliance.errors import Conflict, DiskFull, InvalidRequest, NotFound
from appliance.ingest.spec import IngestSpec
from appliance.store import compaction
from appliance.store.keyword_pages import tombstones
from appliance.types import Query
from tests.erasure.conftest import OTHER, SECRET, Office, pieces, raw_hits, unique_text


@pytest.mark.slow
def test_a_deletion_beside_it_leaves_the_proof_standing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.upload({"secret.txt": SECRET.encode(), "other.txt": OTHER.encode(), "third.txt": unique_text("3").encode()})
    other, name = office.id_of("other.txt"), "appliance.erasure.steps.tombstones"

    def just_deleted(connection: apsw.Connection, table: str) -> int:
        monkeypatch.setattr(name, tombstones)
        office.appliance.delete_documents([other])
        with office.appliance.store.database.read() as fresh:
            marked = tombstones(fresh, table)
        assert marked > 0
        return marked

    monkeypatch.setattr(name, just_deleted)
    receipt = office.erase(office.id_of("secret.txt"))
    assert receipt["verdict"] == "proved", receipt
    assert raw_hits(office.data, *pieces(SECRET)) == {}


@pytest.mark.slow
def test_deletions_that_never_stop_leave_the_proof_standing(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    others = [f"other-{number}.txt" for number in range(8)]
    office.upload({"secret.txt": SECRET.encode()} | {name: unique_text(name[6:]).encode() for name in others})
    ids = [office.id_of(name) for name in others]
    deletions: list[threading.Thread] = []

    def deleted_again(connection: apsw.Connection, table: str) -> int:
        if ids:
            deletions.append(threading.Thread(target=office.appliance.delete_documents, args=([ids.pop()],)))
            deletions[-1].start()
            deletions[-1].join(0.5)  # one that must wait for the proof ends after it
        with office.appliance.store.database.read() as fresh:
            return tombstones(fresh, table)

    monkeypatch.setattr("appliance.erasure.steps.tombstones", deleted_again)
    receipt = office.erase(office.id_of("secret.txt"))
    for deletion in deletions:
        deletion.join()
    assert len(deletions) > 2
    assert receipt["verdict"] == "proved", receipt
    assert raw_hits(office.data, *pieces(SECRET)) == {}


@pytest.mark.slow
def test_ingested_again_it_works_as_before(office: Office) -> None:
    path = office.write("secret.txt", SECRET)
    office.ingest(path)
    office.erase(office.id_of(str(path)))
    assert office.ingest(path).documents_processed == 1
    found = office.appliance.search(Query(SECRET.split(".")[5], collection="default"))
    assert [hit.chunk.source for hit in found.hits][:1] == [str(path)]
    assert office.erase(office.id_of(str(path)))["verdict"] == "proved"


@pytest.mark.slow
def test_no_handle_to_a_removed_file_is_kept(make_office: Callable[..., Office]) -> None:
    office = make_office(exact_scan_below=1)
    office.upload({"secret.txt": SECRET.encode(), "other.txt": OTHER.encode()})
    office.erase(office.id_of("secret.txt"))
    held = [str(link.readlink()) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [name for name in held if name.startswith(str(office.data)) and name.endswith("(deleted)")] == []


def test_what_is_about_to_be_ingested_is_a_conflict(office: Office) -> None:
    path = office.write("secret.txt", SECRET)
    office.ingest(office.documents)
    secret = office.id_of(str(path))
    office.appliance.ingestion.stop()
    office.appliance.ingestion.submit(IngestSpec(directory=office.documents))
    with pytest.raises(Conflict) as refused:
        office.appliance.eraser.submit(EraseRequest((secret,)))
    assert refused.value.code == "being_ingested"
    assert office.appliance.store.documents.info(secret).id == secret
    assert office.appliance.eraser.list(10) == []


def test_requests_that_make_no_sense(office: Office) -> None:
    with pytest.raises(InvalidRequest, match="nothing to erase"):
        office.appliance.eraser.submit(EraseRequest())
    with pytest.raises(NotFound, match="no document 77"):
        office.appliance.eraser.submit(EraseRequest((77,)))
    with pytest.raises(NotFound, match="no collection"):
        office.appliance.eraser.submit(EraseRequest(source="x", collection="nowhere"))
    with pytest.raises(NotFound, match="no erasure"):
        office.appliance.eraser.status("nothing")


def test_a_disk_without_room_is_told_before_anything_happens(office: Office, monkeypatch: pytest.MonkeyPatch) -> None:
    office.upload({"secret.txt": SECRET.encode()})
    secret = office.id_of("secret.txt")
    monkeypatch.setattr(compaction, "SPARE_BYTES", 2**62)
    with pytest.raises(DiskFull) as refused:
        office.appliance.eraser.submit(EraseRequest((secret,)))
    assert refused.value.code == "erase_needs_room"
    assert office.appliance.store.documents.info(secret).id == secret


@pytest.mark.slow
def test_questions_and_ingestion_go_on(office: Office) -> None:
    office.upload({f"{number}.txt": unique_text(f"{number}doc").encode() for number in range(20)})
    ids = [office.id_of(f"{number}.txt") for number in range(10)]
    begun = office.appliance.eraser.submit(EraseRequest(tuple(ids)))
    question = Query(unique_text("15doc").split(".")[2], collection="default")
    asked = 0
    while office.appliance.eraser.status(begun.id).receipt is None:
        sources = {hit.chunk.source for hit in office.appliance.search(question).hits}
        assert not sources & {f"{number}.txt" for number in range(10)}
        asked += 1
        if asked == 1:
            office.upload({"late.txt": OTHER.encode()})
    assert asked
    assert office.receipt(begun.id)["verdict"] == "proved"
    assert office.id_of("late.txt")
