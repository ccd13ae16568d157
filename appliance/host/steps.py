"""A plan as steps: printed for --dry-run, else done one after another, each told and noted in the journal."""

import contextlib
import errno
import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import DiskFull
from appliance.host.errors import HostError
from appliance.host.layout import Layout

JOURNAL_BYTES = 1 << 20  # beyond it the older half goes

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Step:
    """What is done, in words, and how."""

    what: str
    do: Callable[[], object]


def carry_out(steps: Sequence[Step], layout: Layout, command: str, tell: Tell, *, dry_run: bool) -> None:
    """Do the steps in order. Raises what a step raises, OSError as HostError or DiskFull; the journal says which."""
    for step in steps:
        tell(step.what)
        if dry_run:
            continue
        try:
            step.do()
        except OSError as error:
            note(layout, command, step.what, f"failed: {error}")
            raise _ours(error, step.what) from error
        except Exception as error:
            note(layout, command, step.what, f"failed: {error}")
            raise
        note(layout, command, step.what, "done")


def note(layout: Layout, command: str, step: str, outcome: str) -> None:
    """Add a line to the journal, durably; a journal that cannot be written stops nothing."""
    line = json.dumps({"at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), "command": command, "step": step,
                       "outcome": outcome})  # fmt: skip
    with contextlib.suppress(OSError):
        if layout.journal.exists() and layout.journal.stat().st_size > JOURNAL_BYTES:
            lines = layout.journal.read_text(encoding="utf-8").splitlines(keepends=True)
            layout.journal.write_text("".join(lines[len(lines) // 2 :]), encoding="utf-8")
        with layout.journal.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """No other install, upgrade, rollback or uninstall works on this prefix. Raises HostError (host_busy)."""
    with layout.lock.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            hint = "Wait until it has ended; `journal` in the prefix shows how far it is."
            raise HostError(f"Another command works on {layout.prefix}.", code="host_busy", hint=hint) from None
        yield


def _ours(error: OSError, step: str) -> HostError | DiskFull:
    where = Path(str(error.filename)).parent if error.filename else "the host"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull(f"{step}: the disk of {where} is full.", hint="Free some space; then run the command again.")
    hint = (
        "Is it mounted for writing? Run the command again when it can be written; what is done already is not repeated."
    )
    return HostError(f"{step}: {error}", code="prefix_not_writable", hint=hint)
