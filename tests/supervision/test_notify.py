"""What a supervisor hears: real datagrams on a real socket."""

import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.config import supervisor
from appliance.pulse import Pulses
from appliance.supervision import Notifier, Watchdog


class Ear:
    """The supervisor's end of NOTIFY_SOCKET."""

    def __init__(self, address: str) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind("\0" + address[1:] if address.startswith("@") else address)
        self.socket.settimeout(5)

    def next(self) -> list[str]:
        return self.socket.recv(4096).decode().split("\n")

    def all(self, seconds: float) -> list[str]:
        """Everything heard from now on for so long."""
        until, found = time.monotonic() + seconds, []
        while (left := until - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                found += self.next()
            except TimeoutError:
                break
        return found


@pytest.fixture
def heard(tmp_path: Path) -> Iterator[Ear]:
    made = Ear(str(tmp_path / "notify"))
    yield made
    made.socket.close()


@pytest.fixture
def notifier(heard: Ear, tmp_path: Path) -> Iterator[Notifier]:
    made = Notifier(str(tmp_path / "notify"))
    yield made
    made.close()


@pytest.mark.parametrize("abstract", [False, True])
def test_a_message_arrives_whole(tmp_path: Path, abstract: bool) -> None:
    address = f"@rag-appliance-test-{tmp_path.name}-{id(tmp_path)}" if abstract else str(tmp_path / "notify")
    ear = Ear(address)
    notifier = Notifier(address)
    assert notifier.heard
    notifier.tell("READY=1", "STATUS=two\nREADY=0 lines")
    assert ear.next() == ["READY=1", "STATUS=two READY=0 lines"]  # a line break cannot smuggle in an assignment
    notifier.close()
    ear.socket.close()


def test_without_a_supervisor_nothing_happens(tmp_path: Path) -> None:
    for notifier in (Notifier(""), Notifier(str(tmp_path / "nobody"))):
        assert not notifier.heard
        notifier.tell("READY=1")
        notifier.starting("anything")


def test_a_step_is_told_once_a_second_and_asks_for_time(heard: Ear, notifier: Notifier) -> None:
    for _ in range(1000):
        notifier.starting("migrating")
    notifier.starting("opening")
    assert heard.next() == ["STATUS=Starting: migrating", "EXTEND_TIMEOUT_USEC=120000000"]
    assert heard.next()[0] == "STATUS=Starting: opening"
    assert heard.all(0.1) == []


@pytest.mark.slow
def test_the_watchdog_is_fed_while_all_loops_make_progress(
    heard: Ear, notifier: Notifier, capsys: pytest.CaptureFixture[str]
) -> None:
    pulses = Pulses()
    good, bad, idle = pulses.new("good", 60), pulses.new("bad", 0.4), pulses.new("idle", 0.1)
    good.beat()
    bad.beat()
    idle.beat()
    idle.end()  # nothing is expected of it any more
    watchdog = Watchdog(notifier, pulses, 0.2, lambda: "Ready; all is well")
    watchdog.start()
    fed = heard.all(0.3)
    assert fed.count("WATCHDOG=1") >= 2
    assert fed.count("STATUS=Ready; all is well") == 1  # told when it changes
    time.sleep(0.3)
    heard.all(0.05)
    stuck = heard.all(0.3)
    assert "WATCHDOG=1" not in stuck  # one stuck loop stops the feeding
    bad.beat()
    assert "WATCHDOG=1" in heard.all(0.3)
    watchdog.stop()
    log = capsys.readouterr()
    assert "work_loop_stuck" in log.err + log.out
    assert "bad" in log.err + log.out


def test_the_status_names_the_stuck_loop(heard: Ear, notifier: Notifier) -> None:
    pulses = Pulses()
    pulses.new("ingestion", 0.0).beat()
    watchdog = Watchdog(notifier, pulses, 0.2, lambda: "Ready")
    watchdog.start()
    assert heard.all(0.2) == ["STATUS=Stuck: ingestion; the watchdog is not fed"]
    watchdog.stop()


def test_variables_of_another_process_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"LISTEN_FDS": "2", "LISTEN_PID": "1", "WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "1"}.items():
        monkeypatch.setenv(name, value)
    assert supervisor().sockets == ()
    assert supervisor().watchdog_s == 0
    monkeypatch.setenv("LISTEN_PID", str(os.getpid()))
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert supervisor().sockets == (3, 4)
    assert supervisor().watchdog_s == 30
    monkeypatch.setenv("WATCHDOG_USEC", "soon")
    assert supervisor().watchdog_s == 0


def test_a_stuck_loop_is_remembered_and_forgotten(heard: Ear, notifier: Notifier) -> None:
    pulses, told = Pulses(), list[bool]()
    pulse = pulses.new("ingestion", 0.0)
    pulse.beat()
    watchdog = Watchdog(notifier, pulses, 0.2, lambda: "Ready", told.append)
    watchdog.start()
    heard.all(0.2)
    pulse.end()
    heard.all(0.2)
    watchdog.stop()
    assert told == [True, False]
