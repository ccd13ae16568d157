"""A server process of our own on a port that it keeps, to be asked, starved and killed."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from appliance.config import bare_environment
from appliance.paths import PACKAGE, own_command

READY_S = 60.0
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")


def free_port() -> int:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        port: int = made.getsockname()[1]
        return port


class Site:
    """One appliance on its own data; without authentication, so that anybody on this host may ask."""

    def __init__(self, folder: Path, name: str, data: Path | None = None, **settings: Any) -> None:
        self.name, self.data = name, data or folder / name
        self.data.mkdir(exist_ok=True)
        self.address = f"127.0.0.1:{free_port()}"
        self.log = folder / f"{name}.log"
        self._config = folder / f"{name}.yaml"
        port = int(self.address.rpartition(":")[2])
        self._config.write_text(yaml.safe_dump({"auth": "off", "threads": 1, "port": port, **settings}))
        self._environment = bare_environment() | {"PYTHONPATH": str(PACKAGE.parent)}
        self._process: subprocess.Popen[bytes] | None = None
        self._askers: list[threading.Thread] = []
        self._quiet = threading.Event()
        self._group: Path | None = None

    def run(self, *command: str) -> None:
        """One command of the appliance on this data."""
        given = [*own_command(), *command, "--data-dir", str(self.data), "--config", str(self._config)]
        subprocess.run(given, check=True, capture_output=True, env=self._environment)

    def tell(self, *command: str) -> "subprocess.CompletedProcess[str]":
        """The same, whatever its exit code is: with what it says."""
        given = [*own_command(), *command, "--data-dir", str(self.data), "--config", str(self._config)]
        return subprocess.run(given, check=False, capture_output=True, text=True, env=self._environment, timeout=120)

    def until(self, seen: Callable[[], bool], seconds: float = READY_S) -> bool:
        """Whether it comes to be so in time."""
        end = time.monotonic() + seconds
        while not (found := seen()) and time.monotonic() < end:
            time.sleep(0.5)
        return found

    def start(self, *, memory_group: bool = False) -> None:
        """Serve, and wait until questions can be asked; in a control group of its own where wanted and possible."""
        before = self._make_group() if memory_group or self._group else None
        command = [*own_command(), "serve", "--data-dir", str(self.data), "--config", str(self._config)]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, preexec_fn=before
            )
        until = time.monotonic() + READY_S
        while time.monotonic() < until:
            try:
                if httpx.get(f"http://{self.address}/health/ready", trust_env=False).status_code == 200:
                    return
            except httpx.TransportError:
                assert self._process.poll() is None, self.log.read_text()[-2000:]
            time.sleep(0.1)
        raise AssertionError(f"{self.name} was not ready in time: {self.log.read_text()[-2000:]}")

    def kill(self) -> None:
        """As the kernel does when memory runs out."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def stop(self) -> None:
        self._quiet.set()
        for asker in self._askers:
            asker.join()
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.wait()
        if self._group is not None:
            self._group.rmdir()

    def post(self, path: str, body: dict[str, Any], timeout: float = 60) -> httpx.Response:
        return httpx.post(f"http://{self.address}{path}", json=body, timeout=timeout, trust_env=False)

    def ask(
        self, body: Callable[[int], dict[str, Any]], *, every_s: float, at_once: int = 1, path: str = "/query"
    ) -> None:
        """From now on: `at_once` callers, each of which asks again after `every_s` or when it has its answer."""
        self._askers += [
            threading.Thread(target=self._keep_asking, args=(path, body, every_s, n)) for n in range(at_once)
        ]
        for asker in self._askers[-at_once:]:
            asker.start()

    def _keep_asking(self, path: str, body: Callable[[int], dict[str, Any]], every_s: float, caller: int) -> None:
        number = caller * 1_000_000
        self._quiet.wait(caller * 0.7)  # not all at the same moment
        while not self._quiet.is_set():
            number += 1
            began = time.monotonic()
            try:
                self.post(path, body(number))
            except httpx.TransportError:
                self._quiet.wait(0.2)
            self._quiet.wait(max(0.0, every_s - (time.monotonic() - began)))

    # --- its memory --------------------------------------------------------------------------------------------------

    def _make_group(self) -> Callable[[], None]:
        group = self._group = MEMORY_GROUPS / f"rag-monitoring-{os.getpid()}"
        group.mkdir(exist_ok=True)

        def enter() -> None:
            (group / "cgroup.procs").write_text(str(os.getpid()))

        return enter

    def free_memory(self) -> None:
        """No limit any more."""
        if self._group is not None:
            (self._group / "memory.limit_in_bytes").write_text("-1")

    def limit_memory(self, share: float) -> None:
        """Let what it uses now, without what the kernel can drop, be `share` of its limit."""
        if self._group is None:
            return
        stat = dict(line.split() for line in (self._group / "memory.stat").read_text().splitlines())
        used = int((self._group / "memory.usage_in_bytes").read_text()) - int(stat["total_inactive_file"])
        (self._group / "memory.limit_in_bytes").write_text(str(int(used / share)))


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system in memory that only holds so much."""
    folder.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
