"""Stored posting lists by token; those asked for last stay in memory, for questions share their common words."""

import threading
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from itertools import accumulate
from typing import NamedTuple, TypeAlias

import apsw
import numpy as np

from appliance.store import fulltext
from appliance.store.database import fetch
from appliance.store.inverted import decoded
from appliance.store.parts import Lengths, Lists
from appliance.store.posting_rows import Range
from appliance.words import FUNCTION_WORDS

MAX_BYTES = 256 * 1024**2  # of lists in memory, of all collections together
OVERHEAD_BYTES = 400  # of a list in memory, about
MOST_COMMON = 4096  # tokens whose lists are worth reading before they are asked for: nine of ten in questions
COMMON_BYTES = 224  # a chunk that they may fill; and in any case:
LEAST_BYTES = 4 * 1024**2
SAMPLED = 3  # segments that tell which tokens are common
MOST_READ = 48  # tokens whose lists are read when they are to be counted


_Key: TypeAlias = tuple[int, str]  # collection, token


class _Kept(NamedTuple):
    """The lists of a token in the segments it was looked for in, in how many rows it occurs, and bytes in memory."""

    segments: tuple[int, ...]
    lists: Lists
    rows: int
    size: int


class PostingLists:
    """Thread-safe. Segments never change, so neither do their lists."""

    def __init__(self) -> None:
        self._known: OrderedDict[_Key, _Kept] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def of(
        self, connection: apsw.Connection, collection: int, lengths: Mapping[int, Lengths], tokens: Iterable[str]
    ) -> dict[str, Lists]:
        """For each token its lists in those of the segments that hold it."""
        segments = tuple(lengths)
        found = {token: kept.lists for token, kept in self._known_of(collection, segments, tokens).items()}
        missing = sorted(set(tokens) - found.keys())
        if not missing:
            return found
        lacking: dict[tuple[int, ...], list[str]] = {}  # segments to look in -> tokens
        with self._lock:
            for token in missing:
                known = self._known.get((collection, token), _NOTHING)
                found[token] = {segment: coded for segment, coded in known.lists.items() if segment in lengths}
                unread = tuple(segment for segment in segments if segment not in known.segments)
                lacking.setdefault(unread, []).append(token)
        for unread, some in lacking.items():
            for segment, token, postings in _stored(connection, unread, some):
                found[token][segment] = lengths[segment].coded(decoded(postings))
        with self._lock:
            for token in missing:
                self._keep((collection, token), segments, found[token])
        return found

    def counts(
        self, connection: apsw.Connection, collection: int, lengths: Mapping[int, Lengths], tokens: Sequence[str]
    ) -> dict[str, int]:
        """In how many rows each token occurs. Lists that are not in memory are read where they are those of few tokens,
        for they are asked for next; else only measured, for which SQLite looks for them just as long.
        """
        segments = tuple(lengths)
        counts = {token: kept.rows for token, kept in self._known_of(collection, segments, tokens).items()}
        missing = sorted(set(tokens) - counts.keys())
        if len(missing) <= MOST_READ:
            read = self.of(connection, collection, lengths, missing) if missing else {}
            return counts | {token: _rows(lists) for token, lists in read.items()}
        query = "SELECT token, sum(length(postings)) / 4 FROM posting_lists WHERE segment IN "
        query += f"(SELECT value FROM carray(?)) AND token IN ({_marks(missing)}) GROUP BY token"
        return counts | dict(fetch(connection, query, (_array(segments), *missing)))

    def forget(self) -> None:
        with self._lock:
            self._known.clear()
            self._bytes = 0

    def common(self, connection: apsw.Connection, ranges: Sequence[Range]) -> list[str]:
        """The tokens with the longest lists, longest first, as far as memory is for them; none that questions leave
        out.

        Walks through the tokens of few segments: what is common in a collection is common in each large one.
        """
        if not ranges:
            return []
        chunks, sample = sum(held.rows for held in ranges), _sample(ranges)
        longest = "SELECT * FROM (SELECT token, length(postings) AS bytes FROM posting_lists WHERE segment = ? "
        each = " UNION ALL ".join([longest + "ORDER BY bytes DESC LIMIT ?)"] * len(sample))
        query = f"SELECT token, sum(bytes) FROM ({each}) GROUP BY token ORDER BY 2 DESC LIMIT ?"
        limits = [value for held in sample for value in (held.segment, MOST_COMMON)]
        left_out = set(fulltext.document_terms(connection)(" ".join(FUNCTION_WORDS)))
        asked = [row for row in fetch(connection, query, (*limits, MOST_COMMON)) if row[0] not in left_out]
        times = chunks / max(1, sum(held.rows for held in sample))
        sizes = accumulate(length * times + (len(ranges) + 1) * OVERHEAD_BYTES for _, length in asked)
        most = min(MAX_BYTES, max(LEAST_BYTES, COMMON_BYTES * chunks))
        return [row[0] for row, size in zip(asked, sizes, strict=True) if size <= most]

    def _known_of(self, collection: int, segments: tuple[int, ...], tokens: Iterable[str]) -> dict[str, _Kept]:
        found: dict[str, _Kept] = {}
        with self._lock:
            for token in tokens:
                key = collection, token
                known = self._known.get(key)
                if known is not None and known.segments == segments:
                    self._known.move_to_end(key)
                    found[token] = known
        return found

    def _keep(self, key: _Key, segments: tuple[int, ...], lists: Lists) -> None:
        """In place of those of segments that the collection had before."""
        size = sum(OVERHEAD_BYTES + rows.nbytes + codes.nbytes for rows, codes in lists.values()) + OVERHEAD_BYTES
        known = self._known.pop(key, None)
        self._bytes += size - (known.size if known else 0)
        self._known[key] = _Kept(segments, lists, _rows(lists), size)
        while self._bytes > MAX_BYTES:
            self._bytes -= self._known.popitem(last=False)[1].size


_NOTHING = _Kept((), {}, 0, 0)


def _stored(
    connection: apsw.Connection, segments: tuple[int, ...], tokens: Sequence[str]
) -> list[tuple[int, str, bytes]]:
    """Segment, token and postings as stored."""
    if not segments:
        return []
    query = "SELECT segment, token, postings FROM posting_lists WHERE segment IN "
    query += f"(SELECT value FROM carray(?)) AND token IN ({_marks(tokens)})"
    return [row for row in fetch(connection, query, (_array(segments), *tokens)) if row[2]]


def _sample(ranges: Sequence[Range]) -> list[Range]:
    """Of the largest segments some from all over the collection, which may tell of other things where it is younger."""
    most = max(held.rows for held in ranges)
    large = [held for held in ranges if 2 * held.rows > most]
    last = len(large) - 1
    return [large[place] for place in sorted({round(last * step / (SAMPLED - 1)) for step in range(SAMPLED)})]


def _rows(lists: Lists) -> int:
    return sum(len(rows) for rows, _ in lists.values())


def _array(segments: tuple[int, ...]) -> "apsw.SQLiteValue":
    return apsw.carray(np.array(segments, dtype=np.int64))


def _marks(values: Sequence[str]) -> str:
    return ",".join("?" * len(values))
