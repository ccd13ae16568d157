"""Codes of posting lists: every occurrence and length gives BM25's share, however many of either there are."""

import numpy as np
import pytest

from appliance.store import parts
from appliance.store.bm25 import K1, B
from appliance.store.inverted import Postings
from appliance.store.parts import Shares, lengths_of, looked_up

AVERAGE = 40.0


def made(present: int, most: int, seed: int = 1) -> tuple[np.ndarray, Postings]:
    """Tokens of 3,000 rows, and a list of every third with up to so many halves of occurrences."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, present + 1, 3000).astype(np.uint32) * 7
    rows = np.arange(0, 3000, 3, dtype=np.uint16)
    counts = rng.integers(1, most + 1, len(rows)).astype(np.uint16)
    counts[0] = most
    return tokens, (rows, counts)


@pytest.mark.parametrize(
    ("present", "most", "width"),
    [(1, 63, np.uint16), (200, 63, np.uint16), (200, 64, np.uint32), (2000, 20, np.uint16), (2000, 300, np.uint32),
     (3, 65_535, np.uint32), (20_000, 20, np.uint16)],
)  # fmt: skip
def test_a_code_stands_for_occurrences_and_length(present: int, most: int, width: type[np.unsignedinteger]) -> None:
    tokens, (rows, counts) = made(present, most)
    lengths = lengths_of(tokens)
    held, codes = lengths.coded((rows, counts))
    assert codes.dtype == width
    assert held is rows
    assert np.array_equal(lengths.counts(codes), counts)
    assert np.array_equal(lengths.of(rows), tokens[rows])
    norms = 2 * K1 * (1 - B + B * tokens[rows] / AVERAGE)  # doubled, as occurrences are
    shares = Shares(lengths, AVERAGE)
    assert shares.of(codes) == pytest.approx(counts / (counts + norms), abs=1e-12)
    assert shares.counted(counts, lengths.places[rows]) == pytest.approx(counts / (counts + norms), abs=1e-12)


def test_rows_are_looked_up_in_lists_of_either_width() -> None:
    tokens, often = made(200, 5000)
    lengths = lengths_of(tokens)
    rare = np.array([3, 4, 2999], dtype=np.uint16), np.array([2, 4, 6], dtype=np.uint16)
    wanted = np.array([0, 1, 3, 4, 2998, 2999], dtype=np.uint16)
    codes = looked_up([lengths.coded(often), lengths.coded(rare)], wanted)
    counted = dict(zip(*(column.tolist() for column in often), strict=True))
    assert lengths.counts(codes).tolist() == [[counted.get(row, 0) for row in wanted.tolist()], [0, 0, 2, 4, 0, 6]]
    assert np.array_equal(Shares(lengths, AVERAGE).of(codes) == 0, codes == 0)


def test_lengths_that_all_differ_leave_no_room_for_occurrences() -> None:
    lengths = lengths_of(np.arange(parts.NARROW, dtype=np.uint32))
    _, codes = lengths.coded((np.array([65_535], dtype=np.uint16), np.array([2], dtype=np.uint16)))
    assert lengths.counts(codes).tolist() == [2]
    assert Shares(lengths, AVERAGE).of(codes) == pytest.approx(2 / (2 + 2 * K1 * (1 - B + B * 65_535 / AVERAGE)))
