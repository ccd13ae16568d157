"""What ingestion does when disk, memory or model let it down: it says what it waits for, and goes on."""

import errno
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from appliance.errors import DiskFull, DocumentError, ModelError, StorageError
from appliance.ingest.breaker import Breaker, Stopped, backoff_s, cause
from appliance.ingest.spec import IngestSpec, TaskState
from tests.ingest.jobs import Refusing, Workshop, until, writer_held


@pytest.mark.slow
def test_a_full_disk_is_waited_out(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    for number in range(40):
        workshop.write(f"{number}.txt", f"The text of number {number}. " * 200)
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    behind = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    writer = workshop.store.database._writer
    pages = int(str(writer.pragma("page_count")))
    writer.pragma("max_page_count", pages + 30)  # SQLite answers SQLITE_FULL from here on, as on a full disk
    workshop.ingestion.start()
    until(lambda: workshop.ingestion.status(task.id).step == "waiting: disk full")
    assert workshop.ingestion.status(behind.id).step == "queued; the queue waits: disk full"
    waiting = workshop.ingestion.status(task.id)
    assert (waiting.state, waiting.failed) == (TaskState.PROGRESS, {})
    assert workshop.ingestion.health() == "waiting: disk full"
    writer.pragma("max_page_count", 1_000_000)
    status = workshop.finished(task.id)
    assert (status.state, status.documents_processed, status.failed) == (TaskState.SUCCESS, 40, {})
    workshop.assert_consistent()
    workshop.close()


@pytest.mark.slow
def test_a_task_that_cannot_even_begin_says_that_the_disk_is_full(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path)
    workshop.write("a.txt", "Alpha is the first letter.")
    large = IngestSpec(directory=workshop.documents, metadata={"note": "n" * 900})
    with writer_held(workshop):  # so that the tasks wait in files for the ledger
        tasks = [workshop.ingestion.submit(large).id for _ in range(12)]
    writer = workshop.store.database._writer
    writer.pragma("max_page_count", int(str(writer.pragma("page_count"))))
    workshop.ingestion.start()
    until(lambda: workshop.ingestion.status(tasks[-1]).step == "queued; the queue waits: disk full")
    assert workshop.ingestion.tasks()[0].step == "queued; the queue waits: disk full"
    assert workshop.ingestion.health() == "waiting: disk full"
    writer.pragma("max_page_count", 1_000_000)
    assert all(workshop.finished(task).state == TaskState.SUCCESS for task in tasks)
    workshop.close()


def test_a_task_whose_end_cannot_be_noted_says_that_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = threading.Event()
    full.set()
    workshop = Workshop(tmp_path)
    finish = workshop.store.jobs.finish

    def refusing(*given: Any) -> None:
        if full.is_set():
            raise DiskFull("full")
        finish(*given)

    monkeypatch.setattr(workshop.store.jobs, "finish", refusing)
    workshop.write("a.txt", "Alpha is the first letter.")
    workshop.ingestion.start()
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents)).id
    until(lambda: workshop.ingestion.status(task).step == "waiting: disk full")
    full.clear()
    done = workshop.finished(task)
    assert (done.state, done.step) == (TaskState.SUCCESS, "done")
    workshop.close()


def test_a_model_that_comes_back_is_waited_for(tmp_path: Path) -> None:
    broken = threading.Event()
    broken.set()
    workshop = Workshop(tmp_path, Refusing(lambda _: ModelError("gone") if broken.is_set() else None))
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    until(lambda: workshop.ingestion.status(task.id).step == "waiting: model unusable")
    broken.clear()
    assert workshop.finished(task.id).failed == {}
    workshop.close()


@pytest.mark.slow
def test_what_stays_broken_fails_the_task_and_no_document(tmp_path: Path) -> None:
    broken = threading.Event()
    broken.set()
    embedder = Refusing(lambda _: ModelError("The model is gone.", hint="Bring it back.") if broken.is_set() else None)
    workshop = Workshop(tmp_path, embedder, ingestion={"breaker_s": (0.02, 0.05, 0.2)})
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    status = workshop.ingest()
    assert (status.state, status.failed) == (TaskState.FAILURE, {})
    assert status.error == "The model is gone. Bring it back."
    broken.clear()
    workshop.ingestion.retry(status.id)
    assert workshop.finished(status.id).documents_processed == 1
    workshop.close()


@pytest.mark.slow
def test_stop_while_waiting_is_quick_and_loses_nothing(tmp_path: Path) -> None:
    broken = threading.Event()
    broken.set()
    embedder = Refusing(lambda _: ModelError("gone") if broken.is_set() else None)
    workshop = Workshop(tmp_path, embedder, ingestion={"breaker_s": (60.0, 60.0, 600.0)})
    workshop.ingestion.start()
    workshop.write("a.txt", "Alpha is the first letter.")
    task = workshop.ingestion.submit(IngestSpec(directory=workshop.documents))
    until(lambda: workshop.ingestion.status(task.id).step.startswith("waiting"))
    began = time.monotonic()
    broken.clear()
    workshop.restart()
    assert time.monotonic() - began < 5
    assert workshop.finished(task.id).documents_processed == 1
    workshop.close()


def test_backoff_is_jittered_and_bounded() -> None:
    waits = [backoff_s(attempt, base_s=1, longest_s=8) for attempt in range(1, 40) for _ in range(50)]
    assert min(waits) >= 0
    assert max(waits) <= 8
    assert max(backoff_s(1, base_s=1, longest_s=8) for _ in range(200)) <= 1
    assert len({round(wait, 6) for wait in waits}) > 1000


def test_what_is_the_surroundings_fault() -> None:
    assert cause(OSError(errno.ENOSPC, "full")) == "disk full"
    assert cause(StorageError("x")) == "storage unusable"
    assert cause(ModelError("x")) == "model unusable"
    assert cause(MemoryError()) == "memory short"
    assert cause(OSError(errno.EIO, "one file")) == ""
    assert cause(DocumentError("x")) == ""


def test_the_breaker_gives_up_after_its_time_and_stops_when_told() -> None:
    def fail() -> None:
        raise MemoryError

    stopped = threading.Event()
    with pytest.raises(MemoryError):
        Breaker("test", first_s=0.01, longest_s=0.02, give_up_s=0.1).run(fail, stopped)
    stopped.set()
    with pytest.raises(Stopped):
        Breaker("test").run(fail, stopped)
