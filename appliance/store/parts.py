"""Some chunks of a collection as a question needs them: what it adds to a row's score is looked up by one number."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.store import kernel
from appliance.store.bm25 import K1, B
from appliance.store.inverted import Postings
from appliance.types import Ids

NARROW = 65_536  # codes below it take 16 bits
MANY = 4  # one row in so many
MOST_COUNTED = 64  # halves of occurrences, from which on a code takes 32 bits in any case: tables stay small

Row: TypeAlias = tuple[int, float]  # chunk id, BM25: larger is better
Counts: TypeAlias = NDArray[np.uint16]  # weighted occurrences in halves
Codes: TypeAlias = NDArray[np.unsignedinteger]  # weighted occurrences in halves with the row's length
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
        codes = kernel.codes(rows, counts, self.places, len(self.present), self.tabled)
        return rows.copy(), codes  # a part of what was read would keep all of it in memory

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


@dataclass(frozen=True, slots=True)
class Shares:
    """What share of a term's bound a row gets, f / (f + K1 * (1 - B + B * D / A)), by code (`bm25.py` has the formula).

    Looked up in a table of 64 times the lengths that there are, 512 KiB at most: a division for every row of a list is
    dear. Codes of 32 bits are worked out from the norms.
    """

    table: NDArray[np.float64]
    norms: NDArray[np.float64]  # by place: what is added to the occurrences, doubled as they are


def shares_of(lengths: Lengths, average: float) -> Shares:
    norms = 2 * K1 * (1 - B) + lengths.present.astype(np.float64) * (2 * K1 * B / average)
    counts = np.arange(lengths.tabled, dtype=np.float64)[:, None]
    return Shares((counts / (counts + norms)).ravel(), norms)


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


def rows_of(ids: Ids, some: Ids) -> NDArray[np.int64]:
    """The places in `ids` of those of `some` that are there; both ascending."""
    if not len(ids) or not len(some):
        return np.empty(0, dtype=np.int64)
    first, last, within = ids[0], ids[-1], some
    if some[0] < first or some[-1] > last:
        within = some[some.searchsorted(first) : some.searchsorted(last, side="right")]
    if last - first == len(ids) - 1:  # without gaps
        offsets: NDArray[np.int64] = within - first
        return offsets
    if len(within) * MANY > len(ids):
        return np.flatnonzero(np.isin(ids, within, assume_unique=True))
    places = np.searchsorted(ids, within)
    found: NDArray[np.int64] = places[ids[places] == within]
    return found
