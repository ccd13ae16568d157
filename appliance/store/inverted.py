"""Some rows of a keyword index as numbers: for each token the rows that hold it, and how often."""

from array import array
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.store.fulltext import HALVES, MOST_COUNT
from appliance.types import Ids

MOST_ROWS = 65_536  # rows are numbered in 16 bits

Postings: TypeAlias = tuple[NDArray[np.uint16], NDArray[np.uint16]]  # rows ascending, weighted occurrences in halves

NOWHERE: Postings = (np.empty(0, dtype=np.uint16), np.empty(0, dtype=np.uint16))


class Inverted:
    """At most MOST_ROWS chunks of ascending id, in the order they were added."""

    def __init__(self) -> None:
        self._ids = array("q")
        self._lengths = array("I")
        self._rows: dict[str, array[int]] = {}
        self._counts: dict[str, array[int]] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def add(self, chunk_id: int, columns: Sequence[Sequence[str]]) -> None:
        """A chunk by the tokens of its title, section and text."""
        row = len(self._ids)
        self._ids.append(chunk_id)
        self._lengths.append(sum(map(len, columns)))
        counts: Counter[str] = Counter()
        for halves, column in zip(HALVES, columns, strict=True):
            for token, found in Counter(column).items():
                counts[token] += halves * found
        for token, count in counts.items():
            if token not in self._rows:
                self._rows[token], self._counts[token] = array("H"), array("H")
            self._rows[token].append(row)
            self._counts[token].append(min(count, MOST_COUNT))

    @property
    def last(self) -> int:
        """The largest chunk id, 0 where there is none."""
        return self._ids[-1] if self._ids else 0

    @property
    def ids(self) -> Ids:
        return np.array(self._ids, dtype=np.int64)

    @property
    def lengths(self) -> NDArray[np.uint32]:
        """Tokens of each row."""
        return np.array(self._lengths, dtype=np.uint32)

    def postings(self, token: str) -> Postings:
        if token not in self._rows:
            return NOWHERE
        return np.array(self._rows[token], dtype=np.uint16), np.array(self._counts[token], dtype=np.uint16)

    def rows_of(self, token: str) -> int:
        """How many rows hold the token."""
        return len(self._rows.get(token, ()))

    def encoded(self) -> Iterable[tuple[str, bytes]]:
        """Every token with its postings as stored, by token."""
        for token in sorted(self._rows):
            yield token, self._rows[token].tobytes() + self._counts[token].tobytes()


def decoded(data: bytes) -> Postings:
    """What `Inverted.encoded` gave."""
    both = np.frombuffer(data, dtype="<u2").reshape(2, -1)
    return both[0], both[1]
