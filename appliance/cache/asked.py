"""How often questions were asked, where the operator lets them be kept: what is worth computing before anybody asks."""

import contextlib
import json
import threading
from pathlib import Path

import structlog

from appliance.cache.tally import Tally
from appliance.types import Mode

log = structlog.get_logger(__name__)

FILE = "asked.json"
MOST = 2000  # questions that are counted, over all collections
LONGEST = 500  # characters of one


class AskedQuestions:
    """Counts of plain questions by collection and mode, in memory and in a file of the cache. Thread-safe."""

    def __init__(self, directory: Path, *, on: bool) -> None:
        self._path, self._on = directory / FILE, on
        self._lock = threading.Lock()
        self._counts: Tally[tuple[str, str, str]] = Tally(MOST, self._read() if on else {})
        self._written = self._counts.total
        if not on:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)

    def note(self, collection: str, mode: str, text: str) -> None:
        """One more."""
        if not self._on or len(text) > LONGEST:
            return
        one = (collection, mode, " ".join(text.split()))
        with self._lock:
            self._counts.add(one)

    def most(self, collection: str, number: int) -> list[tuple[str, str]]:
        """(mode, text) of the questions to a collection that were asked most, the most frequent first."""
        with self._lock:
            here = [(count, mode, text) for (name, mode, text), count in self._counts.items() if name == collection]
        return [(mode, text) for _, mode, text in sorted(here, key=lambda one: (-one[0], one[2]))[:number]]

    def forget(self, collection: str | None = None) -> None:
        """Those of a collection, or all; also in the file."""
        with self._lock:
            for one, _ in self._counts.items():
                if collection in {None, one[0]}:
                    self._counts.forget(one)
            self._written = -1
        self.write()

    def write(self) -> None:
        """Into the file, if anything was asked since. What cannot be written is lost with this process."""
        with self._lock:
            total = self._counts.total
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
            return {(str(c), Mode(m).value, str(t)): max(1, int(n)) for c, m, t, n in rows}
        return {}
