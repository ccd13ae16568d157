"""Some chunks of a collection as a question needs them: what it adds to a row's score is looked up by one number."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.store.bm25 import K1, B
from appliance.store.inverted import Postings
from appliance.types import Ids

NARROW = 65_536  # codes below it take 16 bits
MOST_COUNTED = 64  # halves of occurrences, from which on a code takes 32 bits in any case: tables stay small

Floats: TypeAlias = NDArray[np.floating]
Codes: TypeAlias = NDArray[np.unsignedinteger]  # weighted occurrences in halves with the row's length; 0 for none
Coded: TypeAlias = tuple[NDArray[np.uint16], Codes]  # rows ascending
Lists: TypeAlias = dict[int, Coded]  # by segment


@dataclass(frozen=True, slots=True)
class Lengths:
    """How many tokens each row has: the place of its length among the lengths that there are, some hundred.

    The code of a row in a list is that place, plus the number of lengths times the occurrences: all that BM25 asks for.
    """

    present: NDArray[np.uint32]  # ascending
    places: NDArray[np.uint16]
    tabled: int  # a list with fewer halves of occurrences in each row has codes of 16 bits

    def coded(self, postings: Postings) -> Coded:
        rows, counts = postings
        wide = len(counts) and counts[counts.argmax()] >= self.tabled  # max() takes a microsecond more
        codes = counts * (np.uint32 if wide else np.uint16)(len(self.present))
        codes += self.places.take(rows)
        return rows, codes

    def counts(self, codes: Codes) -> Codes:
        """The occurrences that codes stand for."""
        return codes // codes.dtype.type(max(1, len(self.present)))

    def of(self, rows: NDArray[np.integer]) -> NDArray[np.uint32]:
        return self.present.take(self.places.take(rows))


def lengths_of(tokens: NDArray[np.uint32]) -> Lengths:
    """By the tokens of each row."""
    if tokens.max(initial=0) < NARROW:  # a tenth of the time of a sort
        present = np.flatnonzero(np.bincount(tokens)).astype(np.uint32)
        numbered = np.empty(NARROW, dtype=np.uint16)
        numbered[present] = np.arange(len(present), dtype=np.uint16)
        places = numbered.take(tokens)
    else:
        present, inverse = np.unique(tokens, return_inverse=True)
        places = inverse.astype(np.uint16)  # there are no more rows than that
    return Lengths(present, places, min(MOST_COUNTED, NARROW // max(1, len(present))))


class Shares:
    """What share of a term's bound a row gets, f / (f + K1 * (1 - B + B * D / A)), by code (`bm25.py` has the formula).

    Looked up in a table of 64 times the lengths that there are, 512 KiB at most: computed for every row of a list it
    took half of a walk through that.
    """

    def __init__(self, lengths: Lengths, average: float) -> None:
        self._norms = lengths.present * (2 * K1 * B / average)  # doubled, as occurrences are
        self._norms += 2 * K1 * (1 - B)
        counts = np.arange(lengths.tabled, dtype=np.float64)[:, None]
        self._table = (counts / (counts + self._norms)).ravel()

    def of(self, codes: Codes) -> Floats:
        if codes.dtype == np.uint16:
            return self._table.take(codes)
        counts, places = np.divmod(codes, np.uint32(len(self._norms)))
        return self.counted(counts, places)

    def counted(self, counts: NDArray[np.uint16], places: NDArray[np.uint16]) -> Floats:
        """By occurrences, and places among the lengths."""
        return counts / (counts + self._norms.take(places))


@dataclass(frozen=True, slots=True)
class Part:
    """Some chunks of a collection: a stored segment, or the fresh ones behind the last (`segment` 0).

    `live` is None where nothing was deleted.
    """

    segment: int
    ids: Ids
    lengths: Lengths
    shares: Shares
    live: NDArray[np.bool_] | None


def looked_up(lists: Sequence[Coded], rows: NDArray[np.uint16]) -> Codes:
    """The codes of rows (ascending) in each list, (lists, rows), 0 where a row is not there. No list is empty."""
    wide = any(codes.dtype != np.uint16 for _, codes in lists)
    there = np.empty((len(lists), len(rows)), dtype=np.uint16)
    found: Codes = np.empty((len(lists), len(rows)), dtype=np.uint32 if wide else np.uint16)
    for place, (held, codes) in enumerate(lists):
        at = held.searchsorted(rows)
        held.take(at, mode="clip", out=there[place])
        found[place] = codes.take(at, mode="clip")
    found *= there == rows
    return found
