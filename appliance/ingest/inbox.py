"""Tasks accepted while the one writer of the database was busy: a file each, until the ledger has them.

A huge document holds the writer for a second or two; whoever submits a task must not wait for it. The order of
acceptance is kept: while a task waits here, later ones come here too.
"""

import contextlib
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec
import structlog

from appliance.faults import reached
from appliance.ingest.spool import unwritable
from appliance.paths import sync_path
from appliance.store.database import WriterBusyError
from appliance.store.job_rows import NewTask

PATIENCE_S = 0.01
SUFFIX = ".task"

log = structlog.get_logger(__name__)


class Inbox:
    """Thread-safe. `add` enters a task into the ledger and raises WriterBusyError when that would take too long."""

    def __init__(self, folder: Path, add: Callable[[NewTask, float | None], None]) -> None:
        self._folder = folder
        self._add = add
        self._changing = threading.Lock()
        self._tasks: dict[str, NewTask] = {task.id: task for task in _stored(folder)}

    def __len__(self) -> int:
        return len(self._tasks)

    def find(self, task_id: str) -> NewTask | None:
        return self._tasks.get(task_id)

    def tasks(self) -> list[NewTask]:
        """The oldest first."""
        return list(self._tasks.values())

    def accept(self, task: NewTask) -> None:
        """Durable on return: a row of the ledger or, when the writer is busy, a file. Raises StorageError, DiskFull."""
        with self._changing:
            if self._tasks or not self._entered(task):
                self._store(task)
                self._tasks[task.id] = task

    def hand_over(self) -> None:
        """Enter what waits into the ledger, the oldest first, and forget it here. Raises StorageError, DiskFull."""
        for task in self.tasks():
            self._add(task, None)  # the same task twice is one: a crash between here and unlink does no harm
            reached("ingest.task_handed_over")
            with self._changing:
                self._path(task).unlink(missing_ok=True)
                self._tasks.pop(task.id, None)

    def _entered(self, task: NewTask) -> bool:
        try:
            self._add(task, PATIENCE_S)
        except WriterBusyError:
            return False
        return True

    def _store(self, task: NewTask) -> None:
        path = self._path(task)
        beside = path.with_suffix(".new")
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.write_bytes(msgspec.msgpack.encode(task))
            sync_path(beside)
            beside.replace(path)
            sync_path(self._folder)
            reached("ingest.task_filed")
        except OSError as error:
            beside.unlink(missing_ok=True)
            raise unwritable(error) from error

    def _path(self, task: NewTask) -> Path:
        return self._folder / f"{task.id}{SUFFIX}"


def _stored(folder: Path) -> list[NewTask]:
    """What an earlier process accepted, the oldest first; a file that is no task stays, with a line in the log.

    One that was not written to its end was never accepted, and goes.
    """
    for beside in folder.glob("*.new"):
        with contextlib.suppress(OSError):
            beside.unlink()
    found: list[NewTask] = []
    for path in folder.glob(f"*{SUFFIX}"):
        try:
            found.append(msgspec.msgpack.decode(path.read_bytes(), type=NewTask))
        except (OSError, msgspec.MsgspecError) as error:
            log.error("accepted_task_unreadable", file=path.name, error=str(error))
    return sorted(found, key=lambda task: task.created_at)
