"""How often the server has started on a data directory, and how the lives before ended: counted on disk."""

import contextlib
import json
import os
from pathlib import Path

import structlog

REASONS = ("killed", "watchdog", "host")

log = structlog.get_logger(__name__)


class Starts:
    """`starts` of a server and, of those, how many followed an end out of order, by reason (`unclean`).

    A file that cannot be read counts from 0 again, one that cannot be written is left as it is: counting must never
    keep a server from starting on a full disk.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stuck = path.with_name("stuck")
        self.starts = 0
        self.unclean = dict.fromkeys(REASONS, 0)
        self._read()

    def begin(self, purpose: str, cut_off: str, *, host_restarted: bool) -> None:
        """Count a start for `purpose`; `cut_off` is the purpose of the holder before where it did not end in order."""
        stuck = self._stuck.exists()
        if purpose != "serve" and cut_off != "serve":
            return
        self.starts += purpose == "serve"
        if cut_off == "serve":
            self.unclean["host" if host_restarted else "watchdog" if stuck else "killed"] += 1
        self._write()
        with contextlib.suppress(OSError):
            self._stuck.unlink(missing_ok=True)

    def stuck(self, is_stuck: bool) -> None:
        """Remember, beyond the end that the supervisor will now make, that a work loop is stuck; or forget it."""
        with contextlib.suppress(OSError):
            if is_stuck:
                self._stuck.touch(mode=0o600)
            else:
                self._stuck.unlink(missing_ok=True)

    def _read(self) -> None:
        try:
            told = json.loads(self._path.read_text("utf-8"))
            self.starts = int(told["starts"])
            self.unclean = {reason: int(told["unclean"].get(reason, 0)) for reason in REASONS}
        except FileNotFoundError:
            return
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            log.warning("starts_unreadable", error=str(error))

    def _write(self) -> None:
        beside = self._path.with_suffix(".new")
        try:
            descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as file:
                json.dump({"starts": self.starts, "unclean": self.unclean}, file)
            beside.replace(self._path)
        except OSError as error:
            log.warning("starts_not_written", error=str(error))
