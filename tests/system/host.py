"""The installed appliance as its operator sees it from inside the guest."""

import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.system.guest import Failed, Guest

URL = "http://127.0.0.1:8000"
KEY_FILE = "/etc/rag-appliance/credentials/first_admin_key"
READY_S = 120.0


class Host:
    """Commands and requests against the service in a guest."""

    def __init__(self, guest: Guest) -> None:
        self.guest = guest

    @property
    def key(self) -> str:
        return (self.guest.root / KEY_FILE[1:]).read_text().strip()

    def get(self, path: str) -> Any:
        """A route, by curl in the guest. Raises Failed."""
        command = ["curl", "-sS", "-m", str(READY_S), "-H", f"X-API-Key: {self.key}", URL + path]
        return json.loads(self.guest.run(*command))

    def command(self, *arguments: str) -> Any:
        """A command of rag-appliance with --json; -> what it says, an error as well."""
        done = self.guest.call("rag-appliance", *arguments, "--json")
        try:
            return json.loads(done.stdout)
        except ValueError:
            raise Failed(f"rag-appliance {' '.join(arguments)}: {(done.stdout + done.stderr)[-1500:]}") from None

    def show(self, name: str) -> str:
        """A property of the unit."""
        return self.guest.run("systemctl", "show", "rag-appliance", f"--property={name}", "--value").strip()

    def version(self) -> str:
        return str(self.get("/health")["version"])

    def program(self) -> str:
        """The version that is in the current slot."""
        return (self.guest.root / "opt/rag-appliance/current").readlink().name

    def until_active(self, pid_before: str, within_s: float = READY_S) -> float:
        """-> seconds until another process of the service is ready. Raises Failed."""
        began = time.monotonic()
        while time.monotonic() - began < within_s:
            now, pid = self.show("ActiveState"), self.show("MainPID")
            if now == "active" and pid not in (pid_before, "0"):
                return time.monotonic() - began
            time.sleep(0.02)
        raise Failed(f"no new process is ready within {within_s:g} s: {self.journal(10)}")

    def journal(self, lines: int = 40) -> str:
        """The last lines of the service's log, without those of requests."""
        said = self.guest.run("journalctl", "-u", "rag-appliance", "--no-pager", "-o", "cat").splitlines()
        return "\n".join([line for line in said if '"event":"request"' not in line][-lines:])

    def reach_from_service(self, address: str) -> subprocess.CompletedProcess[str]:
        """A connection to a port where nobody listens, tried by a program in the service's own control group."""
        group = "/sys/fs/cgroup/system.slice/rag-appliance.service/cgroup.procs"
        return self.guest.call("sh", "-c", f"echo $$ > {group}; exec curl -sS -m 3 telnet://{address}:9")

    @contextlib.contextmanager
    def load(self) -> Iterator[dict[str, Any]]:
        """Callers that ask all the time within the block; what they counted is in the dictionary after it."""
        command = [*self.guest.enter("-n"), sys.executable, "-m", "tests.system.load", URL, self.key]
        callers = subprocess.Popen(
            command, cwd=Path(__file__).resolve().parents[2], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        counted: dict[str, Any] = {}
        try:
            time.sleep(2)
            yield counted
            time.sleep(1)
            said, _ = callers.communicate("stop\n", timeout=READY_S)
            counted.update(json.loads(said))
        finally:
            if callers.poll() is None:
                callers.kill()
                callers.wait()
