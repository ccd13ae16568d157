"""Whatever lies in the index folder: it is noticed, counted, made again from the database, and search goes on."""

import json
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import StorageError
from appliance.telemetry import metrics
from appliance.types import Ids, Matrix
from appliance.vectors import CollectionIndex, build, generation, memory
from appliance.vectors.behind import Behind
from appliance.vectors.exact import ExactScan
from appliance.vectors.graph import Graph, Origin
from appliance.vectors.job import Job
from appliance.vectors.stored import StoredScan
from tests.vectors.samples import DIMENSIONS, IDS, VECTORS, MemorySource, Opener, clustered, put, wait_for


def unusable(reason: str) -> float:
    return metrics.REGISTRY.get_sample_value("rag_index_generations_unusable_total", {"reason": reason}) or 0.0


def edit(folder: Path, **changes: object) -> None:
    path = folder / "1" / "manifest.json"
    path.write_text(json.dumps(json.loads(path.read_text("utf-8")) | changes), "utf-8")


def cut(folder: Path) -> None:
    path = folder / "1" / "hnsw.bin"
    path.write_bytes(path.read_bytes()[:-1])


def exchange(folder: Path) -> None:
    """A whole graph file of the right size, of other vectors."""
    other = Graph(DIMENSIONS, Origin(0, "test"), threads=1, capacity=3_300)
    other.add(IDS[:3_000], clustered(3_000, DIMENSIONS, seed=77))
    other.save(folder / "1" / "hnsw.bin")


DAMAGES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "the graph file is cut": ("torn", cut),
    "the graph file is another": ("torn", exchange),
    "the graph file is gone": ("missing", lambda folder: (folder / "1" / "hnsw.bin").unlink()),
    "the graph file is a folder": ("torn", lambda folder: _folder(folder / "1" / "hnsw.bin")),
    "the manifest is gone": ("missing", lambda folder: (folder / "1" / "manifest.json").unlink()),
    "the manifest is half": ("torn", lambda folder: (folder / "1" / "manifest.json").write_text('{"format": 2, "ef')),
    "the manifest is no object": ("torn", lambda folder: (folder / "1" / "manifest.json").write_text("[1, 2]")),
    "the manifest is not UTF-8": ("torn", lambda folder: (folder / "1" / "manifest.json").write_bytes(b"\xff\xfe")),
    "the manifest counts wrong": ("torn", lambda folder: edit(folder, vectors=2_999)),
    "the manifest has words for numbers": ("torn", lambda folder: edit(folder, removed=["a"])),
    "a newer version wrote it": ("foreign", lambda folder: edit(folder, format=99)),
    "another model": ("foreign", lambda folder: edit(folder, fingerprint="model-9")),
    "other dimensions": ("foreign", lambda folder: edit(folder, dimensions=25)),
    "other parameters": ("foreign", lambda folder: edit(folder, m=8)),
    "the generation is empty": ("missing", lambda folder: _emptied(folder / "1")),
}


def _emptied(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
def test_it_is_noticed_counted_and_made_again(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path, damage: str
) -> None:
    built.close()
    reason, harm = DAMAGES[damage]
    harm(tmp_path / "index")
    before = unusable(reason)
    index = opened()
    assert unusable(reason) == before + 1
    assert index.search(VECTORS[7], 1)[0][0] == 8  # at once
    wait_for(index, "hnsw")
    last = index.status().last
    assert last is not None
    assert (last.name, last.reason, last.state) == ("rebuild", reason, "done")
    assert index.verify() == []
    index.close()
    assert opened().status().building is False


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"7", b"one", b"\xff", b"-1", b"1\n", b"99999999999999999999"])
def test_a_useless_current_is_no_loss(built: CollectionIndex, opened: Opener, tmp_path: Path, content: bytes) -> None:
    built.close()
    (tmp_path / "index" / "CURRENT").write_bytes(content)
    index = opened()
    assert (index.status().building, index.status().generation, index.status().vectors) == (False, 1, 3_000)


@pytest.mark.slow
def test_strays_of_a_crash_are_no_hindrance_and_go(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path
) -> None:
    built.close()
    folder = tmp_path / "index"
    shutil.copytree(folder / "1", folder / "2.new")
    (folder / "CURRENT.new").write_text("2")
    (folder / "3").write_text("a file where a folder should be")
    index = opened()
    assert (index.status().generation, index.status().building) == (1, False)
    put(index, source, slice(3_000, 3_100))
    index.snapshot()
    assert index.verify() == []
    index.close()
    assert not [path.name for path in folder.iterdir() if path.name.endswith(".new")]
    assert opened().status().vectors == 3_100


@pytest.mark.slow
def test_an_empty_folder_means_a_new_graph(opened: Opener, source: MemorySource, tmp_path: Path) -> None:
    (tmp_path / "index").mkdir()
    source.commit(IDS, VECTORS)
    index = opened()
    assert index.search(VECTORS[7], 1)[0][0] == 8
    wait_for(index, "hnsw")


def held_back(source: MemorySource, gate: threading.Event) -> None:
    """Whatever works on the index in the background waits before it reads vectors."""
    whole = source.vectors

    def vectors(after: int) -> object:
        if threading.current_thread().name.startswith("index-"):
            gate.wait(30)
        return whole(after)

    source.vectors = vectors  # type: ignore[method-assign, assignment]


@pytest.mark.slow
def test_while_a_graph_is_built_memory_that_is_short_is_not_used(
    opened: Opener, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    source.commit(IDS[:3_000], VECTORS[:3_000])
    needed = memory.graph_bytes(3_100, DIMENSIONS) + memory.RESERVE
    monkeypatch.setattr(memory, "available", lambda: needed)  # for the graph, and nothing beside it
    gate = threading.Event()
    held_back(source, gate)
    index = opened()
    assert isinstance(index._current.state, StoredScan)
    assert index.search(VECTORS[7], 1)[0][0] == 8
    source.commit(IDS[3_000:3_010], VECTORS[3_000:3_010])
    index.add(IDS[3_000:3_010], VECTORS[3_000:3_010])
    index.remove(IDS[:5])
    source.delete(IDS[:5])
    for question in VECTORS[:40]:
        assert [i for i, _ in index.search(question, 10)] == source.nearest(question, 10)
        assert [i for i, _ in index.search(question, 5, IDS[::3])] == source.nearest(question, 5, IDS[::3])
    assert index.cosines(VECTORS[7], IDS[::3]) == dict(index.search(VECTORS[7], len(IDS), IDS[::3]))
    assert index.status().kind == "exact"
    assert index.verify() == []
    gate.set()
    wait_for(index, "hnsw")
    assert index.status().vectors == 3_005


@pytest.mark.slow
def test_a_long_replay_does_not_keep_anyone_waiting(
    built: CollectionIndex, opened: Opener, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(build, "REPLAYED_AT_ONCE", 100)
    source.commit(IDS[3_000:3_900], VECTORS[3_000:3_900])
    source.delete(IDS[:50])
    gate, at = threading.Event(), Behind.catch_up
    monkeypatch.setattr(Behind, "catch_up", lambda self, job: (gate.wait(30), at(self, job)))
    index = opened()
    assert isinstance(index._current.state, Behind)
    assert (index.status().kind, index.status().generation) == ("hnsw", 1)
    put(index, source, slice(3_900, 4_000))
    for gone in (IDS[60:70], IDS[3_100:3_110], IDS[3_950:3_960]):
        source.delete(gone)
        index.remove(gone)
    assert index.status().vectors == 3_920
    assert index.verify() == []
    hits = sum(
        len({i for i, _ in index.search(question, 10)} & set(source.nearest(question, 10)))
        for question in VECTORS[::80]
    )
    assert hits >= 0.98 * 500
    eligible = IDS[10:3_999:7]
    assert {i for i, _ in index.search(VECTORS[3_500], 8, eligible)} == set(source.nearest(VECTORS[3_500], 8, eligible))
    assert index.cosines(VECTORS[9], eligible) == dict(index.search(VECTORS[9], len(IDS), eligible))
    gate.set()
    wait_for(index, "hnsw")
    assert isinstance(index._current.state, Graph)
    assert index.status().vectors == 3_920
    assert index.verify() == []
    index.close()
    assert opened().status().vectors == 3_920


@pytest.mark.slow
@pytest.mark.parametrize("room", [True, False])
def test_a_purge_leaves_nothing_although_a_replay_failed(
    built: CollectionIndex,
    opened: Opener,
    source: MemorySource,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    room: bool,
) -> None:
    def full(self: Behind, job: Job) -> None:
        raise StorageError("no room", code="index_memory")

    monkeypatch.setattr(build, "REPLAYED_AT_ONCE", 100)
    monkeypatch.setattr(Behind, "catch_up", full)
    source.commit(IDS[3_000:3_900], VECTORS[3_000:3_900])
    free = memory.available()
    with monkeypatch.context() as short:
        short.setattr(memory, "available", lambda: free if room else 0)
        index = opened()
    assert isinstance(index._current.state, Behind)
    assert isinstance(index._current.state.tail, ExactScan if room else StoredScan)
    gone = IDS[[5, 3_500]]
    source.delete(gone)
    index.remove(gone)
    assert index.status().removed == 1  # the graph has it, the tail no more
    assert index.verify() == []
    index.purge(gone)
    [manifest] = (tmp_path / "index").glob("*/manifest.json")
    assert json.loads(manifest.read_text("utf-8"))["removed"] == []
    left = Graph.load(manifest.with_name("hnsw.bin"), DIMENSIONS, Origin(0, "test"), threads=1).held.ids
    assert left.tolist() == source.ids().tolist()
    assert index.verify() == []


@pytest.mark.slow
def test_a_purge_without_room_for_a_graph_leaves_nothing_on_disk(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    built.close()
    edit(tmp_path / "index", fingerprint="model-9")
    monkeypatch.setattr(memory, "available", lambda: 0)
    index = opened()
    assert isinstance(index._current.state, StoredScan)
    source.delete(IDS[:3])
    index.purge(IDS[:3])
    assert generation.bytes_on_disk(tmp_path / "index") == 0
    assert index.search(VECTORS[1], 1)[0][0] != 2
    assert index.verify() == []


def test_changes_during_a_replay_are_kept() -> None:
    graph = Graph(DIMENSIONS, Origin(0, "test"), threads=1)
    graph.add(IDS[:500], VECTORS[:500])
    tail = ExactScan(DIMENSIONS)
    tail.add(IDS[500:1_500], VECTORS[500:1_500])
    source = MemorySource(DIMENSIONS)
    source.commit(IDS[:1_650], VECTORS[:1_650])
    behind = Behind(graph, tail, source)
    removed: list[Ids] = []

    def disturb() -> None:
        for start in range(0, 1_500, 100):
            behind.remove(IDS[start : start + 10])
            removed.append(IDS[start : start + 10])
            behind.add(
                IDS[1_500 + start // 10 : 1_510 + start // 10], VECTORS[1_500 + start // 10 : 1_510 + start // 10]
            )

    thread = threading.Thread(target=disturb)
    thread.start()
    behind.catch_up(Job("replay", "test", 0))
    thread.join()
    whole = behind.whole().held
    expected = np.setdiff1d(IDS[:1_650], np.concatenate(removed))
    assert whole.ids[whole.live].tolist() == expected.tolist()


@pytest.mark.slow
def test_a_generation_that_lacks_most_is_stale(built: CollectionIndex, opened: Opener, source: MemorySource) -> None:
    built.close()
    more: Matrix = clustered(4_000, DIMENSIONS, seed=5)
    source.commit(np.arange(5_001, 9_001, dtype=np.int64), more)
    before = unusable("stale")
    index = opened()
    assert unusable("stale") == before + 1
    wait_for(index, "hnsw")
    assert index.status().vectors == 7_000


@pytest.mark.slow
def test_the_folder_of_a_collection_that_became_small_goes(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path
) -> None:
    built.close()
    source.delete(IDS[50:3_000])
    assert opened().status().kind == "exact"
    assert generation.bytes_on_disk(tmp_path / "index") == 0
