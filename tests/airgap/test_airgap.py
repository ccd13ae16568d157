"""A locked process can listen and answer, and can open nothing, whichever thread or child tries."""

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance import airgap, seccomp
from appliance.airgap.lock import enforce
from appliance.errors import ApplianceError

ROOT = Path(__file__).resolve().parents[2]


class Locked:
    """The process of `locked.py`."""

    def __init__(self) -> None:
        command = [sys.executable, "-m", "tests.airgap.locked"]
        self._process = subprocess.Popen(
            command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.lock = self.answer()

    def answer(self) -> Any:
        assert self._process.stdout
        return json.loads(self._process.stdout.readline())

    def begin(self, order: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{order}\n")

    def asked(self, order: str) -> Any:
        self.begin(order)
        return self.answer()

    def close(self) -> None:
        self._process.communicate(timeout=20)


@pytest.fixture
def locked() -> Iterator[Locked]:
    process = Locked()
    yield process
    process.close()


def test_every_way_out_is_refused(locked: Locked) -> None:
    assert locked.lock["filters"] >= 1
    attempts = locked.asked("attempts")
    assert len(attempts) >= 12
    assert [attempt for attempt in attempts if not attempt["refused"]] == []


def test_threads_from_before_and_children_are_locked_too(locked: Locked) -> None:
    assert locked.asked("thread") == "PermissionError"
    assert locked.asked("child") == "PermissionError"


def test_a_locked_process_listens_and_answers(locked: Locked) -> None:
    locked.begin("greet")
    with socket.create_connection(("127.0.0.1", locked.answer()), timeout=10) as caller:
        assert caller.recv(100) == b"welcome"
        caller.sendall(b"thanks")
        assert locked.answer() == "thanks"


def test_without_a_lock_nothing_is_tried() -> None:
    if airgap.in_force().filters:
        pytest.skip("these tests themselves run under a system-call filter")
    assert enforce("off") == airgap.Lock(0)
    assert airgap.attempts() == []


def test_a_kernel_that_cannot_is_an_error_only_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seccomp, "known", lambda machine: False)
    before = airgap.in_force()
    assert enforce("try") == before
    with pytest.raises(ApplianceError) as raised:
        enforce("require")
    assert raised.value.code == "airgap_unavailable"
    assert "try" in raised.value.hint


def test_connections_are_told_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as caller, socket.socket(type=socket.SOCK_DGRAM) as letters:
            accepted, _ = server.accept()
            letters.bind(("127.0.0.1", 0))
            with accepted:
                found = {(one.kind, one.local): one.remote for one in airgap.connections()}
            ours = f"127.0.0.1:{caller.getsockname()[1]}"
            assert found["listens", f"127.0.0.1:{port}"] == ""
            assert found["listens", f"127.0.0.1:{elsewhere.getsockname()[1]}"] == ""
            assert found["caller here", f"127.0.0.1:{port}"] == ours
            assert found["outward", ours] == f"127.0.0.1:{port}"
            assert ("outward", f"127.0.0.1:{letters.getsockname()[1]}") in found
