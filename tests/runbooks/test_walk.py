"""The runbooks, walked through: a real server is broken, and the commands of the page are run as they stand there."""

import json
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from appliance.inference.registry import ModelRegistry
from appliance.paths import BUNDLED_MODELS, HANDBOOK, DataPaths
from appliance.store import Store
from tests.monitoring.site import Site, small_disk

pytestmark = pytest.mark.slow

PAGE = (HANDBOOK / "runbooks.md").read_text("utf-8")
SECTIONS = {part.partition("\n")[0].lower(): part for part in PAGE.split("\n## ")[1:]}
COMMAND = re.compile(r"^    rag-appliance (.+)$", re.MULTILINE)
INDEXED: dict[str, Any] = {"embedder": "hash", "exact_scan_below": 20}


def walk(site: Site, section: str, *, but: str = "", **given: str) -> list[subprocess.CompletedProcess[str]]:
    """Every indented command of a section in turn but those with `but`; `given` takes the place of words such as ID."""
    lines = [line for line in COMMAND.findall(SECTIONS[section]) if not (but and but in line)]
    assert lines
    return [say(site, line, **given) for line in lines]


def say(site: Site, line: str, **given: str) -> subprocess.CompletedProcess[str]:
    words = [given.get(word, word.strip('"')) for word in re.findall(r'"[^"]*"|\S+', line)]
    return site.tell(*words)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path, "walked", **INDEXED)
    made.run("ingest", str(HANDBOOK / "search.md"), str(HANDBOOK / "backups.md"), str(HANDBOOK / "limits.md"))
    made.start()
    yield made
    made.stop()


def test_an_error_says_where_to_look(site: Site) -> None:
    site.post("/query", {"question": ""})
    assert site.post("/query", {"question": "What is a backup?"}).status_code == 200
    for told in walk(site, "error rate"):
        assert told.returncode == 0, told.stderr
    for told in walk(site, "traffic"):
        assert told.returncode == 0, told.stderr


def test_slow_questions_are_looked_at_and_made_cheaper(site: Site) -> None:
    asked = site.post("/query", {"question": "What does a backup hold?", "evidence": "full"}).json()
    shown = walk(site, "high latency")
    assert asked["query_id"][:8] in shown[0].stdout
    for name, value in (("generation", "off"), ("evidence", "fast"), ("rerank", "off")):
        assert f"flags set {name} {value}" in SECTIONS["high latency"]
        assert say(site, f"flags set {name} {value}").returncode == 0
        assert say(site, f"flags unset {name}").returncode == 0
    assert "rerank" in say(site, "flags changes").stdout


def test_a_broken_index_is_found_and_made_anew(site: Site) -> None:
    site.stop()
    file = next(DataPaths(site.data).index.rglob("hnsw.bin"))
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    site.start()
    assert "unusable" in site.log.read_text()
    first, rebuilt, last = walk(site, "index broken")
    assert first.returncode in (0, 1)  # it may have healed by itself by now
    assert (rebuilt.returncode, last.returncode) == (0, 0), rebuilt.stderr + last.stdout
    site.stop()
    shutil.rmtree(DataPaths(site.data).index)
    site.start()
    assert say(site, "index rebuild").returncode == 0
    assert say(site, "index verify").returncode == 0


def test_rows_that_another_program_deleted_are_levelled_after_a_restart(site: Site) -> None:
    store = Store.open(DataPaths(site.data).database)
    store.documents.delete("default", [store.documents.list("default")[0].id])
    store.close()
    assert say(site, "index verify").returncode == 1
    site.stop()
    site.start()
    told = walk(site, "stale index")
    assert told[-1].returncode == 0
    assert say(site, "index verify").returncode == 0


def test_memory_of_deleted_vectors_is_given_back(site: Site) -> None:
    number = str(httpx.get(f"http://{site.address}/documents").json()["documents"][0]["id"])
    assert say(site, f"documents delete {number}").returncode == 0
    for told in walk(site, "memory pressure"):
        assert told.returncode == 0, told.stderr
    assert say(site, "index compact").returncode == 0


def test_a_torn_model_is_found_and_copied_again(site: Site) -> None:
    whole = next(path for path in BUNDLED_MODELS.glob("*.iq4_nl.gguf"))
    assert say(site, "models add FILE --name mine", FILE=str(whole)).returncode == 0
    registry = ModelRegistry(BUNDLED_MODELS, DataPaths(site.data).models)
    torn = next(model.path for model in registry.list() if model.name == "mine")
    torn.chmod(0o600)
    os.truncate(torn, 1000)
    _, verified, asked = walk(site, "generator down")
    assert verified.returncode != 0
    assert "mine" in verified.stdout + verified.stderr
    assert asked.returncode == 0
    assert say(site, "models add FILE --name mine", FILE=str(whole)).returncode == 0
    assert say(site, "models verify").returncode == 0


def test_a_lost_document_comes_back_from_a_backup(site: Site) -> None:
    assert say(site, "backup create").returncode == 0
    number = str(httpx.get(f"http://{site.address}/documents").json()["documents"][0]["id"])
    assert say(site, f"documents delete {number}").returncode == 0
    listed, verified = walk(site, "restore", but="--force")
    assert (listed.returncode, verified.returncode) == (0, 0), verified.stderr
    site.stop()
    restored = say(site, "backup restore --force")
    assert restored.returncode == 0, restored.stderr
    site.start()
    assert len(httpx.get(f"http://{site.address}/documents").json()["documents"]) == 3


def test_a_leaked_key_is_revoked_at_once(tmp_path: Path) -> None:
    guarded = Site(tmp_path, "guarded", auth="keys", embedder="hash")
    try:
        made = guarded.tell("keys", "create", "leaked", "--role", "reader", "--json").stdout
        key, number = json.loads(made)["key"], json.loads(made)["id"]
        guarded.start()
        asked = {"url": f"http://{guarded.address}/collections", "headers": {"X-API-Key": key}}
        assert httpx.get(**asked).status_code == 200  # type: ignore[arg-type]
        for told in walk(guarded, "key leaked", ID=number):
            assert told.returncode == 0, told.stderr
        assert httpx.get(**asked).status_code == 401  # type: ignore[arg-type]
    finally:
        guarded.stop()


@pytest.mark.skipif(os.geteuid() != 0, reason="a small file system can be mounted by root only")
def test_ingestion_goes_on_when_there_is_room_again(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "96m") as disk:
        site = Site(tmp_path, "small", disk / "data", embedder="hash")
        site.start()
        try:
            filler = disk / "filler"
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            filler.write_bytes(bytes(max(0, free - 1024**2)))
            assert say(site, "ingest FOLDER --no-wait", FOLDER=str(HANDBOOK)).returncode == 0
            assert site.until(lambda: "full" in say(site, "tasks list").stdout)
            for line in COMMAND.findall(SECTIONS["disk full"]):
                say(site, line)  # doctor tells it by its exit code
            filler.unlink()
            assert site.until(lambda: "full" not in say(site, "tasks list").stdout)
        finally:
            site.stop()


def test_the_queue_is_shown_and_cleared(site: Site, tmp_path: Path) -> None:
    torn = tmp_path / "torn.md"
    torn.write_bytes(bytes(500))
    assert say(site, "ingest FILE", FILE=str(torn)).returncode == 1
    shown = walk(site, "queue backing up")
    assert [told.returncode for told in shown] == [0, 0], shown
    assert "torn.md" in shown[1].stdout
    number = json.loads(say(site, "tasks list --json").stdout)["tasks"][0]["task_id"]
    torn.write_bytes((HANDBOOK / "costs.md").read_bytes())
    assert say(site, f"tasks retry {number}").returncode == 0
    assert "No dead" in say(site, "tasks dead").stdout
    many = tmp_path / "many"
    many.mkdir()
    for one in range(200):
        (many / f"{one}.md").write_text(f"Note {one}. " + (HANDBOOK / "search.md").read_text("utf-8"))
    assert say(site, "ingest FOLDER --no-wait", FOLDER=str(many)).returncode == 0
    number = json.loads(say(site, "tasks list --json").stdout)["tasks"][0]["task_id"]
    assert say(site, f"tasks cancel {number}").returncode == 0
    assert site.until(lambda: "PROGRESS" not in say(site, "tasks list").stdout)
