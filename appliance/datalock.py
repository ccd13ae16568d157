"""One process per data directory: an advisory lock that the kernel drops when its holder dies."""

import fcntl
import json
import os
from pathlib import Path
from types import TracebackType
from typing import Any

from appliance.errors import DataDirectoryInUse, StorageError

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class DataLock:
    """Holds `path` until closed. The file tells others who holds it; its content alone never blocks anyone.

    `cut_off` is the purpose of the holder before where that did not end in order, else ""; `host_restarted` says that
    it was cut off by the end of its host (a power cut), not by its own.
    """

    def __init__(self, descriptor: int, path: Path, *, cut_off: str = "", host_restarted: bool = False) -> None:
        self._descriptor = descriptor
        self._path = path
        self.cut_off = cut_off
        self.host_restarted = host_restarted

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
        boot = _boot()
        before = _content(path)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, json.dumps({"pid": os.getpid(), "purpose": purpose, "boot": boot}).encode(), 0)
        os.fsync(descriptor)
        restarted = before.get("boot", boot) != boot
        return cls(descriptor, path, cut_off=str(before.get("purpose", "")), host_restarted=restarted)

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
    holder = _content(path)
    return (
        f"process {holder['pid']} ({holder['purpose']})" if {"pid", "purpose"} <= holder.keys() else "another process"
    )


def _content(path: Path) -> dict[str, Any]:
    """What the holder has written; empty after an orderly end."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _boot() -> str:
    """Which start of the host this is (proc_sys_kernel(5), random/boot_id); "" where that cannot be told."""
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""
