"""One process per data directory: an advisory lock that the kernel drops when its holder dies."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType

from appliance.errors import DataDirectoryInUse, StorageError


class DataLock:
    """Holds `path` until closed. The file tells others who holds it; its content alone never blocks anyone."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor = descriptor
        self._path = path

    @classmethod
    def acquire(cls, path: Path, purpose: str) -> "DataLock":
        """Take the lock at once or say who has it.

        Raises DataDirectoryInUse when another process holds it, StorageError when the file cannot be opened.
        """
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"The lock file {path} cannot be opened: {error.strerror}.",
                code="data_directory_unusable",
                hint="Give the data directory to the user who runs the appliance, or choose another one.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            raise DataDirectoryInUse(
                f"The data directory {path.parent} is in use by {_holder(path)}.",
                hint="Ask the running server over HTTP, stop that process, or choose another --data-dir.",
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "purpose": purpose}).encode(), 0)
        return cls(descriptor, path)

    def close(self) -> None:
        """Give the lock back; harmless when done twice."""
        if self._descriptor >= 0:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = -1

    def __enter__(self) -> "DataLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _holder(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['pid']} ({holder['purpose']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
