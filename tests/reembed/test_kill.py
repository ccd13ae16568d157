"""SIGKILL for the real server in the middle of a change: it answers at once afterwards, goes on, and loses nothing."""

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.faults import STEPS
from appliance.torture.directory import claim
from appliance.torture.server import Caller, Died, Refused, Server, Site

INT8 = "minilm-l6-v2.int8"
SETTINGS = {"embedder": "hash", "generator": "none", "threads": 1, "abstain_below": -1.0, "exact_scan_below": 200}
FACTS = 600  # documents of one passage
STEPS_OF_A_CHANGE = sorted(step for step in STEPS if step.startswith("model.") and step != "model.old_emptied")
AFTER_THE_SWITCH = {"model.switched", "model.published"}


def fact(number: int, year: int = 1900) -> str:
    built = f"Lighthouse number {number} was built in {year + number % 100}. Its keeper is called Keeper{number}x."
    return built + " The lamp burns oil in winter and gas in summer, and the stairs are swept by the youngest." * 2


def upload(caller: Caller, facts: dict[int, str]) -> None:
    """Returns when they are acknowledged."""
    task = caller.upload({f"{number}.txt": text for number, text in facts.items()}, "default")["task_id"]
    while (status := caller.get(f"/tasks/{task}"))["finished_at"] is None:
        time.sleep(0.02)
    assert status["state"] == "SUCCESS", status


@contextmanager
def running(site: Site, fault: str | None = None) -> Iterator[tuple[Server, Caller]]:
    server = Server(site, fault)
    try:
        server.ready()
        caller = server.caller()
        yield server, caller
        caller.close()
    finally:
        server.stop()


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A torture directory (only such can be armed) with FACTS documents, its server stopped."""
    root = claim(tmp_path_factory.mktemp("change"))
    with running(Site(root, SETTINGS)) as (_, caller):
        for first in range(0, FACTS, 100):
            upload(caller, {number: fact(number) for number in range(first, first + 100)})
    return root


@pytest.fixture
def site(original: Path, tmp_path: Path) -> Site:
    shutil.copytree(original, tmp_path / "site")
    return Site(tmp_path / "site", SETTINGS)


def ask(caller: Caller, number: int) -> str:
    """The first hit's text, by keywords and by meaning."""
    hits: list[dict[str, Any]] = caller.post("/search", {"question": f"Who is Keeper{number}x?", "k": 3})["hits"]
    assert hits, f"nothing is found of {number}"
    return str(hits[0]["text"])


class Asking:
    """Questions one after another in a thread, until the server dies or `stop`; every other failure is kept."""

    def __init__(self, caller: Callable[[], Caller]) -> None:
        self.answered, self.failed = 0, list[str]()
        self._caller, self._end = caller, threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self._thread.start()

    def _ask(self) -> None:
        caller = self._caller()
        try:
            while not self._end.is_set():
                number = self.answered * 7 % 300 + 200  # facts that no test deletes
                told = caller.post("/query", {"question": f"When was lighthouse number {number} built?"})
                if not told["answer"]:
                    self.failed.append(f"no answer: {told}")
                if f"Keeper{number}x" not in ask(caller, number):
                    self.failed.append(f"{number} is not found first")
                self.answered += 1
                time.sleep(0.05)
        except Died:
            pass
        except (Refused, AssertionError) as error:
            self.failed.append(str(error))
        finally:
            caller.close()

    def stop(self) -> None:
        self._end.set()
        self._thread.join(60)
        assert not self.failed
        assert not self._thread.is_alive()


def newest(caller: Caller) -> dict[str, Any]:
    changes: list[dict[str, Any]] = caller.get("/admin/models/changes")["changes"]
    return changes[0]


def finished(caller: Caller) -> dict[str, Any]:
    until = time.monotonic() + 120
    while (status := newest(caller))["finished_at"] is None:
        assert time.monotonic() < until, status
        time.sleep(0.05)
    return status


def assert_whole(caller: Caller, facts: dict[int, str]) -> None:
    """These documents and no others, each found, in tables and indexes that agree."""
    assert caller.post("/admin/database/verify")["problems"] == []
    assert caller.post("/admin/index/default/verify")["problems"] == []
    listed = caller.get("/documents", limit=1000)["documents"]
    assert {Path(one["source"]).name for one in listed} == {f"{number}.txt" for number in facts}
    for number in range(0, max(facts), 37):
        found = ask(caller, number)
        assert (facts[number] in found) if number in facts else (f"Keeper{number}x" not in found)


def serving(caller: Caller) -> set[str]:
    return {model["name"] for model in caller.get("/admin/models")["models"] if model["in_use"]}


def kill_during_the_change(site: Site, turn: int, facts: dict[int, str]) -> tuple[int, int]:
    """Change, replace, add and delete documents, ask all the while, SIGKILL in mid-job.

    Returns how many passages were embedded at the start and at the end.
    """
    with running(site) as (server, caller):
        if turn == 0:
            caller.post(f"/admin/models/{INT8}/use", {"force": True})
        asking = Asking(server.caller)
        before = newest(caller)["done"]
        changed = {turn: fact(turn, 1700), 1000 + turn: fact(1000 + turn)}
        upload(caller, changed)
        source = caller.get("/documents", limit=1000)["documents"][50 + turn]
        caller.delete(f"/documents/{source['id']}")
        facts |= changed
        del facts[int(Path(source["source"]).stem)]
        while (status := newest(caller))["done"] < min(FACTS, before + 128):
            time.sleep(0.005)
        assert status["finished_at"] is None
        server.kill()
        asking.stop()
        assert asking.answered
    return before, status["done"]


@pytest.mark.slow
def test_killed_twice_in_mid_job_it_goes_on_and_nothing_is_lost(site: Site) -> None:
    facts = {number: fact(number) for number in range(FACTS)}
    (none, killed), (resumed, _) = (kill_during_the_change(site, turn, facts) for turn in range(2))
    assert none < 128 <= killed <= resumed + 2  # but for a document replaced and one deleted
    with running(site) as (server, caller):
        asking = Asking(server.caller)
        status = finished(caller)
        asking.stop()
        assert (status["state"], status["model"], status["done"]) == ("SUCCESS", INT8, FACTS)
        assert INT8 in serving(caller)
        assert_whole(caller, facts)
        caller.post("/admin/models/rollback")
        assert finished(caller)["state"] == "SUCCESS"
        assert INT8 not in serving(caller)
        assert_whole(caller, facts)


@pytest.mark.slow
@pytest.mark.parametrize("step", STEPS_OF_A_CHANGE)
def test_killed_at_each_step_it_goes_on(site: Site, step: str) -> None:
    facts = {number: fact(number) for number in range(FACTS)}
    number = 3 if "vectors" in step else 1
    with running(site, f"{step}:{number}") as (server, caller):
        asking = Asking(server.caller)
        try:
            caller.post(f"/admin/models/{INT8}/use", {"force": True})
        except Died:
            assert step == "model.noted"
        assert server.wait(120) == -9
        asking.stop()
    with running(site) as (server, caller):
        asking = Asking(server.caller)
        assert (newest(caller)["finished_at"] is not None) == (step in AFTER_THE_SWITCH)
        status = finished(caller)
        asking.stop()
        assert (status["state"], status["report"] is not None) == ("SUCCESS", True)
        assert INT8 in serving(caller)
        assert_whole(caller, facts)


@pytest.mark.slow
def test_killed_while_vectors_are_discarded(site: Site) -> None:
    with running(site) as (_, caller):
        caller.post(f"/admin/models/{INT8}/use", {"force": True})
        assert finished(caller)["state"] == "SUCCESS"
    with running(site, "model.old_emptied") as (server, caller):
        with pytest.raises(Died):
            caller.post("/admin/models/discard")
        assert server.wait(60) == -9
    with running(site) as (_, caller):
        assert_whole(caller, {number: fact(number) for number in range(FACTS)})
        caller.post("/admin/models/discard")
        with pytest.raises(Refused):
            caller.post("/admin/models/rollback")
        caller.post("/admin/models/hash/use", {"force": True})
        assert finished(caller)["state"] == "SUCCESS"
        assert_whole(caller, {number: fact(number) for number in range(FACTS)})
