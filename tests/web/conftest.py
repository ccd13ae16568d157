"""A real server on loopback around a real appliance, with a small corpus and a key of each role."""

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import structlog

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.pulse import Pulse
from appliance.supervision import Notifier
from appliance.telemetry import log
from appliance.types import Answer, Query, Role
from appliance.web.rooms import Rooms
from appliance.web.server import Server, config, listen, url_of

CORPUS = {
    "notes/heating.txt": (
        "Heating manual.\n\nThe boiler must be serviced every twelve months by a licensed engineer.\n\n"
        "The pressure gauge should read between 1.0 and 1.5 bar when the system is cold."
    ),
    "notes/garden.txt": (
        "Garden notes.\n\nThe roses are pruned in late February.\n\nTomatoes need six hours of sunlight every day."
    ),
    "notes/<b>odd</b>.txt": "Strange name.\n\n<script>alert(1)</script> is quoted here as plain text about scripts.",
}
QUESTION = "How often must the boiler be serviced by a licensed engineer?"


@dataclass
class Service:
    """A running server: its address, its appliance and keys by role."""

    url: str
    appliance: Appliance
    keys: dict[str, str]
    stop: Callable[[], None]

    def client(self, role: str | None = "admin", **more: Any) -> httpx.Client:
        headers = {"X-API-Key": self.keys[role]} if role else {}
        return httpx.Client(
            base_url=self.url, headers=headers | more.pop("headers", {}), timeout=30, trust_env=False, **more
        )

    def add(self, source: str, text: str, **more: Any) -> dict[str, Any]:
        """Ingest one text and wait for it."""
        with self.client() as client:
            made = client.post("/ingest", json={"text": text, "source": source, **more})
            assert made.status_code == 202, made.text
            return self.finished(made.json()["task_id"])

    def finished(self, task_id: str) -> dict[str, Any]:
        with self.client() as client:
            for _ in range(2000):
                task: dict[str, Any] = client.get(f"/tasks/{task_id}").json()
                if task["state"] in {"SUCCESS", "FAILURE"}:
                    return task
                time.sleep(0.01)
        raise AssertionError(f"the task did not end: {task}")


@pytest.fixture(autouse=True)
def _logging() -> Iterator[None]:
    """The log as a server has it."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    log.configure("info", "json")
    yield
    log.OFTEN.flush()
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def open_service(tmp_path: Path) -> Iterator[Callable[..., Service]]:
    """Make services with settings of one's own; all are stopped at the end."""
    with contextlib.ExitStack() as opened:
        yield lambda **settings: opened.enter_context(_served(tmp_path / uuid.uuid4().hex, settings))


@contextlib.contextmanager
def _served(data: Path, settings: Mapping[str, Any]) -> Iterator[Service]:
    small = {"data_dir": data, "embedder": "hash", "generator": "none", "threads": 1, "abstain_below": -1.0}
    with Appliance.open(load_settings(small | dict(settings)), purpose="tests") as appliance:
        keys = {"admin": appliance.local_key}
        if appliance.settings.auth == "keys":
            keys |= {role: appliance.store.keys.create(role, Role(role))[1] for role in ("reader", "editor")}
        url, stop = _serve(appliance)
        try:
            yield Service(url, appliance, keys, stop)
        finally:
            stop()


def _serve(appliance: Appliance) -> tuple[str, Callable[[], None]]:
    rooms = Rooms(appliance)
    server = Server(config(appliance, rooms), rooms, Pulse("event loop", 60), Notifier(""))
    bound = listen("127.0.0.1", 0)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[bound])), daemon=True)
    thread.start()
    while not server.started:
        assert thread.is_alive()
        time.sleep(0.01)

    def stop() -> None:
        server.should_exit = True
        thread.join(20)
        assert not thread.is_alive()

    return url_of(bound), stop


@pytest.fixture
def service(open_service: Callable[..., Service]) -> Service:
    """An empty appliance, served."""
    return open_service()


@pytest.fixture
def corpus(service: Service) -> Service:
    """A served appliance that holds CORPUS."""
    return _fill(service)


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """An empty appliance, served, for all tests of a file that leave it as it is."""
    with _served(tmp_path_factory.mktemp("empty"), {}) as service:
        yield service


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """One that holds CORPUS, for all tests of a file that leave it as it is."""
    with _served(tmp_path_factory.mktemp("library"), {}) as service:
        yield _fill(service)


def _fill(service: Service) -> Service:
    files = [("file", (source, text.encode())) for source, text in CORPUS.items()]
    with service.client() as client:
        task = service.finished(client.post("/ingest", files=files).json()["task_id"])
    assert task["result"]["documents_processed"] == len(CORPUS), task
    return service


class Gate:
    """Holds every answer of an appliance back until it is opened; counts how many were begun and cancelled."""

    def __init__(self, appliance: Appliance) -> None:
        self.begun = 0
        self.cancelled = 0
        self._open = threading.Event()
        self._answer = appliance.answer
        appliance.answer = self._held

    def _held(self, query: Query, **more: Any) -> Answer:
        self.begun += 1
        while not self._open.wait(0.02):
            if more["cancel"].is_set():
                self.cancelled += 1
                break
        return self._answer(query, **more)

    def open(self) -> None:
        self._open.set()


def until(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    """Whether `condition` comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.01)
    return condition()
