"""The binary that `make binary` made, and a server of it. Everything here runs the file as an operator would."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

ROOT = Path(__file__).resolve().parents[2]
BINARY = ROOT / "dist" / "rag-appliance"
GENERATOR = "smollm2-135m-instruct.q8_0"
READY_S = 60.0
STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class Run:
    """How the binary is started: what goes before it, and all of its environment. `environment` lacks a HOME."""

    binary: Path
    prefix: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)

    def command(self, *arguments: str) -> list[str]:
        return [*self.prefix, str(self.binary), *arguments]

    def __call__(self, *arguments: str, timeout: float = 120, **options: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(*arguments), env=dict(self.environment), capture_output=True, text=True, timeout=timeout,
            check=False, cwd="/", **options,
        )  # fmt: skip


class Server:
    """A serving binary; its own command line reaches it as `run(...)`."""

    def __init__(self, run: Run, data: Path, *arguments: str) -> None:
        self.run, self.data = run, data
        self.process = subprocess.Popen(
            run.command("serve", "--port", "0", "--data-dir", str(data), *arguments),
            env=dict(run.environment), cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        self.found: dict[str, Any] = {}

    def ready(self) -> "Server":
        """Wait until it says so. Raises AssertionError with its last words when it ends instead."""
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                raise AssertionError(f"ended with {self.process.returncode}: {self.last_words()}")
            with suppress(OSError, ValueError):
                self.found = json.loads((self.data / "server.json").read_text())
                return self
            time.sleep(0.02)
        raise AssertionError("not ready in time")

    def ask(self, *arguments: str) -> Any:
        """The JSON that a command of the binary prints, run on the same data directory."""
        done = self.run(*arguments, "--data-dir", str(self.data), "--json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def ingest(self, *paths: Path) -> int:
        """-> how many documents were taken in."""
        tasks = self.ask("ingest", *map(str, paths))["tasks"]
        return sum(task["result"]["documents_processed"] for task in tasks)

    def http(self) -> httpx.Client:
        return httpx.Client(base_url=self.found["url"], headers={"X-API-Key": self.found["key"]}, timeout=120)

    def generates(self) -> int:
        """-> how many tokens the generator wrote to a question without passages."""
        asked = {"model": GENERATOR, "max_tokens": 8, "messages": [{"role": "user", "content": "Count to four."}]}
        with self.http() as http:
            told = http.post("/v1/chat/completions", json=asked).json()
        assert told["choices"][0]["message"]["content"], told
        return int(told["usage"]["completion_tokens"])

    def stop(self) -> int:
        """SIGTERM, as systemd does; -> the exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_S)

    def last_words(self) -> str:
        assert self.process.stderr is not None
        return self.process.stderr.read()


@contextmanager
def serving(run: Run, data: Path, *arguments: str) -> Iterator[Server]:
    """A server until the end of the block, which may stop it itself."""
    server = Server(run, data, *arguments)
    try:
        yield server.ready()
    finally:
        if server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        assert server.process.stderr is not None
        server.process.stderr.close()


@pytest.fixture(scope="session")
def binary() -> Path:
    if not BINARY.exists():
        pytest.skip("there is no dist/rag-appliance; `make binary` makes it")
    return BINARY


@pytest.fixture(scope="session")
def run(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """The binary, unpacked once for all tests, without HOME or any setting of the person who runs them."""
    place = tmp_path_factory.mktemp("unpacked")
    plain = Run(binary, environment={"PATH": os.environ["PATH"], "RAG_APPLIANCE_UNPACK_DIR": str(place)})
    assert plain("version").returncode == 0
    return plain
