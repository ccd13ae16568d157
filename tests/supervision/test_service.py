"""The server under a supervisor that is played by the test: its sockets, its notifications, its credentials."""

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.supervision.test_notify import Ear

KEY = "rag_" + "k" * 43
# Gives the child the listening socket as descriptor 3 and its own pid, as systemd does, and becomes the server.
LAUNCH = """
import os, sys
os.dup2(int(sys.argv[1]), 3)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.executable, [sys.executable, "-m", "appliance", "serve", "--data-dir", sys.argv[2]])
"""


class Supervised:
    """Starts servers that share one listening socket, as the restarts of a service do."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ear = Ear(str(folder / "notify"))
        self.listening = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.url = f"http://127.0.0.1:{self.listening.getsockname()[1]}"
        self.log = (folder / "log").open("wb")
        credentials = folder / "credentials"
        credentials.mkdir()
        (credentials / "rag-appliance_first_admin_key").write_text(KEY + "\n")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("RAG_APPLIANCE_")}
        self.environment |= {
            "RAG_APPLIANCE_EMBEDDER": "hash", "RAG_APPLIANCE_GENERATOR": "none", "RAG_APPLIANCE_LOG_FORMAT": "json",
            "RAG_APPLIANCE_PORT": "1", "LISTEN_FDS": "1", "NOTIFY_SOCKET": str(folder / "notify"),
            "WATCHDOG_USEC": "2000000", "CREDENTIALS_DIRECTORY": str(credentials),
        }  # fmt: skip
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> list[str]:
        """What it tells until it is ready."""
        number = self.listening.fileno()
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCH, str(number), str(self.folder / "data")],
            env=self.environment, pass_fds=[number], stdout=self.log, stderr=self.log,
        )  # fmt: skip
        told: list[str] = []
        self.ear.socket.settimeout(60)
        while "READY=1" not in told:
            told += self.ear.next()
        return told

    def stop(self) -> int:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def words(self) -> str:
        return (self.folder / "log").read_text()


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    made = Supervised(tmp_path)
    yield made
    if made.process is not None and made.process.poll() is None:
        made.process.kill()
        made.process.wait()
    made.listening.close()
    made.ear.socket.close()
    made.log.close()


@pytest.mark.slow
def test_readiness_watchdog_and_end_are_told(supervised: Supervised) -> None:
    told = supervised.start()
    assert "STATUS=Starting: loading models" in told
    assert any("migrating the database to schema 1 of" in line for line in told)
    assert "EXTEND_TIMEOUT_USEC=120000000" in told
    # READY=1 is true: the very next request is answered, on the supervisor's socket and not on the setting's port
    ready = httpx.get(f"{supervised.url}/health/ready", trust_env=False)
    assert ready.json()["ready"]
    admin = httpx.get(f"{supervised.url}/admin/keys", headers={"X-API-Key": KEY}, trust_env=False)
    assert admin.status_code == 200  # the first key is the one from the credential
    assert "WATCHDOG=1" in supervised.ear.all(1.5)
    assert supervised.stop() == 0
    assert "STOPPING=1" in supervised.ear.all(1)
    assert KEY not in supervised.words()
    assert "First admin key" not in supervised.words()


@pytest.mark.slow
def test_no_query_is_refused_while_the_server_restarts(supervised: Supervised) -> None:
    """Callers that hold a connection open, and callers with a new one each time; two restarts."""
    supervised.start()
    stopped, refused, answered = threading.Event(), [], [0, 0]

    def ask(kept: bool) -> None:
        limits = httpx.Limits(max_keepalive_connections=None if kept else 0)
        with httpx.Client(base_url=supervised.url, limits=limits, timeout=60, trust_env=False) as client:
            while not stopped.is_set():
                try:
                    reply = client.post("/search", json={"question": "anything"}, headers={"X-API-Key": KEY})
                    answered[kept] += 1
                    if reply.status_code != 200:
                        refused.append(reply.text)
                except httpx.TransportError as error:
                    refused.append(repr(error))

    threads = [threading.Thread(target=ask, args=(number % 2 == 0,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for _ in range(2):
        time.sleep(0.5)
        assert supervised.stop() == 0
        supervised.start()
    time.sleep(0.3)
    stopped.set()
    for thread in threads:
        thread.join()
    assert refused == []
    assert min(answered) > 20


@pytest.mark.slow
def test_a_settings_error_is_the_status(supervised: Supervised) -> None:
    credentials = Path(supervised.environment["CREDENTIALS_DIRECTORY"])
    (credentials / "rag-appliance_first_admin_key").write_text("weak-secret")
    supervised.process = subprocess.Popen(
        [sys.executable, "-m", "appliance", "serve", "--data-dir", str(supervised.folder / "data")],
        env=supervised.environment, stdout=supervised.log, stderr=supervised.log,
    )  # fmt: skip
    assert supervised.process.wait(30) == 2
    told = supervised.ear.all(0.5)
    assert any(line.startswith("STATUS=Failed: 1 problem in the settings") for line in told)
    assert "weak-secret" not in json.dumps(told) + supervised.words()
