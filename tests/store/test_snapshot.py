"""A snapshot: one state of the file while others write, and a log that stays bounded."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from appliance.store import snapshot
from appliance.store.database import Database
from appliance.store.snapshot import frozen


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    opened = Database.open(tmp_path / "appliance.db")
    with opened.write() as connection:
        connection.execute("CREATE TABLE pairs (number INTEGER PRIMARY KEY, filler BLOB)")
    yield opened
    opened.close()


@contextmanager
def busy_writer(database: Database) -> Iterator[list[int]]:
    """Somebody commits pairs of rows all the time; the list counts commits."""
    stop = threading.Event()
    commits = [0]

    def write() -> None:
        while not stop.is_set():
            with database.write() as connection:
                for _ in range(2):
                    connection.execute("INSERT INTO pairs (filler) VALUES (randomblob(50000))")
            commits[0] += 1

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield commits
    finally:
        stop.set()
        thread.join()


def copied(state: bytes, path: Path) -> int:
    """Rows of a copy that is opened on its own."""
    path.unlink(missing_ok=True)
    path.write_bytes(state)
    connection = apsw.Connection(str(path))
    try:
        assert connection.pragma("integrity_check") == "ok"
        return int(str(connection.execute("SELECT count(*) FROM pairs").get))
    finally:
        connection.close()


def test_the_bytes_are_one_committed_state_whatever_is_written_meanwhile(database: Database, tmp_path: Path) -> None:
    with busy_writer(database) as commits:
        for _ in range(3):
            before = commits[0]
            with frozen(database) as taken:
                first = taken.read(0, taken.size)
                begun = commits[0]
                while commits[0] < begun + 100:  # past the automatic checkpoint, several times
                    time.sleep(0.001)
                assert taken.read(0, taken.size) == first
            rows = copied(first, tmp_path / "copy.db")
            assert rows % 2 == 0
            assert 2 * before <= rows <= 2 * begun + 2
    assert database.snapshots == 0


def test_a_commit_that_is_only_in_the_log_is_in_the_snapshot(database: Database, tmp_path: Path) -> None:
    with database.write() as connection:
        connection.execute("INSERT INTO pairs VALUES (77, x'00')")
    with frozen(database) as taken:
        assert copied(taken.read(0, taken.size), tmp_path / "copy.db") == 1
        assert taken.facts().unfinished == 0


def test_writers_wait_once_the_log_has_grown_beyond_its_bound(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "LOG_LIMIT", 2_000_000)
    with busy_writer(database) as commits:
        with frozen(database) as taken:
            while os.stat(f"{database.path}-wal").st_size <= 2_000_000:  # noqa: PTH116
                taken.read(0, 4096)
            taken.read(0, 4096)
            stood = commits[0]
            for _ in range(200):
                taken.read(0, taken.size)
            assert commits[0] <= stood + 1  # one may have been under way
        while commits[0] <= stood + 1:  # and they go on
            time.sleep(0.001)


def test_the_log_is_emptied_after_snapshots(database: Database) -> None:
    """No snapshot leaves something behind that keeps checkpoints off."""
    with busy_writer(database) as commits:
        for _ in range(3):
            with frozen(database):
                begun = commits[0]
                while commits[0] < begun + 50:
                    time.sleep(0.001)
    database.close()
    assert not Path(f"{database.path}-wal").exists()
