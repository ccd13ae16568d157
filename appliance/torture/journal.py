"""What was asked of the server and what it acknowledged, written through to a file of its own before it counts."""

import json
import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

ABSENT = 0  # the version of a document that is not there


@dataclass(slots=True)
class Entry:
    """One source. `settled` is the version known to be in force; `sent` one asked for since, `certain` once accepted.

    Versions count from 1. While `sent` is not certain either of the two may be in force; once it is, only `sent`.
    """

    collection: str
    settled: int = ABSENT
    sent: int | None = None
    certain: bool = False
    versions: int = 0

    @property
    def possible(self) -> frozenset[int]:
        """What may be in force once no task is unfinished."""
        if self.sent is None:
            return frozenset({self.settled})
        return frozenset({self.sent} if self.certain else {self.settled, self.sent})


class Journal:
    """Thread-safe. One change of a source at a time: the next is proposed when the one before is settled."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a", encoding="utf-8")
        self._lock = threading.Lock()
        self._entries: dict[str, Entry] = {}
        self.documents = 0  # acknowledged so far
        self.deletions = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def propose(self, sources: Iterable[str], collection: str = "default", *, gone: bool = False) -> dict[str, int]:
        """About to be asked for: a new version of each, or its deletion; -> source: version."""
        with self._lock:
            proposed: dict[str, int] = {}
            for source in sources:
                entry = self._entries.setdefault(source, Entry(collection))
                if entry.sent is not None:
                    raise ValueError(f"{source}: a change is under way")
                entry.versions += not gone
                entry.sent = proposed[source] = ABSENT if gone else entry.versions
                entry.certain = False
                entry.collection = collection
            self._write("sent", versions=proposed)
            return proposed

    def accepted(self, sources: Iterable[str], task: str = "") -> None:
        """The server has said that it will be done: it is durable."""
        with self._lock:
            names = list(sources)
            for source in names:
                self._entries[source].certain = True
            self._write("accepted", sources=names, task=task)

    def acknowledged(self, sources: Iterable[str]) -> None:
        """The server has said that it is done."""
        with self._lock:
            names = [source for source in sources if self._entries[source].sent is not None]
            for source in names:
                entry = self._entries[source]
                self.documents += entry.sent != ABSENT
                self.deletions += entry.sent == ABSENT
                self._settle(entry, entry.sent or ABSENT)
            self._write("acknowledged", sources=names)

    def refused(self, sources: Iterable[str]) -> None:
        """The server has said that it will not be done."""
        with self._lock:
            names = list(sources)
            for source in names:
                self._settle(self._entries[source], self._entries[source].settled)
            self._write("refused", sources=names)

    def observed(self, source: str, version: int) -> None:
        """With no task unfinished this version is in force: that is settled from now on."""
        with self._lock:
            if self._entries[source].sent is not None:
                self._write("observed", versions={source: version})
            self._settle(self._entries[source], version)

    def note(self, event: str, **told: object) -> None:
        """A line about the run itself: a kill, a start, a problem."""
        with self._lock:
            self._write(event, **told)

    def entries(self) -> dict[str, Entry]:
        """A copy: source -> entry."""
        with self._lock:
            return {
                source: Entry(entry.collection, entry.settled, entry.sent, entry.certain, entry.versions)
                for source, entry in self._entries.items()
            }

    def entry(self, source: str) -> Entry:
        """A copy of one."""
        with self._lock:
            found = self._entries[source]
            return Entry(found.collection, found.settled, found.sent, found.certain, found.versions)

    @staticmethod
    def _settle(entry: Entry, version: int) -> None:
        entry.settled, entry.sent, entry.certain = version, None, False

    def _write(self, event: str, **told: object) -> None:
        line = json.dumps({"at": round(time.time(), 3), "event": event, **told})
        self._file.write(line + "\n")
        self._file.flush()
        os.fsync(self._file.fileno())
