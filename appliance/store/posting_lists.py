"""Stored posting lists by token; those asked for last stay in memory, for questions share their common words."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import apsw
import numpy as np

from appliance.store.database import fetch
from appliance.store.inverted import Postings, decoded

MAX_BYTES = 160 * 1024**2  # of lists in memory, of all collections together
OVERHEAD_BYTES = 400  # of a list in memory, about

Lists = dict[int, Postings]  # by segment


class PostingLists:
    """Thread-safe. Segments never change, so neither do their lists."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, tuple[tuple[int, ...], Lists, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def of(self, connection: apsw.Connection, segments: tuple[int, ...], tokens: Iterable[str]) -> dict[str, Lists]:
        """For each token its lists in the segments that hold it."""
        found = self._known_of(segments, tokens)
        missing = sorted(set(tokens) - found.keys())
        found |= {token: {} for token in missing}
        query = "SELECT segment, token, postings FROM posting_lists WHERE segment IN "
        query += f"(SELECT value FROM carray(?)) AND token IN ({_marks(missing)})"
        for segment, token, postings in fetch(connection, query, (_array(segments), *missing)) if missing else ():
            found[token][segment] = decoded(postings)
        with self._lock:
            for token in missing:
                self._keep(token, segments, found[token])
        return found

    def counts(self, connection: apsw.Connection, segments: tuple[int, ...], tokens: Sequence[str]) -> dict[str, int]:
        """In how many rows each token occurs; lists that are not in memory are not read."""
        known = self._known_of(segments, tokens)
        counts = {token: sum(len(rows) for rows, _ in lists.values()) for token, lists in known.items()}
        missing = sorted(set(tokens) - known.keys())
        query = "SELECT token, sum(length(postings)) / 4 FROM posting_lists WHERE segment IN "
        query += f"(SELECT value FROM carray(?)) AND token IN ({_marks(missing)}) GROUP BY token"
        return counts | dict(fetch(connection, query, (_array(segments), *missing)) if missing else ())

    def forget(self) -> None:
        with self._lock:
            self._known.clear()
            self._bytes = 0

    def _known_of(self, segments: tuple[int, ...], tokens: Iterable[str]) -> dict[str, Lists]:
        found: dict[str, Lists] = {}
        with self._lock:
            for token in set(tokens):
                known = self._known.get(token)
                if known is not None and known[0] == segments:
                    self._known.move_to_end(token)
                    found[token] = known[1]
        return found

    def _keep(self, token: str, segments: tuple[int, ...], lists: Lists) -> None:
        size = sum(OVERHEAD_BYTES + rows.nbytes + counts.nbytes for rows, counts in lists.values()) + OVERHEAD_BYTES
        self._bytes += size - self._known.pop(token, (segments, lists, 0))[2]
        self._known[token] = segments, lists, size
        while self._bytes > MAX_BYTES:
            self._bytes -= self._known.popitem(last=False)[1][2]


def _array(segments: tuple[int, ...]) -> "apsw.SQLiteValue":
    return apsw.carray(np.array(segments, dtype=np.int64))


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
