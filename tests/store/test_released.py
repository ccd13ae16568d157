"""Every schema that was ever in the field opens and works; the way back from an upgrade is a backup made before it."""

import gzip
from collections.abc import Callable, Iterator
from pathlib import Path

import apsw
import pytest

from appliance.app import Appliance
from appliance.backup import Repository, Wanted, restore
from appliance.config import load_settings
from appliance.errors import StorageError
from appliance.store import migrations
from appliance.types import Query

RELEASED = sorted((Path(__file__).parent / "released").glob("*.db.gz"))
NEWEST = len(migrations.migrations())
QUESTIONS = {
    "default": {"Who services the boiler?": "heating.txt", "When are the roses pruned?": "garden.txt"},
    "notes": {"When was the harbour of Genoa enlarged?": "genoa.txt"},
}

Opener = Callable[[], Appliance]


@pytest.fixture
def opener(tmp_path: Path) -> Iterator[Opener]:
    """Opens the appliance of `tmp_path`; all are closed at the end."""
    opened: list[Appliance] = []

    def open_one() -> Appliance:
        given = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
        opened.append(Appliance.open(load_settings(given), purpose="tests"))
        return opened[-1]

    yield open_one
    for one in opened:
        one.close()


def placed(released: Path, folder: Path) -> Path:
    """The database in a data directory of its own."""
    data = folder / "data"
    data.mkdir()
    (data / "appliance.db").write_bytes(gzip.decompress(released.read_bytes()))
    return data


def schema(data: Path) -> int:
    connection = apsw.Connection(str(data / "appliance.db"), flags=apsw.SQLITE_OPEN_READWRITE)
    try:
        return int(str(connection.pragma("user_version")))
    finally:
        connection.close()


def works(appliance: Appliance) -> None:
    """It is whole, finds its documents, knows its keys, and takes in another."""
    assert appliance.store.documents.check() == []
    for collection, asked in QUESTIONS.items():
        for question, source in asked.items():
            [best, *_] = appliance.search(Query(question, collection)).hits
            assert best.chunk.source.endswith(source)
            document = appliance.store.documents.get(best.chunk.document_id)
            assert document.text[best.chunk.start : best.chunk.end] == best.chunk.text
            assert appliance.store.documents.sentences(collection, [best.chunk.id])
    assert [key.name for key in appliance.store.keys.list()] == ["first admin", "reporting"]
    assert not any("gone" in source for source in appliance.store.documents.hashes("default"))


def test_there_is_one_for_every_schema() -> None:
    """Who adds a migration adds the database of the schema before it, if that has been released."""
    assert [int(path.name[:4]) for path in RELEASED] == list(range(2, 2 + len(RELEASED)))
    assert len(RELEASED) >= 7
    assert all(path.stat().st_size < 100_000 for path in RELEASED)


@pytest.mark.parametrize("released", RELEASED, ids=lambda path: str(path.name[:4]))
def test_a_database_of_an_earlier_version_is_brought_forward(released: Path, tmp_path: Path, opener: Opener) -> None:
    data = placed(released, tmp_path)
    assert schema(data) == int(released.name[:4])
    appliance = opener()
    works(appliance)
    appliance.close()
    assert schema(data) == NEWEST
    again = opener()
    works(again)


@pytest.mark.slow
@pytest.mark.parametrize("released", [RELEASED[0], RELEASED[-1]], ids=lambda path: str(path.name[:4]))
def test_the_way_back_from_an_upgrade_is_a_backup_made_before(
    released: Path, tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next version is made here: one more migration. The program of today then refuses its database."""
    data = placed(released, tmp_path)
    before = opener()
    disk = tmp_path / "disk"
    disk.mkdir()
    before.backups.begin_create(Wanted(), disk)
    while before.backups.at_work:
        pass
    before.close()
    known = migrations.migrations()
    following = [*known, (NEWEST + 1, "ALTER TABLE documents ADD COLUMN language TEXT; DROP TABLE costs;")]
    monkeypatch.setattr(migrations, "migrations", lambda: following)
    opener().close()
    monkeypatch.undo()
    assert schema(data) == NEWEST + 1
    with pytest.raises(StorageError) as caught:
        opener()
    assert caught.value.code == "database_too_new"
    assert "backup" in caught.value.hint
    repository = Repository(disk)
    restore(repository, repository.find("latest"), data, force=True, progress=lambda done, total: None)
    assert schema(data) == NEWEST
    works(opener())


def test_a_migration_that_fails_leaves_the_database_as_it_was(
    tmp_path: Path, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = placed(RELEASED[-1], tmp_path)
    known = migrations.migrations()
    broken = [*known, (NEWEST + 1, "DROP TABLE sentences; SELECT * FROM nowhere;")]
    monkeypatch.setattr(migrations, "migrations", lambda: broken)
    with pytest.raises(apsw.SQLError):
        opener()
    monkeypatch.undo()
    assert schema(data) == NEWEST
    works(opener())
