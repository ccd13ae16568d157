"""Codes of posting lists: every occurrence and length gives BM25's share, however many of either there are."""

import numpy as np
import pytest

from appliance.store import kernel, parts
from appliance.store.bm25 import K1, B
from appliance.store.inverted import Postings
from appliance.store.parts import Part, lengths_of, rows_of, shares_of
from appliance.types import Ids

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
    coded = lengths.coded((rows, counts))
    assert np.array_equal(coded[0], rows)
    assert not np.shares_memory(coded[0], rows)  # what was read may go
    assert coded[1].dtype == width
    assert np.array_equal(lengths.of(rows), tokens[rows])
    norms = 2 * K1 * (1 - B + B * tokens[rows] / AVERAGE)  # doubled, as occurrences are
    ids: Ids = np.arange(100, 3100, dtype=np.int64)
    part = Part(7, ids, lengths, shares_of(lengths, AVERAGE), None)
    counted = kernel.occurrences([part], [{7: coded}], ids[rows])
    assert counted is not None
    assert np.array_equal(counted, np.column_stack([counts / 2, tokens[rows]]))
    expected = dict(zip((rows + 100).tolist(), (counts / (counts + norms)).tolist(), strict=True))
    assert dict(kernel.best([part], [(1.0, {7: coded})], [], None, 3000)) == pytest.approx(expected, abs=1e-12)
    as_phrase = kernel.best([part], [], [(1.0, ids[rows], counts)], None, 3000)
    assert dict(as_phrase) == pytest.approx(expected, abs=1e-12)


def test_chunks_of_several_parts_are_looked_up_in_lists_of_either_width() -> None:
    tokens, often = made(200, 5000)
    lengths = lengths_of(tokens)
    rare = np.array([3, 4, 2999], dtype=np.uint16), np.array([2, 4, 6], dtype=np.uint16)
    near = lengths_of(np.array([5, 6, 5], dtype=np.uint32))
    both = [
        Part(1, np.arange(0, 6000, 2, dtype=np.int64), lengths, shares_of(lengths, AVERAGE), None),
        Part(0, np.array([6001, 6007, 6009], dtype=np.int64), near, shares_of(near, AVERAGE), None),
    ]
    words = [
        {1: lengths.coded(often)},
        None,
        {1: lengths.coded(rare), 0: near.coded((np.array([1], dtype=np.uint16), np.array([3], dtype=np.uint16)))},
    ]
    wanted = np.array([0, 2, 6, 8, 5996, 5998, 6001, 6007], dtype=np.int64)
    found = kernel.occurrences(both, words, wanted)
    counted = dict(zip(*(column.tolist() for column in often), strict=True))
    rows = [0, 1, 3, 4, 2998, 2999]
    assert found is not None
    assert (found.T * 2).tolist() == [
        [*(counted.get(row, 0) for row in rows), 0, 0],
        [0] * 8,
        [0, 0, 2, 4, 0, 6, 0, 3],
        [*(2 * tokens[rows]).tolist(), 10, 12],
    ]
    for absent in (1, 6002, 7000):  # in a gap of either part, behind all
        assert kernel.occurrences(both, words, np.union1d(wanted, [absent])) is None
    assert kernel.occurrences([], words, wanted) is None
    nothing = kernel.occurrences(both, [], wanted[:0])
    assert nothing is not None
    assert nothing.shape == (0, 1)


def test_lengths_that_all_differ_leave_no_room_for_occurrences() -> None:
    lengths = lengths_of(np.arange(parts.NARROW, dtype=np.uint32))
    coded = lengths.coded((np.array([65_535], dtype=np.uint16), np.array([2], dtype=np.uint16)))
    part = Part(1, np.arange(parts.NARROW, dtype=np.int64), lengths, shares_of(lengths, AVERAGE), None)
    counted = kernel.occurrences([part], [{1: coded}], part.ids[-1:])
    assert counted is not None
    assert counted.tolist() == [[1, 65_535]]
    expected = 2 / (2 + 2 * K1 * (1 - B + B * 65_535 / AVERAGE))
    assert dict(kernel.best([part], [(1.0, {1: coded})], [], None, 5)) == {65_535: pytest.approx(expected)}


@pytest.mark.parametrize("gap", [1, 3])
@pytest.mark.parametrize("share", [0.001, 0.1, 0.9])
def test_rows_of_ids(gap: int, share: float) -> None:
    ids = np.arange(1000, 9000, gap, dtype=np.int64)
    some = np.flatnonzero(np.random.default_rng(1).random(10_000) < share)
    assert rows_of(ids, some).tolist() == np.flatnonzero(np.isin(ids, some)).tolist()
    assert not len(rows_of(ids[:0], some))
