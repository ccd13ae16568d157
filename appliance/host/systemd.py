"""Orders to systemd, and what it says about the service."""

import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from appliance.host.errors import HostError
from appliance.host.layout import SERVICE

COMMAND_S = 300.0
POLL_S = 0.2
_SHOWN = ("ActiveState", "SubState", "StatusText", "MainPID", "NRestarts")


@dataclass(frozen=True, slots=True)
class State:
    """The service as systemd sees it."""

    active: str
    sub: str
    status: str
    pid: int
    restarts: int


def require_systemd() -> None:
    """Raises HostError where systemd is not in charge."""
    if not Path("/run/systemd/system").is_dir():
        raise HostError(
            "This host is not run by systemd.",
            code="no_systemd",
            hint="Run `rag-appliance serve` under the supervisor of this host; the topic Installing says how.",
        )


def systemctl(*arguments: str) -> str:
    """Run systemctl. Raises HostError (systemd_failed) with its last words."""
    return command("systemctl", *arguments)


def command(*words: str) -> str:
    """Run a program of the host, for its output. Raises HostError (systemd_failed)."""
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=COMMAND_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{words[0]}: {error}", code="systemd_failed", hint="Is it installed, and in PATH?") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip()
        hint = f"`journalctl -u {SERVICE}` and `systemctl status {SERVICE}` say more."
        raise HostError(f"{' '.join(words)}: {said}", code="systemd_failed", hint=hint)
    return done.stdout


def state() -> State:
    """What the service does. Raises HostError."""
    found = dict(
        line.partition("=")[::2] for line in systemctl("show", SERVICE, f"--property={','.join(_SHOWN)}").splitlines()
    )
    numbers = [int(found.get(name) or 0) for name in ("MainPID", "NRestarts")]
    return State(found["ActiveState"], found["SubState"], found.get("StatusText", ""), numbers[0], numbers[1])


def wait_until_ready(within_s: float) -> State:
    """Until the service answers questions. Raises HostError (not_ready) when it fails, or is not ready in time."""
    until = time.monotonic() + within_s
    while True:
        now = state()
        if now.active == "active":
            return now
        if now.active == "failed" or time.monotonic() > until:
            hint = f"`journalctl -u {SERVICE}` shows why; `rag-appliance doctor` checks host, settings and data."
            raise HostError(f"The service is not ready: {now.status or now.sub}", code="not_ready", hint=hint)
        time.sleep(POLL_S)
