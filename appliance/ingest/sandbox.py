"""Reads documents in a child process without network, with bounded memory and time; its death costs one document."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

import msgspec

import appliance
from appliance.errors import DocumentError
from appliance.ingest.readers.limits import MIB, ReaderLimits
from appliance.ingest.readers.protocol import (
    LENGTH,
    Failed,
    Finished,
    Hello,
    Message,
    Read,
    Request,
    Started,
    decode_message,
    encode,
    frame_limit,
    is_sound,
)
from appliance.types import ReadDocument

__all__ = ["ReadItem", "ReaderLimits", "ReaderProcess"]

READER_COMMAND = (sys.executable, "-m", "appliance.ingest.readers")
_START_S = 60.0
_MAX_RESTARTS = 3  # for one file; an archive that kills the child more often is given up


@dataclass(frozen=True, slots=True)
class ReadItem:
    """One document of a file: `document`, or the `error` that it cost.

    `source` is "archive.zip!/inner/a.txt" for a member.
    """

    source: str
    document: ReadDocument | None
    error: DocumentError | None = None


@dataclass(slots=True)
class _Reading:
    """How far one `read` has come: answers so far, and the member that the child is at."""

    items: list[ReadItem] = field(default_factory=list)
    index: int = 0
    source: str = ""


class _Death(Exception):
    """The child is gone, or was sent away; `code` is the DocumentError code of the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


_HINTS = {
    "timeout": "Split it, or raise the time limit of the reader.",
    "memory": "Split it, or raise the memory limit of the reader.",
    "output_limit": "Split it, or raise the limit on text per document.",
    "reader_crashed": "The reader has a defect with this file; convert it to another format.",
}


def _allows_execution(folder: Path | None) -> Path | None:
    """`folder`, made where it is missing; None where no library can be loaded from it. Raises OSError."""
    if folder is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return None if os.statvfs(folder).f_flag & os.ST_NOEXEC else folder


class ReaderProcess:
    """Owns one child, started when first needed and again after a crash, a limit, or its share of files or memory.

    Thread-safe: one file at a time. `command` starts the child (a frozen binary passes its own hidden command). It is
    replaced after `recycle_after` files, or when it keeps more than `recycle_bytes` resident. While it starts, it
    unpacks a library into a private folder below `scratch`, or the system's where that is None or mounted noexec.
    `heard` is called with every message of the child.
    """

    def __init__(
        self,
        command: Sequence[str] = READER_COMMAND,
        *,
        scratch: Path | None = None,
        recycle_after: int = 5000,
        recycle_bytes: int = 512 * MIB,
        heard: Callable[[], object] = lambda: None,
    ) -> None:
        self._command = tuple(command)
        self._heard = heard
        self._recycle_after = recycle_after
        self._recycle_bytes = recycle_bytes
        self._lock = threading.Lock()
        self._interrupted = False  # the child was killed, although it may not have noticed yet
        self._child: subprocess.Popen[bytes] | None = None
        self._scratch = scratch
        self._errors: IO[bytes] | None = None  # the child's standard error, in memory
        self._files = 0
        self._closing = False
        self.protection = (
            ""  # what keeps the running child from the network: seccomp, namespace or none; "" before the first
        )
        self.starts = 0

    def __enter__(self) -> "ReaderProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child at once; what it is reading fails as one that may pass. A later `read` starts a new one."""
        self._closing = True
        self._interrupted = True
        child = self._child
        if child is not None:
            child.kill()
        with self._lock:
            self._end()
            self._closing = False

    def interrupt(self) -> None:
        """Kills the child in the middle of another thread's `read`, which then answers with an error. Does not wait."""
        self._interrupted = True
        child = self._child
        if child is not None:
            child.kill()

    def read(self, path: Path, source: str, *, limits: ReaderLimits | None = None) -> list[ReadItem]:
        """Every document in the file at `path`, which the operator calls `source`.

        Never raises for what is in the file.
        """
        limits = limits or ReaderLimits()
        reading = _Reading(source=source)
        deadline = time.monotonic() + limits.total_wall_s
        with self._lock:
            for _ in range(_MAX_RESTARTS + 1):
                try:
                    self._read(Request(os.fsencode(path.absolute()), source, limits, reading.index), reading, deadline)
                    return reading.items
                except _Death as death:
                    self._end()
                    reading.items.append(ReadItem(reading.source, None, self._error(death)))
                    if reading.source == source or self._closing or time.monotonic() > deadline:
                        return reading.items
                    reading.index += 1
                    reading.source = source
        message = f"its members stopped the reader {_MAX_RESTARTS + 1} times; the rest was left out"
        reading.items.append(
            ReadItem(source, None, DocumentError(message, code="reader_crashed", hint=_HINTS["reader_crashed"]))
        )
        return reading.items

    def _error(self, death: _Death) -> DocumentError:
        if self._closing:
            return DocumentError("reading was stopped", code="reader_crashed", hint="Try again.", passing=True)
        return DocumentError(str(death), code=death.code, hint=_HINTS[death.code], passing=death.code == "timeout")

    def _read(self, request: Request, reading: _Reading, deadline: float) -> None:
        """Sends one request and takes answers until Finished. Raises _Death."""
        self._start()
        limit = frame_limit(request.limits)
        self._write(encode(request))
        while True:
            member_deadline = min(deadline, time.monotonic() + request.limits.wall_s)
            message = self._receive(member_deadline, limit)
            self._heard()
            if isinstance(message, Started):
                reading.index, reading.source = message.index, message.source
            elif isinstance(message, Read | Failed):
                reading.items.append(_item(message, request.source))
            elif isinstance(message, Finished):
                self._files += 1
                if self._files >= self._recycle_after or message.rss_bytes > self._recycle_bytes:
                    self._end()
                return
            else:
                raise _Death("reader_crashed", "the reader spoke out of turn")

    def _start(self) -> None:
        if self._child is not None and self._child.poll() is None and not self._interrupted:
            return
        self._interrupted = False
        self._end()
        with tempfile.TemporaryDirectory(prefix="rag-reader-", dir=_allows_execution(self._scratch)) as scratch:
            self._spawn(scratch)
            hello = self._receive(time.monotonic() + _START_S, 1 << 16)
        if not isinstance(hello, Hello):
            raise _Death("reader_crashed", "the reader did not start")
        self.protection = hello.protection
        self._files = 0

    def _spawn(self, scratch: str) -> None:
        self._errors = os.fdopen(os.memfd_create("reader-errors"), "w+b", buffering=0)
        root = str(Path(appliance.__file__).resolve().parents[1])
        environment = {"PYTHONPATH": root, "PYTHONUTF8": "1", "PYTHONDONTWRITEBYTECODE": "1", "MALLOC_ARENA_MAX": "2",
        "TMPDIR": scratch,
                       "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1",
                       "LC_ALL": "C.UTF-8"}  # fmt: skip
        errors = os.open(f"/proc/self/fd/{self._errors.fileno()}", os.O_WRONLY | os.O_APPEND)
        try:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                env=environment,
                cwd="/",
                bufsize=0,
            )
        finally:
            os.close(errors)
        self.starts += 1

    def _end(self) -> None:
        child, self._child = self._child, None
        if self._errors:
            self._errors.close()
            self._errors = None
        if child is None:
            return
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            if pipe:
                pipe.close()

    def _write(self, frame: bytes) -> None:
        assert self._child
        assert self._child.stdin
        try:
            self._child.stdin.write(frame)
        except OSError as error:
            raise self._post_mortem() from error

    def _receive(self, deadline: float, limit: int) -> Message:
        (length,) = LENGTH.unpack(self._receive_bytes(LENGTH.size, deadline))
        if length > limit:
            raise _Death("output_limit", f"its text takes more than {limit:,} bytes")
        try:
            message = decode_message(self._receive_bytes(length, deadline))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _Death("reader_crashed", f"the reader gave a wrong answer: {error}") from error
        if isinstance(message, Read) and not is_sound(message.document):
            raise _Death("reader_crashed", "the reader gave positions outside the text")
        return message

    def _receive_bytes(self, count: int, deadline: float) -> bytearray:
        assert self._child
        assert self._child.stdout
        pipe = self._child.stdout.fileno()
        received = bytearray()
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        while len(received) < count:
            left = deadline - time.monotonic()
            if left <= 0 or not poll.poll(left * 1000):
                raise _Death("timeout", "reading it takes longer than allowed")
            part = os.read(pipe, min(count - len(received), MIB))
            if not part:
                raise self._post_mortem()
            received += part
        return received

    def _post_mortem(self) -> _Death:
        """Why the child died, by its exit status and its last words."""
        assert self._child
        try:
            status = self._child.wait(5)
        except subprocess.TimeoutExpired:
            return _Death("reader_crashed", "the reader closed its pipe")
        assert self._errors
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 4096))
        words = self._errors.read().decode("utf-8", "replace").strip()
        if status == -signal.SIGXCPU:
            return _Death("timeout", "reading it takes more processor time than allowed")
        if (
            status == -signal.SIGKILL
            or "memory allocation of" in words
            or "MemoryError" in words
            or "bad_alloc" in words
        ):
            return _Death("memory", "reading it takes more memory than allowed")
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        last = words.rpartition("\n")[2][:200]
        return _Death("reader_crashed", f"the reader died ({name})" + (f": {last}" if last else ""))


def _item(message: Read | Failed, source: str) -> ReadItem:
    """A child can only answer for the file it was given and for members of it."""
    name = message.source if message.source.startswith(f"{source}!/") else source
    if isinstance(message, Read):
        return ReadItem(name, message.document)
    return ReadItem(name, None, message.error())
