"""Uploaded bytes that wait for ingestion: one folder an upload, written through to the disk, bounded in size."""

import contextlib
import errno
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from appliance.errors import DiskFull, InvalidRequest, StorageError, TooLarge
from appliance.faults import reached
from appliance.ingest.names import clean_name
from appliance.ingest.spec import SpooledFile
from appliance.paths import sync_path

BLOCK_BYTES = 1 << 20
UPLOAD_FILES = 10_000
KEPT_S = 7 * 86400.0  # of uploads with dead documents
KEPT_BYTES = 2 * 1024**3


class UploadSpool:
    """The files of one upload. `discard` it when it is not handed to `Ingestion.submit`, or when that refuses it."""

    def __init__(self, folder: Path, *, upload_bytes: int, file_bytes: int) -> None:
        self._folder = folder
        self._left = upload_bytes
        self._upload_bytes, self._file_bytes = upload_bytes, file_bytes
        self._files: dict[str, SpooledFile] = {}

    @property
    def files(self) -> tuple[SpooledFile, ...]:
        return tuple(self._files.values())

    def add(self, name: str, content: Iterable[bytes] | BinaryIO) -> SpooledFile:
        """Write one file; it is on the disk when this returns. The name is cleaned: it becomes the source.

        Raises TooLarge, InvalidRequest (no name, or one twice), DiskFull, StorageError; then the file is not kept.
        """
        name = clean_name(name)
        self._check_name(name)
        path = self._folder / f"{len(self._files):05d}"
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            size = self._write(name, path, content)
            sync_path(self._folder)
            sync_path(self._folder.parent)
            reached("ingest.file_spooled")
        except BaseException as error:
            path.unlink(missing_ok=True)
            if isinstance(error, OSError):
                raise unwritable(error) from error
            raise
        self._left -= size
        self._files[name] = SpooledFile(name, path, size)
        return self._files[name]

    def discard(self) -> None:
        """Forget everything. A second call does nothing."""
        self._files.clear()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _check_name(self, name: str) -> None:
        if not name or name in self._files:
            raise InvalidRequest(
                "A file has no name." if not name else f"Two files are called {name!r}.",
                code="invalid_file_name" if not name else "duplicate_file_name",
                hint="Give each file of an upload a name of its own, for example its path.",
            )
        if len(self._files) >= UPLOAD_FILES:
            hint = "Send the rest in another upload."
            raise TooLarge(f"One upload may hold {UPLOAD_FILES:,} files.", code="too_many_files", hint=hint)

    def _write(self, name: str, path: Path, content: Iterable[bytes] | BinaryIO) -> int:
        size = 0
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as target:
            for block in _blocks(content):
                size += len(block)
                self._check_size(name, size)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
        return size

    def _check_size(self, name: str, size: int) -> None:
        if size > self._file_bytes:
            hint = "Split it, or raise the setting file_bytes."
            raise TooLarge(f"{name!r} is larger than {self._file_bytes:,} bytes.", code="file_too_large", hint=hint)
        if size > self._left:
            hint = "Send fewer files at once, or raise the setting upload_bytes."
            raise TooLarge(
                f"The upload is larger than {self._upload_bytes:,} bytes.", code="upload_too_large", hint=hint
            )


class Spool:
    """The folder of all uploads."""

    def __init__(self, folder: Path, *, upload_bytes: int, file_bytes: int) -> None:
        self.folder = folder
        self._upload_bytes, self._file_bytes = upload_bytes, file_bytes

    def new(self) -> UploadSpool:
        folder = self.folder / uuid.uuid4().hex
        return UploadSpool(folder, upload_bytes=self._upload_bytes, file_bytes=self._file_bytes)

    def upload_of(self, files: tuple[SpooledFile, ...]) -> str | None:
        """The name of the folder that these files are in.

        Raises InvalidRequest when they are not all of one upload of this spool.
        """
        folders = {file.path.parent for file in files}
        if not folders:
            return None
        if len(folders) > 1 or next(iter(folders)).parent != self.folder:
            raise InvalidRequest("The files are not of one upload.", code="foreign_files", hint="Upload them again.")
        return next(iter(folders)).name

    def keep_only(self, needed: Iterable[tuple[str, bool, float]]) -> None:
        """Remove all uploads but those `needed`: (name, for an unfinished task, created at), the oldest first.

        Of uploads kept only so that dead documents can be tried again, the newest stay, within KEPT_S and KEPT_BYTES.
        Call it only while no upload is being received.
        """
        keep = self.within_bounds(needed)
        for folder in self._folders():
            if folder.name not in keep:
                shutil.rmtree(folder, ignore_errors=True)

    def remove(self, name: str) -> None:
        shutil.rmtree(self.folder / name, ignore_errors=True)

    def within_bounds(self, needed: Iterable[tuple[str, bool, float]]) -> set[str]:
        """Of the uploads `needed`, the names of those that stay."""
        keep: set[str] = set()
        left = KEPT_BYTES
        for name, unfinished, created_at in reversed(list(needed)):
            size = 0 if unfinished else _size(self.folder / name)
            if unfinished or (created_at > time.time() - KEPT_S and size <= left):
                keep.add(name)
                left -= size
        return keep

    def tidy(self, upload: str, needed: Sequence[tuple[str, bool, float]]) -> bool:
        """Remove `upload` unless it is needed, and those of `needed` that there is no room for; whether any went."""
        gone = {upload, *(name for name, *_ in needed)} - self.within_bounds(needed)
        for name in gone:
            self.remove(name)
        return bool(gone)

    def _folders(self) -> Iterator[Path]:
        with contextlib.suppress(OSError):
            yield from [path for path in self.folder.iterdir() if path.is_dir() and not path.is_symlink()]


def _blocks(content: Iterable[bytes] | BinaryIO) -> Iterator[bytes]:
    read = getattr(content, "read", None)
    if read is None:
        yield from content
        return
    while block := read(BLOCK_BYTES):
        yield block


def _size(folder: Path) -> int:
    with contextlib.suppress(OSError):
        return sum(path.stat().st_size for path in folder.iterdir())
    return 0


def unwritable(error: OSError) -> StorageError:
    """The error to raise when the spool cannot be written."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return DiskFull("The disk is full; the upload was not kept.", hint="Free some space and send it again.")
    return StorageError(
        f"The upload cannot be written: {error.strerror or error}.",
        code="spool_unwritable",
        hint="Check the data directory: it must be writable by the user that runs the appliance.",
    )
