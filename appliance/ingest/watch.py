"""Follows a folder: each time its files have changed and come to rest, somebody is told."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import structlog
import watchfiles

from appliance.errors import ApplianceError
from appliance.ingest.listing import SKIPPED_FOLDERS
from appliance.paths import is_appliance_data

SETTLE_MS = 1_600  # longest time that one burst of changes is collected
QUIET_MS = 400  # a burst ends after so long without a change

log = structlog.get_logger(__name__)


class StopSign(Protocol):
    """Like `threading.Event`."""

    def is_set(self) -> bool: ...
    def wait(self, timeout: float | None = None) -> bool: ...


def watch(root: Path, on_change: Callable[[int], None], stop: StopSign) -> None:
    """Call `on_change` with the number of changed paths after each burst of changes below `root`, until `stop` is set.

    Hidden and version control files are not followed. Changes during a call are reported after it. A call that raises
    ApplianceError (a full queue) is made again after the next burst or ten seconds.

    Raises FileNotFoundError when `root` is not there; ends when it is removed.
    """
    if not root.exists():
        raise FileNotFoundError(root)
    owed = 0
    changes = watchfiles.watch(
        root,
        watch_filter=lambda _, path: is_followed(root, path),
        debounce=SETTLE_MS,
        step=QUIET_MS,
        stop_event=stop,
        rust_timeout=1_000,
        yield_on_timeout=True,
        raise_interrupt=True,
    )
    waited = 0
    for batch in changes:
        owed += len(batch)
        waited = 0 if batch else waited + 1
        if owed and (batch or waited % 10 == 0):
            owed = _tell(on_change, owed)
        if not root.exists():
            log.warning("watched_folder_is_gone")
            return


def is_followed(root: Path, path: str) -> bool:
    """Whether ingestion would take a file at `path` (no hidden, version control or data folder on the way)."""
    inside = os.path.relpath(path, root)
    parts = Path(inside).parts
    if is_appliance_data(os.fsencode(path)):
        return False
    return not any(part.startswith(".") and part != "." for part in parts) and not any(
        os.fsencode(part) in SKIPPED_FOLDERS for part in parts[:-1]
    )


def _tell(on_change: Callable[[int], None], count: int) -> int:
    """-> how many changes are still to be told of."""
    try:
        on_change(count)
    except ApplianceError as error:
        log.warning("change_not_taken", code=error.code)
        return count
    return 0
