"""The best rows of a keyword index by BM25 over postings: exact, and no walk through rows that cannot win."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.store.parts import Coded, Floats, Lists, Part, looked_up
from appliance.types import Ids

LOOK_UP = 8  # a row looked up in a list costs as much as so many of a walk through it
MANY = 4  # one row in so many
LONG = 16  # a list with one row in so many is worth a look at whether it must be walked through
AT_ONCE = 32_768  # postings that are walked through together at most: a processor's cache holds their temporaries
TABLE = 2048  # rows times lists that are looked up together
SAMPLE_ROWS, SAMPLES = 4096, 2  # that the k-th best score is guessed from
LEAST_ROWS = 16  # times the sample: with fewer a guess gains nothing
DEVIATIONS = 5.0  # of a Poisson count that a guess allows for (documents cluster)
SPARE = 2  # rows that it allows for beyond them
ROUNDING = 1e-9

Row: TypeAlias = tuple[int, float]  # chunk id, BM25: larger is better
Counts: TypeAlias = NDArray[np.uint16]  # weighted occurrences in halves
Rows: TypeAlias = NDArray[np.int64]
Weighted: TypeAlias = Sequence[tuple[float, Coded]]  # what no row's score from a token can reach, and its rows


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: each token with what no row's score from it can reach and its lists, the weightiest first; the bound
    of each phrase, its chunks (ascending) and its occurrences; the chunks that may be found (ascending), None for all.
    """

    words: Sequence[tuple[float, Lists]]
    phrases: Sequence[tuple[float, Ids, Counts]]
    eligible: Ids | None

    def weighted(self, segment: int) -> Weighted:
        """The tokens that a segment holds, the weightiest first."""
        return [(weight, lists[segment]) for weight, lists in self.words if segment in lists]


def best(parts: Sequence[Part], asked: Asked, k: int) -> list[Row]:
    """The `k` best rows. What is left out is below a guess of the k-th best score; where fewer than `k` rows come above
    it, the guess was too high, and all is done again without one.
    """
    guess = _guess(parts, asked, k)
    found = _above(parts, asked, k, guess)
    return found if guess == 0 or len(found) >= k else _above(parts, asked, k, 0.0)


def _place(k: int, share: float) -> int:
    """Among the best of a share of all rows, the one whose score hardly any but the `k` best of all will reach."""
    return min(k, math.ceil(share * k + DEVIATIONS * math.sqrt(share * k)) + SPARE)


def _guess(parts: Sequence[Part], asked: Asked, k: int) -> float:
    """A score that somewhat more than `k` rows should have, by those of a few runs of rows; 0 for small collections."""
    runs = [part for part in parts if len(part.ids) >= SAMPLE_ROWS]
    runs = runs[:: max(1, -(-len(runs) // SAMPLES))]
    sampled, total = SAMPLE_ROWS * len(runs), sum(len(part.ids) for part in parts)
    if not runs or total < LEAST_ROWS * sampled:
        return 0.0
    scores: list[Floats] = []
    for part in runs:
        start = (len(part.ids) - SAMPLE_ROWS) // 2
        run, weighted = _run(part, asked.weighted(part.segment), slice(start, start + SAMPLE_ROWS))
        scores.append(_score(run, weighted, asked, 0.0, np.empty(SAMPLE_ROWS))[1])
    found = np.concatenate(scores)
    place = _place(k, sampled / total)
    return float(np.partition(found, -place)[-place]) if place <= len(found) else 0.0


def _run(part: Part, weighted: Weighted, rows: slice) -> tuple[Part, Weighted]:
    """Some rows of a part as a part of their own."""
    live = None if part.live is None else part.live[rows]
    start, bounds = np.uint16(rows.start), np.array([rows.start, rows.stop], dtype=np.uint16)
    cut = []
    for weight, (held, codes) in weighted:
        first, end = held.searchsorted(bounds)
        if first < end:
            cut.append((weight, (held[first:end] - start, codes[first:end])))
    lengths = replace(part.lengths, places=part.lengths.places[rows])
    return replace(part, ids=part.ids[rows], lengths=lengths, live=live), cut


def _above(parts: Sequence[Part], asked: Asked, k: int, guess: float) -> list[Row]:
    """The best `k` rows, or those of them above a guess, which rises with what is seen; 0 for no guess.

    Part by part; what is left out is below the guess or the k-th best score so far.
    """
    ids, scores, least = np.empty(0, dtype=np.int64), np.empty(0), guess
    memory = np.empty(max((len(part.ids) for part in parts), default=0))
    seen, total = 0, sum(len(part.ids) for part in parts)
    for part in parts:
        rows, found = _score(part, asked.weighted(part.segment), asked, least, memory)
        ids, scores = np.concatenate([ids, part.ids[rows]]), np.concatenate([scores, found])
        seen += len(part.ids)
        if len(scores) > k:
            top = np.argpartition(-scores, k - 1)[:k]
            ids, scores = ids[top], scores[top]
        place = _place(k, seen / max(1, total)) if guess else k
        if len(scores) >= place:
            least = max(least, float(np.partition(scores, -place)[-place]) - ROUNDING)
    first = np.lexsort((ids, -scores))
    sure = np.count_nonzero(scores >= least) if guess else len(scores)
    return list(zip(ids[first].tolist(), scores[first].tolist(), strict=True))[:sure]


def rows_of(ids: Ids, some: Ids) -> Rows:
    """The places in `ids` of those of `some` that are there; both ascending."""
    if not len(ids):
        return np.empty(0, dtype=np.int64)
    within = some[np.searchsorted(some, ids[0]) : np.searchsorted(some, ids[-1], side="right")]
    if ids[-1] - ids[0] == len(ids) - 1:  # without gaps
        offsets: Rows = within - ids[0]
        return offsets
    if len(within) * MANY > len(ids):
        return np.flatnonzero(np.isin(ids, within, assume_unique=True))
    places = np.searchsorted(ids, within)
    found: Rows = places[ids[places] == within]
    return found


def _score(part: Part, weighted: Weighted, asked: Asked, threshold: float, memory: Floats) -> tuple[Rows, Floats]:
    """The rows above the threshold with their scores, from the weightiest term on.

    As soon as few rows could still pass it with all that the remaining terms may give, the rest is looked up for these
    alone: what is common costs little then, and no row is lost. `memory` has room for a score of each row.
    """
    scores = memory[: len(part.ids)]
    scores.fill(0.0)
    _add_phrases(scores, part, asked.phrases)
    allowed, only = _allowed(part, asked.eligible)
    sizes = [len(rows) for _, (rows, _) in weighted]
    rest, left = sum(weight for weight, _ in weighted), sum(sizes)
    first = 0 if only is not None else _due(weighted, threshold)
    for begin, end in _groups(sizes, len(part.ids), first, single=only is not None):
        if begin >= first:
            most = left // max(1, LOOK_UP * (len(weighted) - begin))
            few = only if only is not None else _few(scores, threshold - rest - ROUNDING, allowed, most)
            if few is not None and len(few) <= most:
                return _looked_up(part, weighted[begin:], few, scores[few], threshold)
        _walk(scores, part, weighted[begin:end])
        rest -= sum(weight for weight, _ in weighted[begin:end])
        left -= sum(sizes[begin:end])
    passing = _passing(np.flatnonzero(scores > threshold), allowed)
    return passing, scores[passing]


def _due(weighted: Weighted, threshold: float) -> int:
    """How many terms have to be walked through, as a row could pass the threshold with those behind them alone."""
    rest = sum(weight for weight, _ in weighted)
    for number, (weight, _) in enumerate(weighted):
        if rest + ROUNDING < threshold:
            return number
        rest -= weight
    return len(weighted)


def _few(scores: Floats, least: float, allowed: NDArray[np.bool_] | None, most: int) -> Rows | None:
    """The rows that reach a score, None where they are more than so many: counted in a fifth of the time."""
    there = scores >= least
    if allowed is not None:
        there &= allowed
    return np.flatnonzero(there) if np.count_nonzero(there) <= most else None


def _add_phrases(scores: Floats, part: Part, phrases: Sequence[tuple[float, Ids, Counts]]) -> None:
    for weight, ids, counts in phrases:
        if len(part.ids):
            within = slice(*np.searchsorted(ids, [part.ids[0], part.ids[-1] + 1]).tolist())
            rows = np.searchsorted(part.ids, ids[within])
            scores[rows] += weight * part.shares.counted(counts[within], part.lengths.places[rows])


def _groups(sizes: Sequence[int], rows: int, first: int, *, single: bool) -> Iterator[tuple[int, int]]:
    """Where terms begin and end that are walked through together.

    Before `first` as many as the caches hold; then long lists alone, and short ones side by side.
    """
    begun, together = 0, 0
    for number, size in enumerate(sizes):
        most = AT_ONCE if number < first else rows // LONG
        if begun < number and (single or number == first or together + size > most):
            yield begun, number
            begun, together = number, 0
        together += size
    if begun < len(sizes):
        yield begun, len(sizes)


def _walk(scores: Floats, part: Part, terms: Weighted) -> None:
    """Add to every row what the terms give it."""
    at = np.concatenate([rows for _, (rows, _) in terms], dtype=np.intp)
    found = part.shares.of(np.concatenate([codes for _, (_, codes) in terms]))
    begin = 0
    for weight, (rows, _) in terms:  # np.repeat takes four times as long
        found[begin : begin + len(rows)] *= weight
        begin += len(rows)
    np.add.at(scores, at, found)


def _allowed(part: Part, eligible: Ids | None) -> tuple[NDArray[np.bool_] | None, Rows | None]:
    """Which rows may be found, None for all; and they themselves where they are few."""
    if eligible is None:
        return part.live, None
    rows = rows_of(part.ids, eligible)
    rows = rows if part.live is None else rows[part.live[rows]]
    mask = np.zeros(len(part.ids), dtype=np.bool_)
    mask[rows] = True
    return mask, rows if len(rows) * MANY < len(part.ids) else None


def _passing(rows: Rows, allowed: NDArray[np.bool_] | None) -> Rows:
    return rows if allowed is None else rows[allowed[rows]]


def _looked_up(part: Part, weighted: Weighted, rows: Rows, scores: Floats, threshold: float) -> tuple[Rows, Floats]:
    """Those of the rows that come above the threshold with what the terms add, and their scores."""
    wanted, begin = rows.astype(np.uint16), 0
    rest = sum(weight for weight, _ in weighted)
    while begin < len(weighted) and len(rows):
        terms = weighted[begin : begin + max(1, TABLE // len(rows))]
        begin += len(terms)
        found = part.shares.of(looked_up([coded for _, coded in terms], wanted))
        for (weight, _), shares in zip(terms, found, strict=True):
            scores += weight * shares
            rest -= weight
        hopeful = scores > threshold - rest - ROUNDING
        if np.count_nonzero(hopeful) * 4 < len(rows) * 3:
            rows, wanted, scores = rows[hopeful], wanted[hopeful], scores[hopeful]
    above = scores > threshold
    return rows[above], scores[above]
