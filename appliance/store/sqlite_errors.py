"""What SQLite says of its environment, in our own terms: a full disk, a file that cannot be read, a damaged one."""

import shutil
from pathlib import Path
from types import TracebackType

import apsw

from appliance.errors import DiskFull, StorageError


class translated:
    """Turn SQLite's environment errors into StorageError; anything else (a bug of ours) passes as it is."""

    __slots__ = ("_path",)

    def __init__(self, path: Path) -> None:
        self._path = path

    def __enter__(self) -> None:
        """Nothing is to be done before an error."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if isinstance(error, apsw.Error):
            raise_translated(error, self._path)


def raise_translated(error: apsw.Error, path: Path) -> None:
    """Raises StorageError for an error of the environment, nothing for any other."""
    ours = storage_error(error, path)
    if ours is not None:
        raise ours from error


def storage_error(error: apsw.Error, path: Path) -> StorageError | None:
    """The error in our own terms; None for one that is a bug of ours."""
    if isinstance(error, apsw.FullError) or (isinstance(error, apsw.IOError) and _is_full(path)):
        return DiskFull(
            f"The disk of {path.parent} is full; nothing of this change was kept.",
            hint="Free some space, or move the data directory to a larger disk; then try again.",
        )
    for kind, code, message, hint in _ERRORS:
        if isinstance(error, kind):
            return StorageError(f"{message.format(path=path)} ({error})", code=code, hint=hint)
    return None


_CORRUPT_HINT = "Stop the appliance, keep a copy of the file, and restore a backup or ingest the documents again."
_ERRORS: tuple[tuple[type[apsw.Error], str, str, str], ...] = (
    (apsw.CorruptError, "database_corrupt", "The database {path} is damaged", _CORRUPT_HINT),
    (apsw.NotADBError, "database_corrupt", "{path} is not a database, or its header is damaged", _CORRUPT_HINT),
    (
        apsw.ReadOnlyError,
        "database_read_only",
        "The database {path} cannot be written",
        "Give the data directory and its files to the user that runs the appliance, on a disk mounted for writing.",
    ),
    (
        apsw.CantOpenError,
        "database_unopenable",
        "The database {path} cannot be opened",
        "Check that the data directory exists and belongs to this user, and the limit on open files (ulimit -n).",
    ),
    (apsw.IOError, "database_io", "Reading or writing {path} failed", "Look for disk errors in the kernel log, dmesg."),
    (
        apsw.BusyError,
        "database_busy",
        "The database {path} is held by another program",
        "Close other programs that use this file (a database browser, a second appliance).",
    ),
)


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < 1_048_576
    except OSError:
        return False
