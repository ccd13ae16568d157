"""The copy from before a migration: made when there is one, whole, and forgotten when it must be."""

from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from appliance.errors import DiskFull
from appliance.store import Store, premigration
from appliance.store import migrations as module
from appliance.types import Role

KNOWN = module.migrations()
MORE = "CREATE TABLE novelty (id INTEGER PRIMARY KEY) STRICT"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database of this program that holds one key."""
    path = tmp_path / "appliance.db"
    store = Store.open(path)
    store.keys.create("before", Role.ADMIN)
    store.close()
    return path


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Make this program one of a later version, with one migration more."""

    def become(sql: str) -> None:
        monkeypatch.setattr(module, "migrations", lambda: [*KNOWN, (len(KNOWN) + 1, sql)])

    return become


def test_a_migration_keeps_the_database_from_before_it(database: Path, later: Callable[[str], None]) -> None:
    Store.open(database).close()
    assert not premigration.copy_of(database).exists()  # nothing was migrated
    later(MORE)
    told: list[str] = []
    store = Store.open(database, told.append)
    store.keys.create("after", Role.ADMIN)
    store.close()
    assert any("copying the database" in line for line in told)
    assert any(f"schema {len(KNOWN) + 1} of" in line for line in told)
    assert premigration.schema_of(database) == len(KNOWN) + 1
    copy = premigration.copy_of(database)
    assert premigration.schema_of(copy) == len(KNOWN)
    assert copy.stat().st_mode & 0o777 == 0o600
    premigration.go_back(database)
    assert premigration.schema_of(database) == len(KNOWN)
    connection = apsw.Connection(str(database))
    assert connection.execute("SELECT name FROM keys").fetchall() == [("before",)]
    connection.close()
    premigration.go_back(database)  # a second time changes nothing
    assert premigration.schema_of(database) == len(KNOWN)


def test_a_migration_that_fails_and_is_tried_again_keeps_the_first_copy(
    database: Path, later: Callable[[str], None]
) -> None:
    later("CREATE TABLE broken (")
    for _ in range(2):
        with pytest.raises(apsw.SQLError):
            Store.open(database)
        assert premigration.schema_of(database) == len(KNOWN)
    first = premigration.copy_of(database).stat().st_ino
    later(MORE)
    Store.open(database).close()
    assert premigration.copy_of(database).stat().st_ino == first


def test_without_room_for_the_copy_nothing_is_migrated(
    database: Path, later: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    later(MORE)
    monkeypatch.setattr(premigration, "SPARE_BYTES", 1 << 60)
    with pytest.raises(DiskFull) as caught:
        Store.open(database)
    assert "MB" in caught.value.hint
    assert premigration.schema_of(database) == len(KNOWN)


def test_a_copy_is_of_one_state_while_others_write(database: Path, tmp_path: Path) -> None:
    store = Store.open(database)
    store.keys.create("second", Role.ADMIN)
    premigration.copy_live(database, tmp_path / "copy.db")
    store.keys.create("third", Role.ADMIN)
    store.close()
    connection = apsw.Connection(str(tmp_path / "copy.db"))
    assert connection.execute("SELECT count(*) FROM keys").get == 2
    connection.close()


def test_documents_written_since_a_moment_are_counted(database: Path) -> None:
    assert premigration.written_since(database, 0) == 0
