"""The inner loops over posting lists: the same rows and scores as adding everything up."""

from typing import Any

import numpy as np
import pytest

from appliance.store import kernel
from appliance.store.parts import Counts, Lists, Part, lengths_of, shares_of
from appliance.types import Ids

AVERAGE = 60.0
ROWS = 3000


class Made:
    """Parts of a collection with lists of every size, and what each row scores by adding everything up."""

    def __init__(self, seed: int, words: int = 12, parts: int = 3) -> None:
        rng = np.random.default_rng(seed)
        self.parts: list[Part] = []
        self.words: list[tuple[float, Lists]] = [(weight, {}) for weight in sorted(rng.random(words), reverse=True)]
        self.scores: dict[int, float] = {}
        first = 10
        for segment in (*range(1, parts), 0):
            ids: Ids = first + np.cumsum(rng.integers(1, 3, ROWS))
            first = int(ids[-1])
            lengths = lengths_of(rng.integers(1, 90, ROWS).astype(np.uint32))
            live = rng.random(ROWS) < 0.9 if segment % 2 else None
            part = Part(segment, ids, lengths, shares_of(lengths, AVERAGE), live)
            totals = np.zeros(ROWS)
            for weight, lists in self.words:
                rows = np.flatnonzero(rng.random(ROWS) < rng.choice([0.0, 0.002, 0.05, 0.6])).astype(np.uint16)
                if len(rows):
                    counts = rng.integers(1, rng.choice([4, 200]), len(rows)).astype(np.uint16)
                    lists[segment] = lengths.coded((rows, counts))
                    totals[rows] += weight * counts / (counts + part.shares.norms[lengths.places[rows]])
            self.parts.append(part)
            there = totals > 0 if live is None else (totals > 0) & live
            self.scores |= dict(zip(ids[there].tolist(), totals[there].tolist(), strict=True))

    def add_phrase(self, rng: np.random.Generator) -> tuple[float, Ids, Counts]:
        """Of some chunks, some of which are deleted or of another collection."""
        chunks: Ids = np.flatnonzero(rng.random(int(self.parts[-1].ids[-1]) + 50) < 0.01)
        counts = rng.integers(1, 9, len(chunks)).astype(np.uint16)
        for part in self.parts:
            rows, there = np.isin(part.ids, chunks), np.isin(chunks, part.ids)
            found = 0.8 * counts[there] / (counts[there] + part.shares.norms[part.lengths.places[rows]])
            live = np.ones(ROWS, dtype=np.bool_) if part.live is None else part.live
            for chunk, score, lives in zip(chunks[there].tolist(), found.tolist(), live[rows].tolist(), strict=True):
                if lives:
                    self.scores[chunk] = self.scores.get(chunk, 0.0) + score
        return 0.8, chunks, counts

    def best(self, k: int, eligible: Ids | None) -> list[tuple[int, float]]:
        within = self.scores if eligible is None else self.scores.keys() & set(eligible.tolist())
        return sorted(((chunk, self.scores[chunk]) for chunk in within), key=lambda row: (-row[1], row[0]))[:k]


@pytest.mark.parametrize("share", [None, 0.0, 0.001, 0.05, 0.7])
@pytest.mark.parametrize("k", [1, 10, 100, 10**6])
@pytest.mark.parametrize("seed", range(5))
def test_the_best_rows_are_those_of_adding_everything_up(seed: int, k: int, share: float | None) -> None:
    made, rng = Made(seed), np.random.default_rng(seed)
    phrases = [made.add_phrase(rng) for _ in range(seed % 3)]
    eligible = None if share is None else np.flatnonzero(rng.random(20_000) < share)
    expected, found = made.best(k, eligible), kernel.best(made.parts, made.words, phrases, eligible, k)
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=1e-12)
    assert len(dict(found)) == len(found)
    assert all(score == pytest.approx(made.scores[chunk], abs=1e-12) for chunk, score in found)
    assert eligible is None or dict(found).keys() <= set(eligible.tolist())


def test_rows_with_the_same_score_come_by_chunk_id_however_they_were_reached() -> None:
    """A passage that is there many times: walked through in one part, looked up in the next, the score has no other
    last digit.
    """
    rng = np.random.default_rng(1)
    lengths = lengths_of(np.full(ROWS, 60, dtype=np.uint32))
    words: list[tuple[float, Lists]] = [(weight, {}) for weight in (0.9, 0.7, 0.31, 0.17)]
    parts = []
    for segment in (1, 2, 3):
        ids = np.arange(ROWS, dtype=np.int64) + segment * ROWS
        parts.append(Part(segment, ids, lengths, shares_of(lengths, AVERAGE), None))
        alike = np.sort(rng.choice(ROWS, 8, replace=False)).astype(np.uint16)
        for number, (_, lists) in enumerate(words):
            rows = alike if number < 2 else np.arange(ROWS, dtype=np.uint16)
            lists[segment] = lengths.coded((rows, np.full(len(rows), 2 + number, dtype=np.uint16)))
    found = kernel.best(parts, words, [], None, 12)
    assert len({score for _, score in found}) == 1
    assert [chunk for chunk, _ in found] == sorted(chunk for chunk, _ in found)
    assert [chunk for chunk, _ in kernel.best(parts, words, [], None, 24)][:12] == [chunk for chunk, _ in found]


def test_nothing_asked_or_wanted_finds_nothing() -> None:
    made = Made(1)
    assert kernel.best(made.parts, [], [], None, 10) == []
    assert kernel.best([], made.words, [], None, 10) == []
    assert kernel.best(made.parts, made.words, [], None, 0) == []


def test_an_array_of_another_type_is_refused() -> None:
    made, few = Made(1), np.ones(4, dtype=np.uint16)
    ids: Any = np.arange(8)
    with pytest.raises(TypeError, match="contiguous array of int64"):
        kernel.best(made.parts, made.words, [], ids.astype(np.float64), 10)
    with pytest.raises(TypeError, match="contiguous array of int64"):
        kernel.best(made.parts, made.words, [(1.0, ids[::2], few)], None, 10)
    with pytest.raises(TypeError, match="contiguous array of uint32"):
        kernel.best(made.parts, [(1.0, {0: (few, ids[:4])})], [], None, 10)
    with pytest.raises(ValueError, match="a code for each row"):
        kernel.best(made.parts, [(1.0, {0: (few, few[:3])})], [], None, 10)
    with pytest.raises(ValueError, match="occurrences for each chunk"):
        kernel.best(made.parts, made.words, [(1.0, ids, few)], None, 10)
    with pytest.raises(TypeError, match="contiguous array of int64"):
        kernel.occurrences(made.parts, [], few)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a count for each term"):
        kernel.in_context([(3, 1, 4)], 8, ids, np.zeros((7, 2)), [1.0], 1.0, 1.0)
    with pytest.raises(ValueError, match="was not counted"):
        kernel.in_context([(7, 1, 9)], 9, ids, np.zeros((8, 2)), [1.0], 1.0, 1.0)


def test_codes_are_not_made_of_what_does_not_fit_together() -> None:
    rows, places = np.array([0, 3], dtype=np.uint16), np.zeros(4, dtype=np.uint16)
    none = rows[:0]
    assert kernel.codes(rows, rows, places, 5, 4).tolist() == [0, 15]
    assert kernel.codes(none, none, none, 0, 0).dtype == np.uint16
    with pytest.raises(IndexError):
        kernel.codes(rows, rows, places[:3], 5, 4)
    with pytest.raises(ValueError, match="each row"):
        kernel.codes(rows, rows[:1], places, 5, 4)
    for wrong in (rows.astype(np.int64), places[::2], None):
        with pytest.raises(TypeError):
            kernel.codes(wrong, rows, places, 5, 4)  # type: ignore[arg-type]
