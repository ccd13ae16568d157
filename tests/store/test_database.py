"""The database file: opening, refusing, transactions, readers, the write-ahead log."""

import os
import tempfile
import threading
import time
from pathlib import Path

import apsw
import pytest

from appliance.errors import DiskFull, StorageError
from appliance.store import Database, Store
from appliance.store import database as database_module
from appliance.store.migrations import migrations
from tests.store.samples import DIMENSIONS, EMBEDDER, document

INSERT_KEY = "INSERT INTO keys (id, name, role, hash, created_at) VALUES (?, 'n', 'reader', randomblob(16), 0)"
COUNT_KEYS = "SELECT count(*) FROM keys"


def code_of(path: Path) -> str:
    with pytest.raises(StorageError) as caught:
        Database.open(path)
    assert caught.value.hint
    return caught.value.code


def test_a_new_file_is_private_and_has_the_newest_schema(tmp_path: Path) -> None:
    path = tmp_path / "appliance.db"
    database = Database.open(path)
    connection = database.reader()
    assert path.stat().st_mode & 0o777 == 0o600
    assert int(str(connection.pragma("user_version"))) == len(migrations())
    assert connection.pragma("journal_mode") == "wal"
    database.close()
    Database.open(path).close()  # a second time there is nothing to migrate


def test_a_failed_migration_leaves_the_version_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = [*migrations(), (len(migrations()) + 1, "CREATE TABLE half (a); CREATE TABLE half (a)")]
    monkeypatch.setattr("appliance.store.migrations.migrations", lambda: broken)
    with pytest.raises(apsw.SQLError):
        Database.open(tmp_path / "appliance.db")
    connection = apsw.Connection(str(tmp_path / "appliance.db"))
    assert int(str(connection.pragma("user_version"))) == len(broken) - 1
    assert connection.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'half'").get == 0
    connection.close()


def test_a_newer_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "appliance.db"
    Database.open(path).close()
    with apsw.Connection(str(path)) as connection:
        connection.execute("PRAGMA user_version = 9999")
    assert code_of(path) == "database_too_new"


def test_files_that_are_not_ours_are_refused(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("no database at all, but long enough to have a header " * 100)
    assert code_of(tmp_path / "text") == "database_corrupt"
    with apsw.Connection(str(tmp_path / "foreign")) as connection:
        connection.execute("CREATE TABLE theirs (a)")
    assert code_of(tmp_path / "foreign") == "database_foreign"
    assert code_of(tmp_path / "missing" / "appliance.db") == "database_unopenable"


def test_damage_is_named_where_it_is_met(tmp_path: Path) -> None:
    path = tmp_path / "appliance.db"
    store = Store.open(path)
    store.documents.ensure_collection("default", EMBEDDER, DIMENSIONS)
    store.documents.put("default", [document(f"d{i}", ["some text. " * 60] * 5) for i in range(50)])
    store.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        for page in range(2, size // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 64)
    with pytest.raises(StorageError) as caught:
        Store.open(path).documents.list("default")
    assert caught.value.code == "database_corrupt"
    assert "backup" in caught.value.hint


@pytest.mark.parametrize(
    ("file_mode", "folder_mode", "expected"),
    [(0o666, 0o777, "opened"), (0o444, 0o777, "database_read_only"), (0o666, 0o555, "database_read_only")],
)
def test_what_may_not_be_written_is_refused(file_mode: int, folder_mode: int, expected: str) -> None:
    with tempfile.TemporaryDirectory() as name:  # every user may look into it, unlike pytest's own
        folder = Path(name)
        Database.open(folder / "appliance.db").close()
        (folder / "appliance.db").chmod(file_mode)
        folder.chmod(folder_mode)
        code = code_as_other_user(folder / "appliance.db")
        folder.chmod(0o700)
    assert code == expected


def code_as_other_user(path: Path) -> str:
    """What opening gives in a child that is not root, for root may write anywhere."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        if os.geteuid() == 0:
            os.setgroups([])
            os.setuid(65534)
        os.chdir("/")
        try:
            Database.open(path)
            code = "opened"
        except StorageError as error:
            code = error.code
        finally:
            os.write(writing, code.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        code = pipe.read()
    os.waitpid(child, 0)
    return code


def test_an_error_in_a_transaction_undoes_all_of_it(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.db")
    with pytest.raises(apsw.ConstraintError), database.write() as connection:
        connection.executemany(INSERT_KEY, [("a",), ("a",)])
    with database.write() as connection:
        connection.execute(INSERT_KEY, ("b",))
    assert database.reader().execute("SELECT id FROM keys").fetchall() == [("b",)]
    with pytest.raises(RuntimeError), database.write(), database.write():
        pass
    database.close()


def test_a_full_disk_keeps_what_was_there(store: Store) -> None:
    store.documents.put("default", [document("kept", ["it stays."])])
    with store.database.write() as connection:
        pages = int(str(connection.pragma("page_count")))
        connection.pragma("max_page_count", pages + 20)
    with pytest.raises(DiskFull) as caught:
        store.documents.put("default", [document("big", [f"{i} " * 2000 for i in range(50)])])
    assert caught.value.hint
    with store.database.write() as connection:
        connection.pragma("max_page_count", 1 << 30)
    assert [info.source for info in store.documents.list("default")] == ["kept"]
    store.documents.put("default", [document("big", [f"{i} " * 2000 for i in range(50)])])
    assert store.documents.check() == []


def test_a_snapshot_sees_one_state(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.db")
    with database.read(snapshot=True) as reader:
        assert reader.execute(COUNT_KEYS).get == 0
        with database.write() as writer:
            writer.execute(INSERT_KEY, ("a",))
        assert reader.execute(COUNT_KEYS).get == 0
    assert database.reader().execute(COUNT_KEYS).get == 1
    database.close()


def test_readers_end_with_their_threads_and_with_the_database(tmp_path: Path) -> None:
    database = Database.open(tmp_path / "a.db")

    def read() -> None:
        assert database.reader().execute(COUNT_KEYS).get == 0

    def open_files() -> int:
        links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(str(tmp_path) in str(link.readlink()) for link in links)

    read()
    before = open_files()
    for _ in range(20):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert open_files() <= before + 3
    with pytest.raises(apsw.ReadOnlyError):
        database.reader().execute(INSERT_KEY, ("a",))
    database.close()
    assert open_files() == 0
    with pytest.raises(StorageError) as caught:
        database.reader()
    assert caught.value.code == "database_closed"


@pytest.mark.slow
def test_the_log_stays_bounded_although_somebody_always_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_module, "RESTART_PAGES", 500)
    monkeypatch.setattr(database_module, "CHECKPOINT_PAGES", 100)
    database = Database.open(tmp_path / "a.db")
    with database.write() as connection:
        connection.execute("CREATE TABLE filler (data BLOB)")
    stop = threading.Event()

    def read(offset: float) -> None:
        time.sleep(offset)
        while not stop.is_set():  # two of these overlap: at no moment is nobody reading
            with database.read(snapshot=True) as connection:
                connection.execute("SELECT count(*) FROM filler").fetchall()
                time.sleep(0.02)

    readers = [threading.Thread(target=read, args=(offset,)) for offset in (0, 0.01)]
    for thread in readers:
        thread.start()
    largest = 0
    for _ in range(60):
        with database.write() as connection:
            connection.execute("INSERT INTO filler VALUES (zeroblob(200000))")  # about 50 pages
        largest = max(largest, (tmp_path / "a.db-wal").stat().st_size)
    stop.set()
    for thread in readers:
        thread.join()
    database.close()
    assert largest < 1_500 * 4096, f"{largest} bytes of log for 3,000 pages written"
