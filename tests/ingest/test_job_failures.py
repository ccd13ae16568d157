"""What ingestion does when the host, the disk, the model or a document lets it down: it waits, or says why."""

import errno
import hashlib
import os
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.ingest.sandbox import ReaderProcess
from appliance.ingest.spec import IngestSpec, TaskState, TaskStatus
from appliance.store.job_rows import NewTask
from tests.ingest.jobs import Gate, Refusing, Workshop, until


def faulty_open(monkeypatch: pytest.MonkeyPatch, path: Path, number: int, times: int) -> list[float]:
    """The first `times` attempts to open `path` fail with `number`; returns when they were made."""
    real, made = os.open, []

    def fault(target: Any, flags: int, *rest: Any, **named: Any) -> int:
        if target == os.fsencode(path):
            made.append(time.monotonic())
            if len(made) <= times:
                raise OSError(number, os.strerror(number), target)
        return real(target, flags, *rest, **named)

    monkeypatch.setattr(os, "open", fault)
    return made


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.ingest.unit.RETRY_BASE_S", 0.05)


@pytest.mark.usefixtures("hurried")
def test_passing_faults_are_retried(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = Workshop(tmp_path)
    workshop.ingestion.start()
    path = workshop.write("a.txt", "Alpha is the first letter.")
    made = faulty_open(monkeypatch, path, errno.EIO, times=2)
    status = workshop.ingest()
    assert (status.state, status.documents_processed, status.failed) == (TaskState.SUCCESS, 1, {})
    assert len(made) == 3
    workshop.close()


@pytest.mark.usefixtures("hurried")
def test_passing_faults_that_do_not_pass_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = Workshop(tmp_path, ingest_attempts=3)
    workshop.ingestion.start()
    workshop.write("b.txt", "Beta is the second letter.")
    path = workshop.write("a.txt", "Alpha is the first letter.")
    made = faulty_open(monkeypatch, path, errno.ESTALE, times=99)
    failed = workshop.ingest().failed[str(path)]
    assert (failed.dead, failed.attempts, failed.code) == (True, 3, "unreadable")
    assert len(made) == 3
    assert workshop.names() == {"b.txt"}
    workshop.close()


def test_lasting_faults_are_given_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    workshop = Workshop(tmp_path)
    workshop.ingestion.start()
    workshop.write("b.txt", "Beta is the second letter.")
    path = workshop.write("a.txt", "Alpha is the first letter.")
    faulty_open(monkeypatch, path, errno.EACCES, times=99)
    failed = workshop.ingest().failed[str(path)]
    assert (failed.dead, failed.attempts) == (True, 1)
    assert "chmod" in failed.hint
    workshop.close()


@pytest.mark.slow
def test_a_waiting_retry_survives_a_restart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.ingest.unit.backoff_s", lambda *_, **__: 2.0)
    workshop = Workshop(tmp_path)
    workshop.ingestion.start()
    path = workshop.write("a.txt", "Alpha is the first letter.")
    made = faulty_open(monkeypatch, path, errno.EIO, times=1)
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    until(lambda: workshop.ingestion.status(task.id).failed_count == 1)
    failed = workshop.ingestion.status(task.id).failed[str(path)]
    assert (failed.dead, failed.attempts) == (False, 1)
    workshop.restart()
    assert workshop.finished(task.id).documents_processed == 1
    assert made[1] - made[0] > 1.5
    workshop.close()


def test_a_text_the_model_refuses_costs_its_document_only(tmp_path: Path) -> None:
    def refuse(passages: list[Any]) -> Exception | None:
        return RuntimeError("index out of range") if any("cursed" in passage.text for passage in passages) else None

    workshop = Workshop(tmp_path, Refusing(refuse))
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    path = workshop.write("b.txt", "A cursed text.")
    workshop.write("c.txt", "Gamma is the third letter.")
    status = workshop.ingest()
    assert status.failed[str(path)].code == "embedding_failed"
    assert workshop.names() == {"a.txt", "c.txt"}
    workshop.assert_consistent()
    workshop.close()


@pytest.mark.slow
def test_a_file_that_changes_while_it_is_read_is_stored_with_the_hash_of_what_was_read(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    path = workshop.write("a.txt", "Alpha is the first letter.")
    reader = workshop.ingestion._reader
    real, calls = reader.read, []

    def read(target: Path, source: str, **named: Any) -> Any:
        calls.append(target)
        if target == path:
            path.write_text("Alpha has changed in the meantime.")
        return real(target, source, **named)

    reader.read = read  # type: ignore[method-assign,assignment]
    workshop.ingestion.start()
    workshop.ingest()
    [info] = workshop.store.documents.list("default")
    text = workshop.store.documents.get(info.id).text
    assert len(calls) == 2
    assert text.strip() == "Alpha has changed in the meantime."
    assert info.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not (workshop.data / "spool" / "copies").exists()
    workshop.close()


def test_a_document_that_kills_the_process_again_and_again_is_given_up(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, ingest_attempts=2)
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.write("b.txt", "Beta is the second letter.")
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    workshop.close()
    with sqlite3.connect(workshop.data / "appliance.db") as connection:  # as deaths in the middle leave it
        connection.execute("UPDATE tasks SET state = 'PROGRESS', crashes = 4")
    connection.close()
    workshop.open()
    jobs = workshop.store.jobs
    row = jobs.task(task.id)
    path = workshop.documents / "a.txt"
    jobs.add_items(row.seq, [(str(path), os.fsencode(path), None)], 0.0)
    jobs.listed(row.seq, complete=True)
    [item] = jobs.due(row.seq, after=0, now=time.time(), limit=9)
    jobs.attempt(item)
    jobs.attempt(item)
    workshop.ingestion.start()
    failed = workshop.finished(task.id).failed[str(path)]
    assert (failed.code, failed.dead) == ("appliance_died", True)
    assert workshop.ingest().documents_processed == 2
    workshop.close()


def test_a_dropped_collection_fails_the_task_with_its_name(tmp_path: Path) -> None:
    gate = Gate()
    gate.opened.clear()
    workshop = Workshop(tmp_path, gate)
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents, collection="short"))
    assert gate.reached.wait(20)
    workshop.store.documents.drop_collection("short")
    gate.opened.set()
    status = workshop.finished(task.id)
    assert status.state is TaskState.FAILURE
    assert "short" in (status.error or "")
    workshop.close()


def test_progress_counts_chunks_of_documents_under_way(tmp_path: Path) -> None:
    gate = Gate()
    workshop = Workshop(tmp_path, gate, chunk_tokens=32)
    workshop.write(
        "a.txt", "".join(f"This is sentence number {n} of a long text that has many.\n\n" for n in range(900))
    )
    seen: list[TaskStatus] = []
    real = gate.embed_passages

    def watched(passages: Any) -> Any:
        seen.append(workshop.ingestion.status(task.id))
        return real(passages)

    gate.embed_passages = watched  # type: ignore[method-assign]
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    workshop.ingestion.start()
    status = workshop.finished(task.id)
    parts = [state.progress for state in seen]
    assert len(parts) >= 3
    assert parts == sorted(set(parts))
    assert 0.2 < parts[-1] < 1.0
    assert all(state.documents_processed == 0 for state in seen)
    assert (status.progress, status.step) == (1.0, "done")
    workshop.close()


@pytest.mark.slow
def test_questions_are_given_way_for_a_bounded_time(tmp_path: Path) -> None:
    asked: list[float] = []

    def busy() -> bool:
        asked.append(time.monotonic())
        return True

    workshop = Workshop(tmp_path, ingestion={"busy": busy})
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    assert workshop.ingest().documents_processed == 1
    assert len(asked) > 5
    assert asked[-1] - asked[0] < 1
    workshop.close()


def test_cancel_does_not_wait_for_a_slow_reader(tmp_path: Path) -> None:
    """A reader that would take a minute, as a hostile document can make it."""
    slow = "import sys, time; time.sleep(60)"
    reader = ReaderProcess([sys.executable, "-c", slow])
    workshop = Workshop(tmp_path, ingestion={"reader": reader})
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    until(lambda: reader.running)
    began = time.monotonic()
    workshop.ingestion.cancel(task.id)
    status = workshop.finished(task.id, 20)
    assert time.monotonic() - began < 10
    assert (status.error, status.failed) == ("cancelled", {})
    workshop.close()


@pytest.mark.slow
def test_a_task_that_cannot_be_understood_fails(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    workshop.store.jobs.add(NewTask("odd", "default", b"\xc1", None, time.time()))
    workshop.ingestion.start()
    status = workshop.finished("odd")
    assert (status.state, bool(status.error)) == (TaskState.FAILURE, True)
    workshop.close()


def test_a_document_is_not_given_up_because_the_host_went_down(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path, ingest_attempts=2)
    path = workshop.write("a.txt", "Alpha is the first letter.")
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    jobs = workshop.store.jobs
    row = jobs.task(task.id)
    jobs.add_items(row.seq, [(str(path), os.fsencode(path), None)], 0.0)
    jobs.listed(row.seq, complete=True)
    [item] = jobs.due(row.seq, after=0, now=time.time(), limit=9)
    for _ in range(3):
        jobs.begin(row.seq)
        jobs.attempt(item)
    jobs.forget_crashes()
    assert jobs.task(task.id).crashes == 0
    workshop.ingestion.start()
    assert workshop.finished(task.id).documents_processed == 1
    workshop.close()
