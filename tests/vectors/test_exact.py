"""The exact scan: always the true nearest, whatever was added and removed in which order."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.types import Ids
from appliance.vectors.exact import ExactScan, best
from tests.vectors.samples import clustered

VECTORS = clustered(400, 8)
actions = st.lists(st.tuples(st.booleans(), st.lists(st.integers(1, 399), min_size=1, max_size=60)), max_size=15)


def ids_of(numbers: list[int]) -> Ids:
    return np.array(sorted(set(numbers)), dtype=np.int64)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(actions, st.lists(st.integers(0, 450), max_size=200), st.integers(1, 50))
def test_it_finds_what_comparing_with_all_finds(history: list[tuple[bool, list[int]]], some: list[int], k: int) -> None:
    scan, ever, live = ExactScan(8), set(), set()
    for adding, numbers in history:
        ids = ids_of(numbers)
        if adding:
            ids = np.array([i for i in ids.tolist() if i not in ever], dtype=np.int64)  # ids never come back
            scan.add(ids, VECTORS[ids])
            scan.add(ids, VECTORS[ids])  # twice changes nothing
            ever |= set(ids.tolist())
            live |= set(ids.tolist())
        else:
            scan.remove(ids)
            live -= set(ids.tolist())
    assert scan.held.count == len(live)
    question = VECTORS[0]
    for eligible in (None, ids_of(some)):
        passing = live if eligible is None else live & set(some)
        expected = sorted(((float(VECTORS[i] @ question), i) for i in passing), key=lambda pair: (-pair[0], pair[1]))[
            :k
        ]
        found = scan.search(question, k, eligible)
        np.testing.assert_allclose([score for _, score in found], [score for score, _ in expected], atol=1e-5)
        assert {i for i, _ in found} <= passing


def test_memory_grows_by_half_at_most_and_is_given_back() -> None:
    scan = ExactScan(8)
    vectors = clustered(20_000, 8)
    for start in range(0, 20_000, 100):
        ids = np.arange(start + 1, start + 101, dtype=np.int64)
        scan.add(ids, vectors[start : start + 100])
        assert len(scan._memory) <= max(256, 1.5 * (start + 100))
    scan.remove(np.arange(1, 15_001, dtype=np.int64))
    assert len(scan._memory) == 5_000
    assert scan.search(vectors[19_000], 1, None)[0][0] == 19_001


def test_equal_scores_come_by_id() -> None:
    ids = np.array([5, 3, 9, 1], dtype=np.int64)
    assert [i for i, _ in best(ids, np.ones(4, dtype=np.float32), 4)] == [1, 3, 5, 9]


def test_searching_beside_changes() -> None:
    scan, vectors = ExactScan(16), clustered(4_000, 16)
    scan.add(np.arange(1, 101, dtype=np.int64), vectors[:100])
    stop, errors = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            [(found, score), *_] = scan.search(vectors[49], 5, None)
            if found != 50 or score < 0.999:
                errors.append((found, score))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(100, 4_000, 50):
        ids = np.arange(start + 1, start + 51, dtype=np.int64)
        scan.add(ids, vectors[start : start + 50])
        scan.remove(ids[::3])
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []


def test_questions_prepared_together_find_the_same() -> None:
    scan = ExactScan(8)
    scan.add(np.arange(1, 301), VECTORS[:300])
    asked = VECTORS[300:305]
    before = [scan.search(vector, 10, None) for vector in asked]
    scan.prepare(asked)
    for vector, found in zip(asked, before, strict=True):
        again = scan.search(vector, 10, None)
        assert [chunk for chunk, _ in again] == [chunk for chunk, _ in found]
        assert [cosine for _, cosine in again] == pytest.approx([cosine for _, cosine in found], abs=1e-6)


def test_what_was_prepared_knows_nothing_of_later_changes() -> None:
    scan = ExactScan(8)
    scan.add(np.arange(1, 20), VECTORS[1:20])
    scan.prepare(VECTORS[20:22])
    scan.add(np.array([20]), VECTORS[20:21])
    assert scan.search(VECTORS[20], 1, None)[0][0] == 20


def test_what_is_prepared_is_bounded_and_used_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.vectors.exact.AHEAD_BYTES", 100 * 4 * 10)
    scan = ExactScan(8)
    scan.add(np.arange(1, 101), VECTORS[:100])
    scan.prepare(VECTORS[100:108])
    scan.prepare(VECTORS[108:116])
    assert len(scan._view.ahead) == 9
    for number in (108, 115):
        best = dict(scan.search(VECTORS[number], 3, None))
        ids, cosines = scan.compare(VECTORS[number], np.array(sorted(best)))
        assert dict(zip(ids.tolist(), cosines.tolist(), strict=True)) == best
    assert len(scan._view.ahead) == 7
