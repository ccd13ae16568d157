"""A server process of our own, on data of its own: started, waited for, killed, stopped."""

import contextlib
import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from appliance.config import FAULT_VARIABLE, bare_environment
from appliance.paths import PACKAGE, DataPaths, own_command

READY_S = 60.0
STOP_S = 45.0
ANSWER_S = 60.0
ORPHANS_S = 10.0
POLL_S = 0.02


class Died(Exception):
    """The server is gone."""


class Refused(Exception):
    """An error status; `code` is the problem document's."""

    def __init__(self, status: int, code: str, detail: str) -> None:
        super().__init__(f"{status} {code}: {detail}")
        self.status, self.code = status, code


class Caller:
    """JSON over HTTP. Every method raises Died when the connection breaks, Refused for an error status."""

    def __init__(self, url: str, key: str) -> None:
        headers = {"X-API-Key": key}
        self._http = httpx.Client(base_url=url, headers=headers, timeout=ANSWER_S, trust_env=False, verify=False)

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        return self._send("GET", path, params=parameters)

    def post(self, path: str, body: dict[str, Any] | None = None) -> Any:
        return self._send("POST", path, json=body or {})

    def delete(self, path: str) -> Any:
        return self._send("DELETE", path)

    def upload(self, files: dict[str, str], collection: str) -> Any:
        parts = [("file", (name, content.encode(), "text/plain")) for name, content in files.items()]
        return self._send("POST", "/ingest", files=parts, data={"collection": collection})

    def cut_upload(self, name: str, content: str) -> None:
        """Half a form, then the connection ends."""

        def half() -> Any:
            yield f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n{content}'.encode()
            raise _CutOff

        kind = {"Content-Type": "multipart/form-data; boundary=b"}
        with contextlib.suppress(_CutOff, httpx.TransportError):
            self._http.post("/ingest", content=half(), headers=kind)

    def _send(self, method: str, path: str, **content: Any) -> Any:
        try:
            response = self._http.request(method, path, **content)
        except httpx.TransportError as error:
            raise Died(str(error)) from error
        if response.status_code >= 400:
            told = response.json() if "json" in response.headers.get("content-type", "") else {}
            raise Refused(response.status_code, str(told.get("code")), str(told.get("detail", response.text[:200])))
        return response.json()


class _CutOff(Exception):
    """The sender has had enough."""


@dataclass(frozen=True, slots=True)
class Site:
    """A data directory to torture, and how the server on it is set."""

    root: Path  # holds the mark, the log and the data directory
    settings: dict[str, Any] = field(default_factory=dict)
    name: str = "data"
    models: tuple[str, ...] = ()  # embedding models to change between

    @property
    def paths(self) -> DataPaths:
        return DataPaths(self.root / self.name)

    @property
    def log(self) -> Path:
        return self.root / f"{self.name}.log"


class Server:
    """One process. `fault` arms it for a step (see faults.arm)."""

    def __init__(self, site: Site, fault: str | None = None) -> None:
        self.site = site
        self.fault = fault
        self.killed = False  # by us
        self._before = _announced(site.paths)
        self._started = time.monotonic()
        config = site.root / f"{site.name}.yaml"
        config.write_text(yaml.safe_dump(site.settings), encoding="utf-8")
        environment = bare_environment() | {"PYTHONPATH": str(PACKAGE.parent)}
        if fault:
            environment[FAULT_VARIABLE] = fault
        command = [*own_command(), "serve", "--port", "0", "--data-dir", str(site.paths.root), "--config", str(config)]
        with site.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=site.root,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
                start_new_session=True,
            )

    def ready(self) -> float:
        """Wait until questions can be answered; -> seconds since the start. Raises Died, Refused after READY_S."""
        while time.monotonic() - self._started < READY_S:
            if self._process.poll() is not None:
                raise Died(f"ended with {self._process.returncode} before it was ready")
            found = _announced(self.site.paths)
            if found and found != self._before and _is_ready(found):
                return time.monotonic() - self._started
            time.sleep(POLL_S)
        raise Refused(0, "not_ready", f"not ready {READY_S:g} s after its start")

    def caller(self) -> Caller:
        found = _announced(self.site.paths) or {}
        return Caller(found["url"], found["key"])

    def wait(self, seconds: float) -> int | None:
        """The exit status, None while it runs."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def kill(self, *, alone: bool = False) -> list[str]:
        """SIGKILL for the process and its children at once, or `alone` for it: its children must then end themselves.

        Returns what did not end, in words.
        """
        self.killed = True
        if not alone:
            self._kill_group()
            return []
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.serving_pid(), signal.SIGKILL)
        return self.orphans()

    def orphans(self) -> list[str]:
        """After the server has died: those of its children that are still there after ORPHANS_S; they are ended."""
        self._process.wait()
        until = time.monotonic() + ORPHANS_S
        while (left := self._group()) and time.monotonic() < until:
            time.sleep(POLL_S)
        self._kill_group()
        return [f"process {child.pid} outlived its server" for child in left]

    def stop(self) -> int | None:
        """Ask it to end in order; its exit status, None when it did not end within STOP_S (it is killed then)."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.serving_pid(), signal.SIGTERM)
        status = self.wait(STOP_S)
        self._kill_group()
        return status

    def terminate(self) -> None:
        """Ask it to end in order, and do not wait."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.serving_pid(), signal.SIGTERM)

    def last_words(self, lines: int = 12) -> str:
        """The end of the log."""
        with contextlib.suppress(OSError):
            return "\n".join(self.site.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:])
        return ""

    def serving_pid(self) -> int:
        """The process that serves: the lock says which, should it be a child of the one that was started."""
        with contextlib.suppress(OSError, ValueError, KeyError):
            holder = json.loads(self.site.paths.lock.read_text(encoding="utf-8"))["pid"]
            if os.getpgid(int(holder)) == self._process.pid:
                return int(holder)
        return self._process.pid

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _group(self) -> list[psutil.Process]:
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error, ProcessLookupError):
                if os.getpgid(process.pid) == self._process.pid and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


def _announced(paths: DataPaths) -> dict[str, Any] | None:
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(paths.server.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) and {"url", "key"} <= found.keys() else None
    return None


def _is_ready(found: dict[str, Any]) -> bool:
    try:
        return (
            httpx.get(f"{found['url']}/health/ready", timeout=ANSWER_S, trust_env=False, verify=False).status_code
            == 200
        )
    except httpx.TransportError:
        return False
