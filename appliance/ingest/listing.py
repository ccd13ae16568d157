"""The files under a folder: everything a person would call a document, and nothing that could trap a reader."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import ApplianceError, InvalidRequest
from appliance.ingest.names import path_to_bytes, source_of
from appliance.paths import is_appliance_data, is_data_directory

SKIPPED_FOLDERS = frozenset({b"CVS", b"_darcs", b"__pycache__", b"lost+found"})  # besides hidden ones
FILES_LIMIT = 1_000_000
DEPTH_LIMIT = 200


@dataclass(frozen=True, slots=True)
class ListedFile:
    """A file to be read, or a folder or file that cannot be (`error`)."""

    source: str
    path: bytes
    error: str = ""
    is_folder: bool = False


def source_prefix(root: Path, label: str | None) -> str:
    """What every source below `root` begins with (`root` a folder)."""
    if label is not None:
        return f"{label.strip('/')}/"
    return source_of(path_to_bytes(root)).rstrip("/") + "/"


def list_files(root: Path, label: str | None, stopped: Callable[[], bool]) -> Iterator[ListedFile]:
    """Regular files at or below `root`, folder by folder, each sorted by name.

    Hidden files and folders, version control folders, data directories, devices, sockets and pipes are left out. A
    symbolic link to a file inside `root` is followed, any other is not, so there are no loops and no ways out. Ends
    early once `stopped`.

    Raises OSError when `root` itself cannot be listed, InvalidRequest past FILES_LIMIT.
    """
    top = path_to_bytes(root)
    if not stat.S_ISDIR(os.stat(top).st_mode):  # noqa: PTH116 - bytes
        name = source_of(top)
        yield ListedFile(f"{label.strip('/')}/{name.rpartition('/')[2]}" if label is not None else name, top)
        return
    for count, listed in enumerate(_walk(top, source_prefix(root, label))):
        if stopped():
            return
        if count >= FILES_LIMIT:
            raise InvalidRequest(
                f"There are more than {FILES_LIMIT:,} files.",
                code="too_many_files",
                hint="Ingest its folders one after another.",
            )
        yield listed


def _walk(top: bytes, prefix: str) -> Iterator[ListedFile]:
    real = os.path.realpath(top)
    waiting = [(top, 0)]
    while waiting:
        folder, depth = waiting.pop()
        try:
            with os.scandir(folder) as scan:
                entries = sorted(scan, key=lambda entry: entry.name)
        except OSError as error:
            if folder == top:
                raise
            yield ListedFile(_source(folder, top, prefix), folder, f"cannot be listed: {error.strerror}", True)
            continue
        folders = [entry.path for entry in entries if _is_folder(entry)]
        if depth < DEPTH_LIMIT:
            waiting += [(path, depth + 1) for path in reversed(folders)]
        elif folders:
            yield ListedFile(_source(folder, top, prefix), folder, "is nested too deep", True)
        for entry in entries:
            if not entry.name.startswith(b".") and _is_document(entry, real):
                yield ListedFile(_source(entry.path, top, prefix), entry.path)


def _source(path: bytes, top: bytes, prefix: str) -> str:
    return prefix + source_of(path[len(top.rstrip(b"/")) + 1 :])


def _is_folder(entry: os.DirEntry[bytes]) -> bool:
    if entry.name.startswith(b".") or entry.name in SKIPPED_FOLDERS:
        return False
    try:
        return entry.is_dir(follow_symlinks=False) and not is_data_directory(entry.path)
    except OSError:
        return False


def _is_document(entry: os.DirEntry[bytes], root: bytes) -> bool:
    """A regular file, or a link to one inside `root` that is not hidden."""
    try:
        if entry.is_file(follow_symlinks=False):
            return True
        if not entry.is_symlink() or not entry.is_file():
            return False
    except OSError:
        return False
    target = os.path.realpath(entry.path)
    inside = target.startswith(root.rstrip(b"/") + b"/") and b"/." not in target[len(root) :]
    return inside and not is_appliance_data(target)


def explain(error: Exception) -> str:
    """One line on why a listing failed."""
    if isinstance(error, ApplianceError):
        return f"{error} {error.hint}".strip()
    if isinstance(error, OSError):
        return f"The folder cannot be listed: {error.strerror or error}."
    return str(error)
