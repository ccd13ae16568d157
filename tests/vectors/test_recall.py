"""The gate before a switch: recall is measured against the database, the search made as wide as it needs to be."""

import json
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import StorageError
from appliance.telemetry import metrics
from appliance.vectors import CollectionIndex, generation, graph, recall
from appliance.vectors.graph import Graph, Origin
from appliance.vectors.job import Job
from tests.vectors.samples import DIMENSIONS, IDS, VECTORS, MemorySource, Opener, put, wait_for


def manifest(folder: Path, number: int) -> dict[str, object]:
    found: dict[str, object] = json.loads((folder / str(number) / "manifest.json").read_text("utf-8"))
    return found


@pytest.mark.slow
def test_a_graph_that_finds_too_little_does_not_come_into_force(
    built: CollectionIndex, source: MemorySource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    source.delete(IDS[:10])
    built.remove(IDS[:10])
    monkeypatch.setattr(recall, "LEAST", 1.01)
    before = refusals()
    with pytest.raises(StorageError, match="it was dropped, and the one before serves") as caught:
        built.rebuild()
    assert caught.value.code == "index_refused"
    assert caught.value.hint
    assert refusals() == before + 1
    status = built.status()
    assert (status.generation, status.removed, status.building) == (1, 10, False)
    assert status.last is not None
    assert (status.last.name, status.last.state, status.last.code) == ("rebuild", "failed", "index_refused")
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["1", "CURRENT"]
    assert built.search(VECTORS[100], 1)[0][0] == 101
    monkeypatch.undo()
    built.rebuild()
    assert (built.status().generation, built.status().removed) == (2, 0)


def refusals() -> float:
    found = metrics.REGISTRY.get_sample_value("rag_index_generations_refused_total")
    assert found is not None
    return found


def test_a_first_graph_that_is_refused_leaves_the_search_exact(
    opened: Opener, source: MemorySource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(recall, "LEAST", 1.01)
    index = opened(exact_scan_below=500)
    put(index, source, slice(0, 600))
    wait_for(index, "exact")
    assert index.search(VECTORS[599], 1)[0][0] == 600
    assert not (tmp_path / "index").exists()
    put(index, source, slice(600, 700))
    assert not index.status().building  # not again at once


@pytest.mark.slow
def test_a_search_is_as_wide_as_it_must_be_and_stays_so_after_a_restart(
    opened: Opener, source: MemorySource, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(graph, "LEAST_EF", 10)
    monkeypatch.setattr(recall, "EFS", (10, 12, 16, 24, 32, 64, 128))
    source.commit(IDS, VECTORS)
    index = opened()
    wait_for(index, "hnsw")
    status = index.status()
    assert status.ef is not None
    assert status.ef > 10
    assert status.recall is not None
    assert status.recall >= recall.WANTED
    stored = manifest(tmp_path / "index", 1)
    assert (stored["ef"], stored["recall"], stored["recall_vectors"]) == (status.ef, status.recall, 4_000)
    assert (stored["reason"], stored["m"], stored["ef_construction"]) == ("missing", 16, 200)
    assert abs(float(str(stored["created_at"])) - time.time()) < 100
    index.close()
    again = opened().status()
    assert (again.ef, again.recall) == (status.ef, status.recall)


@pytest.mark.slow
def test_a_graph_that_has_grown_is_measured_again(opened: Opener, source: MemorySource, tmp_path: Path) -> None:
    source.commit(IDS[:1_000], VECTORS[:1_000])
    index = opened()
    wait_for(index, "hnsw")
    put(index, source, slice(1_000, 1_400))
    assert index.status().job is None
    put(index, source, slice(1_400, 2_000))
    wait_for(index, "hnsw")
    last = index.status().last
    assert last is not None
    assert (last.name, last.reason, last.state) == ("measure", "grown", "done")
    index.close()
    assert manifest(tmp_path / "index", 2)["recall_vectors"] == 2_000


@pytest.mark.parametrize("version", [1, 2])
def test_a_generation_of_an_older_format_is_read_and_then_measured(
    built: CollectionIndex, opened: Opener, tmp_path: Path, version: int
) -> None:
    built.close()
    stored = manifest(tmp_path / "index", 1)
    for name in ("built_at", "created_at", "reason", "ef", "recall", "recall_vectors") if version == 1 else ():
        del stored[name]
    (tmp_path / "index" / "1" / "manifest.json").write_text(json.dumps({**stored, "format": version}), "utf-8")
    index = opened()
    wait_for(index, "hnsw")
    last = index.status().last
    assert last is not None
    assert last.name == "measure"
    assert index.status().generation == 1
    index.close()
    assert manifest(tmp_path / "index", 2)["format"] == generation.FORMAT


def test_of_many_equal_vectors_any_will_do() -> None:
    source = MemorySource(DIMENSIONS)
    vectors = np.concatenate([np.repeat(VECTORS[:40], 30, axis=0), VECTORS[40:100]])
    ids = IDS[: len(vectors)]
    source.commit(ids, vectors)
    made = Graph(DIMENSIONS, Origin(0, "test"), threads=1)
    made.add(ids, source.some(ids)[1])
    assert recall.measure(made, source, Job("measure", "test", 0)).value >= recall.WANTED


def test_nothing_to_measure_is_no_reason_to_refuse() -> None:
    measured = recall.measure(Graph(4, Origin(0, "test"), threads=1), MemorySource(4), Job("measure", "test", 0))
    assert measured == graph.Recall(1.0, graph.LEAST_EF, 0)
