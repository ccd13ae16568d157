"""A collection's index: exact or graph, changing from one to the other, generations that are torn, foreign or stale."""

import itertools
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.types import Matrix
from appliance.vectors import CollectionIndex, nearest
from appliance.vectors.graph import Graph, Origin
from tests.vectors.samples import DIMENSIONS, IDS, VECTORS, MemorySource, Opener, clustered, put, recall, wait_for


def test_a_small_collection_is_exact_and_leaves_nothing_on_disk(
    opened: Opener, source: MemorySource, tmp_path: Path
) -> None:
    index = opened(exact_scan_below=5_000)
    put(index, source, slice(0, 500))
    assert recall(index, source) == 1
    index.close()
    assert not (tmp_path / "index").exists()
    again = opened(exact_scan_below=5_000)
    assert recall(again, source) == 1
    assert again.status().kind == "exact"
    assert again.verify() == []


def test_a_restart_answers_the_same_to_the_last_bit(opened: Opener, source: MemorySource) -> None:
    index = opened(exact_scan_below=5_000)
    put(index, source, slice(0, 300))
    before = index.search(VECTORS[7], 20)
    assert opened(exact_scan_below=5_000).search(VECTORS[7], 20) == before


def test_vectors_are_taken_from_memory_and_from_the_source_where_it_knows_more(
    opened: Opener, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened(exact_scan_below=5_000)
    put(index, source, slice(0, 300))
    source.commit(IDS[300:301], VECTORS[300:301])  # the index learns of it in a moment
    wanted = np.array([301, 7, 200])
    ids, vectors = index.some(wanted)
    assert ids.tolist() == [7, 200, 301]
    np.testing.assert_array_equal(vectors, source.some(wanted)[1])
    expected = source.some(wanted[1:])
    monkeypatch.setattr(source, "some", lambda _: pytest.fail("read"))
    for found, known in zip(index.some(wanted[1:]), expected, strict=True):
        np.testing.assert_array_equal(found, known)


@pytest.mark.parametrize("exact_scan_below", [5_000, 100])
def test_cosines_are_those_of_a_search(opened: Opener, source: MemorySource, exact_scan_below: int) -> None:
    index = opened(exact_scan_below=exact_scan_below)
    put(index, source, slice(0, 1_000))
    if exact_scan_below < 1_000:
        wait_for(index, "hnsw")
    for gone in (slice(0), slice(10, 40)):
        source.delete(IDS[gone])
        index.remove(IDS[gone])
        for wanted in (IDS[:0], IDS[20:60], IDS[5:1_200:3], IDS[2_000:2_003]):
            assert index.cosines(VECTORS[7], wanted) == dict(index.search(VECTORS[7], 2_000, wanted))
    assert set(index.cosines(VECTORS[7], IDS[38:42])) == set(IDS[40:42].tolist())


def test_an_empty_index_finds_nothing(opened: Opener) -> None:
    assert opened().search(VECTORS[0], 5) == []
    assert opened().search(VECTORS[0], 5, IDS[:10]) == []
    assert opened().search(VECTORS[0], 0) == []
    assert opened().cosines(VECTORS[0], IDS[:10]) == {}


@pytest.mark.parametrize("wrong", [VECTORS[0][:-1], VECTORS[:1], np.full(DIMENSIONS, np.nan, dtype=np.float32)])
def test_a_vector_that_is_none_is_refused(opened: Opener, wrong: Matrix) -> None:
    with pytest.raises(ValueError, match="24 finite numbers"):
        opened().search(wrong, 5)


@pytest.mark.slow
def test_growing_past_the_limit_makes_a_graph_without_losing_anything(opened: Opener, source: MemorySource) -> None:
    index = opened(exact_scan_below=1_000)
    stop, lost = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            if index.search(VECTORS[3], 1)[0][0] != 4:
                lost.append(index.status())

    put(index, source, slice(0, 900))
    searcher = threading.Thread(target=search)
    searcher.start()
    for start in range(900, 4_000, 50):
        put(index, source, slice(start, start + 50))
        gone = IDS[start : start + 50 : 7]
        source.delete(gone)
        index.remove(gone)
    wait_for(index, "hnsw")
    stop.set()
    searcher.join()
    assert lost == []
    assert index.status().vectors == len(source.ids())
    assert index.verify() == []
    assert recall(index, source) >= 0.99
    index.close()


@pytest.mark.slow
def test_what_is_removed_is_gone_at_once_and_many_removals_make_a_new_graph(
    built: CollectionIndex, source: MemorySource
) -> None:
    nearest = np.array(source.nearest(VECTORS[0], 50), dtype=np.int64)
    source.delete(nearest)
    built.remove(nearest)
    built.remove(nearest)
    found = [i for i, _ in built.search(VECTORS[0], 50)]
    assert len(found) == 50
    assert not set(found) & set(nearest.tolist())
    assert built.status().removed == 50
    source.delete(IDS[:800])
    built.remove(IDS[:800])
    deadline = time.monotonic() + 60
    while built.status().removed:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert built.verify() == []


@pytest.mark.slow
def test_removed_before_added_stays_removed(opened: Opener, built: CollectionIndex, source: MemorySource) -> None:
    for index in (opened(exact_scan_below=5_000), built):
        index.remove(IDS[3_000:3_010])
        index.add(IDS[3_000:3_020], VECTORS[3_000:3_020])
        found = {i for question in VECTORS[3_000:3_020] for i, _ in index.search(question, 1)}
        assert not found & set(IDS[3_000:3_010].tolist())
        assert set(IDS[3_010:3_020].tolist()) <= found


@pytest.mark.slow
def test_ids_may_come_out_of_order_and_twice(built: CollectionIndex, source: MemorySource) -> None:
    put(built, source, slice(3_500, 3_600))
    put(built, source, slice(3_100, 3_200))
    put(built, source, slice(3_100, 3_200))
    assert built.status().vectors == 3_200
    assert built.verify() == []


@pytest.mark.slow
@pytest.mark.parametrize("step", [1, 2, 10, 100, 3_000])
def test_eligible_ones_are_never_lost(
    built: CollectionIndex, source: MemorySource, step: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for few in (1_000, 1):
        monkeypatch.setattr(nearest, "EXACT_ELIGIBLE", few)
        eligible = np.concatenate([IDS[:3_000:step], [999_999]])
        assert recall(built, source, eligible) >= 0.99
        assert len(built.search(VECTORS[5], 30, eligible)) == min(30, len(eligible) - 1)
    cluster = np.sort(np.array(source.nearest(-VECTORS[5], 1_200), dtype=np.int64))  # as far away as can be
    assert [i for i, _ in built.search(VECTORS[5], 5, cluster)] == source.nearest(VECTORS[5], 5, cluster)


@pytest.mark.slow
def test_few_eligible_ones_are_compared_one_by_one(
    built: CollectionIndex, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    def search(*_: object) -> None:
        raise AssertionError("the graph may miss some")

    monkeypatch.setattr(Graph, "search", search)
    eligible = IDS[:2_900]
    for question in VECTORS[3_000:3_010]:
        assert [i for i, _ in built.search(question, 100, eligible)] == source.nearest(question, 100, eligible)


@pytest.mark.slow
def test_more_neighbours_than_there_are(built: CollectionIndex) -> None:
    assert len(built.search(VECTORS[0], 5_000)) == 3_000


@pytest.mark.slow
def test_rebuild_and_verify(built: CollectionIndex, source: MemorySource) -> None:
    source.delete(IDS[:10])
    source.commit(IDS[3_000:3_001], VECTORS[3_000:3_001])
    problems = "\n".join(built.verify())
    assert "1 chunks are missing" in problems
    assert "10 chunks are in the index but not in the database" in problems
    built.rebuild()
    assert built.verify() == []
    assert built.status().removed == 0


@pytest.mark.slow
def test_searching_beside_adding_to_a_graph() -> None:
    graph = Graph(DIMENSIONS, Origin(0, "test"), threads=2, capacity=1)
    graph.add(IDS[:1_000], VECTORS[:1_000])
    stop, errors = threading.Event(), []

    def search() -> None:
        while not stop.is_set():
            ids, scores = graph.search(VECTORS[49], 10)
            if len(ids) != 10 or ids[0] != 50 or scores[0] < 0.999:
                errors.append((ids, scores))

    threads = [threading.Thread(target=search) for _ in range(3)]
    for thread in threads:
        thread.start()
    for start in range(1_000, 3_000, 100):  # past the capacity, so that it is resized too
        graph.add(IDS[start : start + 100], VECTORS[start : start + 100])
        graph.remove(IDS[start : start + 10])
    stop.set()
    for thread in threads:
        thread.join()
    assert errors == []
    assert graph.held.count == 2_800


@pytest.mark.slow
def test_recall_at_20_000(tmp_path: Path) -> None:
    dimensions = 384
    source = MemorySource(dimensions)
    vectors = clustered(20_000, dimensions, clusters=700)
    ids = np.arange(1, 20_001, dtype=np.int64)
    source.commit(ids, vectors)
    index = CollectionIndex.open(
        tmp_path / "index", source, dimensions=dimensions, fingerprint="m", exact_scan_below=15_000, threads=2
    )
    questions = clustered(200, dimensions, clusters=700, seed=5)
    truth = np.argsort(-(questions @ vectors.T), axis=1)[:, :10] + 1
    started = time.perf_counter()
    assert {i for i, _ in index.search(questions[0], 10)} == set(truth[0].tolist())
    exact_ms = 1000 * (time.perf_counter() - started)
    deadline = time.monotonic() + 280
    while index.status().kind != "hnsw":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    hits, times = 0, []
    for question, expected in zip(questions, truth, strict=True):
        started = time.perf_counter()
        found = index.search(question, 10)
        times.append(time.perf_counter() - started)
        hits += len({i for i, _ in found} & set(expected.tolist()))
    print(f"exact {exact_ms:.1f} ms, hnsw p50 {1000 * np.median(times):.2f} ms, recall@10 {hits / 2000:.4f}")
    assert hits / 2000 >= 0.99
    index.close()
    started = time.perf_counter()
    again = CollectionIndex.open(
        tmp_path / "index", source, dimensions=dimensions, fingerprint="m", exact_scan_below=15_000, threads=2
    )
    print(f"opened in {time.perf_counter() - started:.2f} s")
    assert again.status().vectors == 20_000


@pytest.mark.slow
def test_verifying_beside_changes_tells_only_what_stays_wrong(built: CollectionIndex, source: MemorySource) -> None:
    lost = int(source.ids()[5])
    built.remove(np.array([lost], dtype=np.int64))  # only from the index: this must be told
    stop = threading.Event()

    def change() -> None:
        for chunk_id in itertools.count(1_000_000):
            if stop.is_set():
                return
            ids = np.array([chunk_id], dtype=np.int64)
            vectors = clustered(1, DIMENSIONS, seed=chunk_id)
            source.commit(ids, vectors)  # committed, and not yet in the index
            time.sleep(0.02)
            built.add(ids, vectors)

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(2):
            found = built.verify()
            assert found == [f"1 chunks are missing from the index, {lost} for one"]
    finally:
        stop.set()
        thread.join()
