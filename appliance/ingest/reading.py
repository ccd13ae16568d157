"""The first stage: a file's bytes are hashed, read in the child process and cut into chunks."""

import contextlib
import errno
import hashlib
import math
import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from appliance.config import Settings
from appliance.errors import DocumentError
from appliance.faults import reached
from appliance.ingest.breaker import Stopped, cause
from appliance.ingest.chunk import chunk_document
from appliance.ingest.names import is_text, path_from_bytes
from appliance.ingest.sandbox import ReaderLimits, ReaderProcess, ReadItem
from appliance.ingest.unit import CHUNK_WEIGHT, Draft, Unit
from appliance.store.job_rows import ItemRow
from appliance.telemetry.metrics import INGESTED_BYTES
from appliance.telemetry.stages import stage
from appliance.telemetry.tracing import note
from appliance.types import Embedder

BLOCK_BYTES = 1 << 20
# Faults of a disk, a network file system or a busy host that may be gone at the next try.
PASSING = frozenset(
    {
        errno.EAGAIN,
        errno.EBUSY,
        errno.EINTR,
        errno.EIO,
        errno.ENOLCK,
        errno.ESTALE,
        errno.ETIMEDOUT,
        errno.ENETDOWN,
        errno.ENETUNREACH,
        errno.EHOSTUNREACH,
        errno.ECONNRESET,
        errno.EREMOTEIO,
        errno.ETXTBSY,
    }
)
_HINTS = {
    errno.EACCES: "Let the user that runs the appliance read it (chmod, chown, setfacl).",
    errno.EPERM: "Let the user that runs the appliance read it (chmod, chown, setfacl).",
    errno.ENOENT: "It was removed or renamed while the task ran; ingest the folder again.",
    errno.ELOOP: "Its symbolic links lead in a circle; remove them.",
}
log = structlog.get_logger(__name__)


class FileReader:
    """Makes a unit of a file. Not thread-safe; owns nothing but the copies it makes in `scratch`."""

    def __init__(self, reader: ReaderProcess, embedder: Embedder, settings: Settings, scratch: Path) -> None:
        self._reader = reader
        self._embedder = embedder
        self._chunk_tokens = settings.chunk_tokens
        self._scratch = scratch
        self._limits = ReaderLimits(
            memory_bytes=settings.reader_memory_bytes,
            cpu_s=math.ceil(settings.reader_timeout_s),
            wall_s=1.5 * settings.reader_timeout_s,
            output_characters=settings.reader_output_characters,
            input_bytes=settings.file_bytes,
        )

    def unit(self, item: ItemRow, unchanged: Callable[[str, str], bool], stopped: Callable[[], bool]) -> Unit:
        """The file read and cut, or why not. `unchanged` (source, sha256) says that there is nothing to do.

        Raises Stopped, and what is the surroundings' fault (see breaker.cause).
        """
        unit = Unit(item)
        try:
            with stage("ingest.read"):
                note(file=item.id)
                self._fill(unit, unchanged, stopped)
                note(skipped=unit.skipped or None, chunks=unit.chunks)
            reached("ingest.file_read")
        except DocumentError as error:
            unit.fail(error)
        except OSError as error:
            if cause(error):
                raise
            unit.fail(unreadable(error))
        return unit

    def _fill(self, unit: Unit, unchanged: Callable[[str, str], bool], stopped: Callable[[], bool]) -> None:
        item = unit.item
        before, digest = self._hash(item.path, stopped)
        unit.sha256 = digest
        if unchanged(item.source, digest):
            unit.skipped = True
            return
        items: list[ReadItem] | None = None
        if is_text(item.path):
            items = self._reader.read(path_from_bytes(item.path), item.source, limits=self._limits)
        if items is None or _state(os.stat(item.path)) != before:  # noqa: PTH116 - bytes
            unit.sha256, items = self._read_copy(item, stopped)
        self._cut(unit, items, stopped)

    def _hash(self, path: bytes, stopped: Callable[[], bool]) -> tuple[tuple[int, ...], str]:
        """-> (state of the file before its bytes were read, sha256)."""
        digest = hashlib.sha256()
        with _open(path, self._limits.input_bytes) as descriptor:
            before = _state(os.fstat(descriptor))
            for block in _blocks(descriptor, self._limits.input_bytes, stopped):
                digest.update(block)
        return before, digest.hexdigest()

    def _read_copy(self, item: ItemRow, stopped: Callable[[], bool]) -> tuple[str, list[ReadItem]]:
        """-> (sha256, what was read) of a private copy: for a file that changes meanwhile, or whose name is no text."""
        self._scratch.mkdir(mode=0o700, parents=True, exist_ok=True)
        suffix = "".join(c for c in Path(item.source).suffix if c.isascii() and c.isprintable())[:16]
        copy = self._scratch / f"copy{suffix}"
        digest = hashlib.sha256()
        try:
            with _open(item.path, self._limits.input_bytes) as descriptor, copy.open("wb") as target:
                for block in _blocks(descriptor, self._limits.input_bytes, stopped):
                    digest.update(block)
                    target.write(block)
            return digest.hexdigest(), self._reader.read(copy, item.source, limits=self._limits)
        finally:
            shutil.rmtree(self._scratch, ignore_errors=True)

    def _cut(self, unit: Unit, items: list[ReadItem], stopped: Callable[[], bool]) -> None:
        for read in items:
            if stopped():
                raise Stopped
            if read.document is not None:
                with stage("ingest.chunk"):
                    draft = self._draft(read)
                    note(chunks=len(draft.spans))
                unit.drafts.append(draft)
                unit.weight += len(read.document.text) + CHUNK_WEIGHT * len(draft.spans)
            elif read.source == unit.item.source:
                raise read.error or DocumentError("Nothing could be read.", code="unreadable")
            elif read.error is not None:
                unit.members.append((read.source, read.error))
        if not unit.drafts and not unit.members:
            raise DocumentError("There is nothing in it to read.", code="empty", hint="Put documents into it.")
        unit.left = unit.chunks

    def _draft(self, read: ReadItem) -> Draft:
        assert read.document is not None
        try:
            spans = chunk_document(read.document, self._embedder.token_spans, max_tokens=self._chunk_tokens)
        except (ArithmeticError, LookupError, ValueError, AssertionError, RecursionError) as error:
            log.exception("chunking_failed", media_type=read.document.media_type)
            hint = "The appliance has a defect with this document; convert it to another format and report it."
            raise DocumentError(
                f"It could not be cut into chunks: {error}", code="chunking_failed", hint=hint
            ) from error
        return Draft(read.source, read.document, spans)


def unreadable(error: OSError) -> DocumentError:
    """Why the host will not let us read a file, and whether it may do so later."""
    reason = error.strerror or str(error)
    number = error.errno or 0
    hint = _HINTS.get(number, "Check the file system that it is on (dmesg, mount).")
    return DocumentError(f"The file cannot be read: {reason}.", code="unreadable", hint=hint, passing=number in PASSING)


@contextlib.contextmanager
def _open(path: bytes, limit: int) -> Iterator[int]:
    """A descriptor of a regular file of at most `limit` bytes; never waits on a pipe that took its place."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if stat.S_ISDIR(found.st_mode):
            hint = "Ingest the folder again: its files were not listed."
            raise DocumentError("It is a folder.", code="unlisted_folder", hint=hint)
        if not stat.S_ISREG(found.st_mode):
            raise DocumentError("It is not a regular file.", code="unsupported", hint="Only regular files are read.")
        _check_size(found.st_size, limit)
        yield descriptor
    finally:
        os.close(descriptor)


def _blocks(descriptor: int, limit: int, stopped: Callable[[], bool]) -> Iterator[bytes]:
    size = 0
    while block := os.read(descriptor, BLOCK_BYTES):
        if stopped():
            raise Stopped
        size += len(block)
        INGESTED_BYTES.inc(len(block))
        _check_size(size, limit)
        yield block


def _check_size(size: int, limit: int) -> None:
    if size > limit:
        raise DocumentError(
            f"It has {size:,} bytes; the limit is {limit:,}.",
            code="too_large",
            hint="Split it, or raise the setting file_bytes.",
        )


def _state(found: os.stat_result) -> tuple[int, ...]:
    """Changes whenever the content may have."""
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
