"""How often questions were asked, where the operator lets them be kept: what is worth computing before anybody asks."""

import contextlib
import json
import threading
from collections import Counter
from pathlib import Path

import structlog

from appliance.types import Mode

log = structlog.get_logger(__name__)

FILE = "asked.json"
MOST = 2000  # questions that are counted, over all collections
LONGEST = 500  # characters of one


class AskedQuestions:
    """Counts of plain questions by collection and mode, in memory and in a file of the cache. Thread-safe.

    Where there is no room the one that was asked least makes some, and the new one inherits its count ("space saving",
    Metwally et al. 2005): whatever is asked more often than 1 / MOST of the time is counted for sure.
    """

    def __init__(self, directory: Path, *, on: bool) -> None:
        self._path, self._on = directory / FILE, on
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter(self._read() if on else {})
        self._written = self._counts.total()
        if not on:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def note(self, collection: str, mode: str, text: str) -> None:
        """One more."""
        if not self._on or len(text) > LONGEST:
            return
        one = (collection, mode, " ".join(text.split()))
        with self._lock:
            if one not in self._counts and len(self._counts) >= MOST:
                least, count = min(self._counts.items(), key=lambda pair: pair[1])
                del self._counts[least]
                self._counts[one] = count
            self._counts[one] += 1

    def most(self, collection: str, number: int) -> list[tuple[str, str]]:
        """(mode, text) of the questions to a collection that were asked most, the most frequent first."""
        with self._lock:
            here = [(count, mode, text) for (name, mode, text), count in self._counts.items() if name == collection]
        return [(mode, text) for _, mode, text in sorted(here, key=lambda one: (-one[0], one[2]))[:number]]

    def forget(self, collection: str | None = None) -> None:
        """Those of a collection, or all; also in the file."""
        with self._lock:
            for one in [one for one in self._counts if collection in {None, one[0]}]:
                del self._counts[one]
            self._written = -1
        self.write()

    def write(self) -> None:
        """Into the file, if anything was asked since. What cannot be written is lost with this process."""
        with self._lock:
            total = self._counts.total()
            if not self._on or total == self._written:
                return
            rows = [[*one, count] for one, count in self._counts.items()]
            self._written = total
        beside = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            beside.touch(mode=0o600)
            beside.write_text(json.dumps(rows), "utf-8")
            beside.replace(self._path)
        except OSError as error:
            log.warning("asked_questions_not_written", detail=str(error))

    def _read(self) -> dict[tuple[str, str, str], int]:
        with contextlib.suppress(OSError, ValueError, TypeError):
            rows = json.loads(self._path.read_text("utf-8"))[:MOST]
            return {(str(c), Mode(m).value, str(t)): int(n) for c, m, t, n in rows}
        return {}
