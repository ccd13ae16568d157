"""A short torture of a real server; and damage done behind a server's back, which the checks must see."""

import random
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import pytest

from appliance.torture import Options, Report, claim, disk, texts, torture
from appliance.torture.checks import Checks
from appliance.torture.journal import Journal
from appliance.torture.run import SETTINGS
from appliance.torture.server import Caller, Server, Site

KILLS = 15
SOURCES = [f"d{number}.txt" for number in range(40)]


@pytest.mark.slow
def test_a_server_that_is_killed_again_and_again_loses_nothing(tmp_path: Path) -> None:
    report = torture(claim(tmp_path), Options(kills=KILLS, seed=3, disk=False, models=False), lambda report, what: None)
    assert report.problems == []
    assert report.killed >= KILLS // 2  # a step that is not reached in its time kills nothing
    assert report.kills["step"] >= KILLS // 3
    assert report.counts["documents acknowledged"] > 20
    assert report.counts["documents checked"] > 20
    assert report.counts["answers with a key"] > 0
    assert report.counts["answers from the cache"] > 0


@pytest.mark.slow
def test_a_disk_that_fills_up_costs_nothing_that_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(disk, "TURNS", 2)
    report = Report(seed=1)
    disk.torture(Site(claim(tmp_path), SETTINGS, "disk"), 1, report, lambda what: None)
    if report.notes:
        pytest.skip(report.notes[0])
    assert report.problems == []
    assert report.counts["disks freed"] == 2
    assert report.kills["full disk"] == 1


# --- damage behind the server's back ---------------------------------------------------------------------------------


@contextmanager
def running(site: Site) -> Iterator[Caller]:
    server = Server(site)
    try:
        server.ready()
        caller = server.caller()
        yield caller
        caller.close()
    finally:
        server.stop()


def add(caller: Caller, journal: Journal, sources: list[str]) -> None:
    written = {source: texts.text(source, version) for source, version in journal.propose(sources).items()}
    task = caller.upload(written, "default")["task_id"]
    while caller.get(f"/tasks/{task}")["finished_at"] is None:
        pass
    journal.acknowledged(sources)


def checked(caller: Caller, site: Site, journal: Journal) -> list[str]:
    report = Report(seed=1)
    Checks(caller, site.paths, journal, report).run(random.Random(1), everything=True)
    return report.problems


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torture directory with forty documents, one of them replaced, one deleted, stopped in order."""
    root = claim(tmp_path_factory.mktemp("torture"))
    site = Site(root, SETTINGS)
    with Journal(root / "original.jsonl") as journal, running(site) as caller:
        prepare(caller, journal)
        assert checked(caller, site, journal) == []
    return root


def prepare(caller: Caller, journal: Journal) -> None:
    add(caller, journal, SOURCES)
    add(caller, journal, SOURCES[:1])
    hit = caller.post("/search", {"question": texts.token(SOURCES[1], 1), "alpha": 0.0})["hits"][0]
    journal.propose(SOURCES[1:2], gone=True)
    caller.delete(f"/documents/{hit['document_id']}")
    journal.acknowledged(SOURCES[1:2])


def same_journal(root: Path) -> Journal:
    """What `prepare` has noted, without a server."""
    journal = Journal(root / "again.jsonl")
    for sources, gone in ((SOURCES, False), (SOURCES[:1], False), (SOURCES[1:2], True)):
        journal.propose(sources, gone=gone)
        journal.acknowledged(sources)
    return journal


Damage = Callable[[apsw.Connection], object]

DAMAGES: dict[str, tuple[Damage, str]] = {
    "a document's row": (lambda db: db.execute("DELETE FROM documents WHERE source = 'd5.txt'"), "d5.txt: nothing"),
    "a passage's row": (
        lambda db: db.execute("DELETE FROM chunks WHERE id = (SELECT max(id) FROM chunks)"),
        "another number of chunks",
    ),
    "a keyword row": (
        lambda db: db.execute("DELETE FROM fts_1 WHERE rowid = (SELECT max(id) FROM chunks)"),
        "not in the full-text index",
    ),
    "a vector": (
        lambda db: db.execute("DELETE FROM vectors WHERE chunk_id = (SELECT max(id) FROM chunks)"),
        "has no vector",
    ),
    "a sentence row": (
        lambda db: db.execute("DELETE FROM sentences WHERE chunk_id = (SELECT max(id) FROM chunks)"),
        "has no sentences",
    ),
    "a text": (
        lambda db: db.execute("UPDATE documents SET text = upper(text) WHERE source = 'd6.txt'"),
        "d6.txt: its text is not that of version 1",
    ),
    "a name": (lambda db: db.execute("UPDATE documents SET source = 'z' WHERE source = 'd7.txt'"), "phantom: z"),
    "another vector": (
        lambda db: db.execute(
            "UPDATE vectors SET vector = (SELECT vector FROM vectors WHERE chunk_id = (SELECT min(id) FROM chunks))"
        ),
        "is not found by its vector",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("damaged", DAMAGES)
def test_damage_behind_the_servers_back_is_seen(original: Path, tmp_path: Path, damaged: str) -> None:
    damage, problem = DAMAGES[damaged]
    root = claim(tmp_path)
    shutil.copytree(original / "data", root / "data")
    shutil.rmtree(root / "data" / "index")
    site = Site(root, SETTINGS)
    connection = apsw.Connection(str(site.paths.database))
    damage(connection)
    connection.close()
    with same_journal(root) as journal, running(site) as caller:
        found = checked(caller, site, journal)
    assert any(problem in one for one in found), found


@pytest.mark.slow
def test_a_document_that_comes_back_is_seen(original: Path, tmp_path: Path) -> None:
    root = claim(tmp_path)
    shutil.copytree(original / "data", root / "data")
    site = Site(root, SETTINGS)
    with same_journal(root) as journal, running(site) as caller:
        task = caller.upload({SOURCES[1]: texts.text(SOURCES[1], 1)}, "default")["task_id"]
        while caller.get(f"/tasks/{task}")["finished_at"] is None:
            pass
        found = checked(caller, site, journal)
    assert any(f"{SOURCES[1]}: version 1 is in force, acknowledged is nothing" in one for one in found), found
