"""The child process that reads documents: its start, its messages, and why it died."""

import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import msgspec

import appliance
from appliance.ingest.readers.limits import MIB
from appliance.ingest.readers.protocol import LENGTH, Hello, Message, Read, Request, decode_message, encode, is_sound

READER_COMMAND = (sys.executable, "-m", "appliance.ingest.readers")
_START_S = 60.0


class Death(Exception):
    """The child is gone, or was sent away; `code` is the DocumentError code of the cause."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class ReaderChild:
    """One child at a time, without network; for one thread but for `kill`.

    `protection` is what keeps it from the network: seccomp, namespace or none; "" before the first has started.
    """

    def __init__(self, command: Sequence[str], scratch: Path | None) -> None:
        self._command, self._scratch = tuple(command), scratch
        self._child: subprocess.Popen[bytes] | None = None
        self._killed = False  # although it may not have noticed yet
        self._errors: IO[bytes] | None = None  # its standard error, in memory
        self.protection = ""
        self.starts = 0

    @property
    def running(self) -> bool:
        return self._child is not None

    def kill(self) -> None:
        """From any thread, in the middle of what it does. Does not wait."""
        self._killed = True
        child = self._child
        if child is not None:
            child.kill()

    def start(self) -> bool:
        """False where one runs already. Raises Death when it does not come to life."""
        if self._child is not None and self._child.poll() is None and not self._killed:
            return False
        self._killed = False
        self.end()
        with tempfile.TemporaryDirectory(prefix="rag-reader-", dir=_allows_execution(self._scratch)) as scratch:
            self._spawn(scratch)
            hello = self.receive(time.monotonic() + _START_S, 1 << 16)
        if not isinstance(hello, Hello):
            raise Death("reader_crashed", "the reader did not start")
        self.protection = hello.protection
        return True

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

    def end(self) -> None:
        """Kill it and wait for it; nothing is left of it."""
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

    def send(self, request: Request) -> None:
        """Raises Death."""
        assert self._child
        assert self._child.stdin
        try:
            self._child.stdin.write(encode(request))
        except OSError as error:
            raise self._post_mortem() from error

    def receive(self, deadline: float, limit: int) -> Message:
        """The next message, of at most `limit` bytes, before `deadline` (`time.monotonic()`). Raises Death."""
        (length,) = LENGTH.unpack(self._receive_bytes(LENGTH.size, deadline))
        if length > limit:
            raise Death("output_limit", f"its text takes more than {limit:,} bytes")
        try:
            message = decode_message(self._receive_bytes(length, deadline))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Death("reader_crashed", f"the reader gave a wrong answer: {error}") from error
        if isinstance(message, Read) and not is_sound(message.document):
            raise Death("reader_crashed", "the reader gave positions outside the text")
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
                raise Death("timeout", "reading it takes longer than allowed")
            part = os.read(pipe, min(count - len(received), MIB))
            if not part:
                raise self._post_mortem()
            received += part
        return received

    def _post_mortem(self) -> Death:
        """Why the child died, by its exit status and its last words."""
        assert self._child
        try:
            status = self._child.wait(5)
        except subprocess.TimeoutExpired:
            return Death("reader_crashed", "the reader closed its pipe")
        assert self._errors
        size = self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, size - 4096))
        words = self._errors.read().decode("utf-8", "replace").strip()
        if status == -signal.SIGXCPU:
            return Death("timeout", "reading it takes more processor time than allowed")
        if (
            status == -signal.SIGKILL
            or "memory allocation of" in words
            or "MemoryError" in words
            or "bad_alloc" in words
        ):
            return Death("memory", "reading it takes more memory than allowed")
        name = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        last = words.rpartition("\n")[2][:200]
        return Death("reader_crashed", f"the reader died ({name})" + (f": {last}" if last else ""))


def _allows_execution(folder: Path | None) -> Path | None:
    """`folder`, made where it is missing; None where no library can be loaded from it. Raises OSError."""
    if folder is None:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return None if os.statvfs(folder).f_flag & os.ST_NOEXEC else folder
