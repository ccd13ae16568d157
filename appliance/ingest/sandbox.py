"""Reads documents in a child process without network, with bounded memory and time; its death costs one document."""

import os
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

from appliance.errors import DocumentError
from appliance.ingest.reader_child import READER_COMMAND, Death, ReaderChild
from appliance.ingest.readers.limits import MIB, ReaderLimits
from appliance.ingest.readers.protocol import (
    Failed,
    Finished,
    Read,
    Request,
    Started,
    frame_limit,
)
from appliance.types import ReadDocument

__all__ = ["ReadItem", "ReaderLimits", "ReaderProcess"]

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


_HINTS = {
    "timeout": "Split it, or raise the time limit of the reader.",
    "memory": "Split it, or raise the memory limit of the reader.",
    "output_limit": "Split it, or raise the limit on text per document.",
    "reader_crashed": "The reader has a defect with this file; convert it to another format.",
}


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
        self._child = ReaderChild(command, scratch)
        self._heard = heard
        self._recycle_after = recycle_after
        self._recycle_bytes = recycle_bytes
        self._lock = threading.Lock()
        self._files = 0
        self._closing = False

    @property
    def protection(self) -> str:
        """What keeps the running child from the network: seccomp, namespace or none; "" before the first."""
        return self._child.protection

    @property
    def starts(self) -> int:
        return self._child.starts

    @property
    def running(self) -> bool:
        return self._child.running

    def __enter__(self) -> "ReaderProcess":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the child at once; what it is reading fails as one that may pass. A later `read` starts a new one."""
        self._closing = True
        self._child.kill()
        with self._lock:
            self._child.end()
            self._closing = False

    def interrupt(self) -> None:
        """Kills the child in the middle of another thread's `read`, which then answers with an error. Does not wait."""
        self._child.kill()

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
                except Death as death:
                    self._child.end()
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

    def _error(self, death: Death) -> DocumentError:
        if self._closing:
            return DocumentError("reading was stopped", code="reader_crashed", hint="Try again.", passing=True)
        return DocumentError(str(death), code=death.code, hint=_HINTS[death.code], passing=death.code == "timeout")

    def _read(self, request: Request, reading: _Reading, deadline: float) -> None:
        """Sends one request and takes answers until Finished. Raises Death."""
        if self._child.start():
            self._files = 0
        limit = frame_limit(request.limits)
        self._child.send(request)
        while True:
            member_deadline = min(deadline, time.monotonic() + request.limits.wall_s)
            message = self._child.receive(member_deadline, limit)
            self._heard()
            if isinstance(message, Started):
                reading.index, reading.source = message.index, message.source
            elif isinstance(message, Read | Failed):
                reading.items.append(_item(message, request.source))
            elif isinstance(message, Finished):
                self._files += 1
                if self._files >= self._recycle_after or message.rss_bytes > self._recycle_bytes:
                    self._child.end()
                return
            else:
                raise Death("reader_crashed", "the reader spoke out of turn")


def _item(message: Read | Failed, source: str) -> ReadItem:
    """A child can only answer for the file it was given and for members of it."""
    name = message.source if message.source.startswith(f"{source}!/") else source
    if isinstance(message, Read):
        return ReadItem(name, message.document)
    return ReadItem(name, None, message.error())
