"""A process that takes the lock, then does what it is told on standard input; each answer is a line of JSON."""

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from appliance import airgap


def connected() -> str:
    try:
        socket.create_connection(("127.0.0.1", 9), timeout=1).close()
    except OSError as error:
        return type(error).__name__
    return "ok"


def by_an_older_thread() -> str:
    wanted.set()
    assert answered.wait(10)
    return told[0]


def by_a_child() -> str:
    lines = ("import socket", "try: socket.create_connection(('127.0.0.1', 9), 1)", "except OSError as e:")
    code = "\n".join((*lines, " print(type(e).__name__)"))
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def greeted() -> str:
    """Listens, says where, and tells what the first caller sent."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        say(server.getsockname()[1])
        caller, _ = server.accept()
        with caller:
            caller.sendall(b"welcome")
            return caller.recv(100).decode()


def say(answer: Any) -> None:
    print(json.dumps(answer), flush=True)


ORDERS: dict[str, Callable[[], Any]] = {
    "attempts": lambda: [asdict(attempt) for attempt in airgap.attempts()],
    "thread": by_an_older_thread,
    "child": by_a_child,
    "greet": greeted,
}

wanted, answered = threading.Event(), threading.Event()
told: list[str] = []


def wait_for_an_order() -> None:
    wanted.wait()
    told.append(connected())
    answered.set()


threading.Thread(target=wait_for_an_order, daemon=True).start()
say(asdict(airgap.enforce("require")))
for line in sys.stdin:
    say(ORDERS[line.strip()]())
