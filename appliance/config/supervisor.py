"""What the supervisor that started this process has put into its environment (systemd.exec(5), sd_notify(3))."""

import os
from dataclasses import dataclass
from pathlib import Path

FIRST_SOCKET = 3  # SD_LISTEN_FDS_START of sd_listen_fds(3)


@dataclass(frozen=True, slots=True)
class Supervisor:
    """`watchdog_s` is how long it waits for a sign of life, 0 for ever; `sockets` are descriptors that listen."""

    notify_socket: str = ""
    watchdog_s: float = 0.0
    sockets: tuple[int, ...] = ()
    credentials: Path | None = None


def supervisor() -> Supervisor:
    """What is meant for this process; variables that name another one are left alone, as are unreadable ones."""
    listening = _number("LISTEN_FDS") if _is_us("LISTEN_PID", needed=True) else 0
    return Supervisor(
        notify_socket=os.environ.get("NOTIFY_SOCKET", ""),
        watchdog_s=_number("WATCHDOG_USEC") / 1e6 if _is_us("WATCHDOG_PID", needed=False) else 0.0,
        sockets=tuple(range(FIRST_SOCKET, FIRST_SOCKET + listening)),
        credentials=credentials_directory(),
    )


def credentials_directory() -> Path | None:
    """Where systemd has put the credentials of this service (LoadCredential=), if it has."""
    return Path(found) if (found := os.environ.get("CREDENTIALS_DIRECTORY")) else None


def _is_us(variable: str, *, needed: bool) -> bool:
    value = os.environ.get(variable)
    return not needed if value is None else value == str(os.getpid())


def _number(variable: str) -> int:
    value = os.environ.get(variable, "")
    return int(value) if value.isascii() and value.isdecimal() else 0
