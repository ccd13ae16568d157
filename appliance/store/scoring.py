"""The best rows of a keyword index by BM25 over postings: exact, and no walk through rows that cannot win."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from appliance.store.inverted import NOWHERE, Postings
from appliance.types import Ids

LOOK_UP = 4  # a row looked up in a list costs as much as so many of a walk through it
MANY = 4  # one row in so many
ROUNDING = 1e-9

Row: TypeAlias = tuple[int, float]  # chunk id, BM25: larger is better
Floats: TypeAlias = NDArray[np.floating]
Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Part:
    """Some chunks of a collection: a stored segment, or the fresh ones behind the last (`segment` 0).

    `live` is None where nothing was deleted; `norms` is K1 * (1 - B + B * D / A) of each row.
    """

    segment: int
    ids: Ids
    lengths: NDArray[np.uint32]
    norms: Floats
    live: NDArray[np.bool_] | None


@dataclass(frozen=True, slots=True)
class Asked:
    """A question: what no row's score from a token can reach; (segment, token) -> postings; for each phrase the chunks
    that hold it (ascending) and what it gives them; the chunks that may be found (ascending), None for all.
    """

    weights: dict[str, float]
    lists: dict[tuple[int, str], Postings]
    phrases: Sequence[tuple[Ids, Floats]]
    eligible: Ids | None


def best(parts: Sequence[Part], asked: Asked, k: int) -> list[Row]:
    """Part by part, the threshold being the k-th best score so far."""
    ids, scores, threshold = np.empty(0, dtype=np.int64), np.empty(0), 0.0
    order = sorted(asked.weights, key=lambda token: -asked.weights[token])
    for part in parts:
        weighted = [(asked.weights[token], asked.lists.get((part.segment, token), NOWHERE)) for token in order]
        rows, found = _score(part, weighted, asked, threshold)
        ids, scores = np.concatenate([ids, part.ids[rows]]), np.concatenate([scores, found])
        if len(scores) > k:
            top = np.argpartition(-scores, k - 1)[:k]
            ids, scores = ids[top], scores[top]
            threshold = float(scores.min())
    first = np.lexsort((ids, -scores))
    return list(zip(ids[first].tolist(), scores[first].tolist(), strict=True))


def rows_of(ids: Ids, some: Ids) -> Rows:
    """The places in `ids` of those of `some` that are there; both ascending."""
    if not len(ids):
        return np.empty(0, dtype=np.int64)
    within = some[np.searchsorted(some, ids[0]) : np.searchsorted(some, ids[-1], side="right")]
    if len(within) * MANY > len(ids):
        return np.flatnonzero(np.isin(ids, within, assume_unique=True))
    places = np.searchsorted(ids, within)
    found: Rows = places[ids[places] == within]
    return found


def _score(
    part: Part, weighted: Sequence[tuple[float, Postings]], asked: Asked, threshold: float
) -> tuple[Rows, Floats]:
    """The rows above the threshold with their scores, from the weightiest term on.

    As soon as few rows could still pass it with all that the remaining terms may give, the rest is looked up for these
    alone: what is common costs little then, and no row is lost.
    """
    scores: Floats = np.zeros(len(part.ids))
    for ids, found in asked.phrases:
        scores[rows_of(part.ids, ids)] += found[rows_of(ids, part.ids)]
    allowed, only = _allowed(part, asked.eligible)
    for number, (weight, (rows, counts)) in enumerate(weighted):
        if len(rows) * MANY > len(part.ids) or only is not None:
            rest = weighted[number:]
            least = threshold - sum(most for most, _ in rest) - ROUNDING
            few = only if only is not None or least <= 0 else _passing(np.flatnonzero(scores >= least), allowed)
            if few is not None and len(few) * LOOK_UP * len(rest) < sum(len(held) for _, (held, _) in rest):
                scores = _looked_up(part, rest, few, scores[few])
                above = scores > threshold
                return few[above], scores[above]
        at = rows.astype(np.intp)  # once, not at each use
        np.add.at(scores, at, _gain(weight, counts, part.norms.take(at)))
    passing = _passing(np.flatnonzero(scores > threshold), allowed)
    return passing, scores[passing]


def _gain(weight: float, counts: NDArray[np.uint16], norms: Floats) -> Floats:
    """What a term gives rows that hold it; `norms` is overwritten."""
    found: Floats = counts * 0.5
    norms += found
    found *= weight
    found /= norms
    return found


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


def _looked_up(part: Part, weighted: Sequence[tuple[float, Postings]], rows: Rows, scores: Floats) -> Floats:
    """The scores of the rows with what the terms add."""
    norms, wanted = part.norms[rows], rows.astype(np.uint16)
    for weight, (held, counts) in weighted:
        if len(held):
            places = np.minimum(np.searchsorted(held, wanted), len(held) - 1)
            found = np.where(held[places] == wanted, counts[places] * 0.5, 0.0)
            scores = scores + weight * found / (found + norms)
    return scores
