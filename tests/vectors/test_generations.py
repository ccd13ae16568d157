"""Generations on disk: loaded and replayed, damaged, foreign, on a full disk, and builds that fail or are stopped."""

import hashlib
import json
import resource
import signal
import time
from pathlib import Path

import hnswlib
import numpy as np
import pytest

from appliance.errors import StorageError
from appliance.vectors import CollectionIndex, generation
from appliance.vectors.build import as_stored
from appliance.vectors.graph import EF_CONSTRUCTION, M
from tests.vectors.samples import DIMENSIONS, IDS, VECTORS, MemorySource, Opener, put, recall, wait_for


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "torn":
        path.write_bytes(data[: len(data) // 2])
    elif how == "flipped":
        data[len(data) // 2] ^= 0xFF
        path.write_bytes(data)
    elif how == "empty":
        path.write_bytes(b"")
    else:
        path.unlink()


@pytest.mark.slow
def test_a_generation_is_loaded_and_what_came_later_replayed(
    built: CollectionIndex, opened: Opener, source: MemorySource
) -> None:
    source.commit(IDS[3_000:3_500], VECTORS[3_000:3_500])  # committed, then killed before they reached the index
    source.delete(IDS[:200])
    index = opened()
    assert index.status().kind == "hnsw"
    assert not index.status().building
    assert index.status().vectors == 3_300
    assert index.verify() == []
    assert recall(index, source) >= 0.99
    index.close()
    assert index.status().generation == 2
    assert opened().status().removed == 200


@pytest.mark.slow
@pytest.mark.parametrize("how", ["torn", "flipped", "empty", "missing"])
@pytest.mark.parametrize("file", ["hnsw.bin", "manifest.json"])
def test_a_damaged_generation_is_made_anew(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path, how: str, file: str
) -> None:
    if (how, file) == ("flipped", "manifest.json"):
        (tmp_path / "index" / "1" / file).write_text(json.dumps({"format": 1}))
    else:
        damage(tmp_path / "index" / "1" / file, how)
    index = opened()
    assert recall(index, source) >= 0.99  # exact until the graph is there
    wait_for(index, "hnsw")
    assert index.status().generation == 2
    assert index.verify() == []
    index.close()
    assert opened().status().kind == "hnsw"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("how", "why"), [("cut", "torn"), ("flipped", "torn"), ("a folder", "torn"), ("gone", "missing")]
)
def test_damage_is_told_without_opening(built: CollectionIndex, tmp_path: Path, how: str, why: str) -> None:
    built.close()
    [folder] = {path.parent.parent for path in tmp_path.rglob("hnsw.bin")}
    assert generation.damaged(folder) == []
    path = folder / "1" / "hnsw.bin"
    content = path.read_bytes()
    path.unlink()
    if how == "a folder":
        path.mkdir()
    elif how != "gone":
        path.write_bytes(content[:-1] if how == "cut" else content[:3000] + b"garbage" + content[3007:])
    assert generation.damaged(folder) == [(1, why)]


def test_the_one_before_serves_where_the_newest_is_torn(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path
) -> None:
    put(built, source, slice(3_000, 3_100))
    built.close()
    put(second := opened(), source, slice(3_100, 3_200))
    second.close()
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["2", "3", "CURRENT"]
    damage(tmp_path / "index" / "3" / "hnsw.bin", "torn")
    index = opened()
    assert not index.status().building
    assert index.status().generation == 2
    assert index.status().vectors == 3_200
    assert index.verify() == []


@pytest.mark.slow
def test_a_generation_with_float32_vectors_serves_and_is_written_again(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path
) -> None:
    built.close()
    path, manifest = tmp_path / "index" / "1" / "hnsw.bin", tmp_path / "index" / "1" / "manifest.json"
    graph = hnswlib.Index("ip", DIMENSIONS)
    graph.init_index(3_000, M=M, ef_construction=EF_CONSTRUCTION)
    graph.add_items(as_stored(VECTORS[:3_000]), IDS[:3_000])
    graph.save_index(str(path))
    data = path.read_bytes()
    told = json.loads(manifest.read_text()) | {"format": 3, "bytes": len(data)}
    manifest.write_text(json.dumps(told | {"sha256": hashlib.sha256(data).hexdigest()}))
    index = opened()
    assert (index.status().kind, index.status().building) == ("hnsw", False)
    assert recall(index, source) >= 0.99
    assert index.verify() == []
    index.close()
    assert opened().status().generation == 2
    assert not generation.is_old(tmp_path / "index", 2)
    opened().close()  # and not written again
    assert generation.numbers(tmp_path / "index")[0] == 2


@pytest.mark.slow
def test_another_model_or_another_database_means_a_new_graph(
    built: CollectionIndex, opened: Opener, source: MemorySource
) -> None:
    other = opened(fingerprint="model-2")
    assert other.status().kind == "exact"
    wait_for(other, "hnsw")
    source.commit(IDS[2_990:3_000], VECTORS[3_500:3_510])  # the same ids, other chunks: a restored backup
    restored = opened(fingerprint="model-2")
    assert restored.status().kind == "exact"
    assert restored.search(VECTORS[3_505], 1)[0][0] == 2_996
    wait_for(restored, "hnsw")
    assert restored.verify() == []


@pytest.mark.slow
def test_what_is_purged_is_in_no_file(built: CollectionIndex, source: MemorySource, tmp_path: Path) -> None:
    needle = VECTORS[41] / np.linalg.norm(VECTORS[41])
    wanted = needle.astype(np.float16).tobytes()
    files = tmp_path / "index"
    assert any(wanted in path.read_bytes() for path in files.rglob("hnsw.bin"))
    source.commit(IDS[3_000:3_001], VECTORS[3_000:3_001])
    built.add(IDS[3_000:3_001], VECTORS[3_000:3_001])
    built.snapshot()
    source.delete(IDS[41:42])
    built.purge(IDS[41:42])
    assert [path.name for path in files.iterdir() if path.is_dir()] == [str(built.status().generation)]
    assert not any(wanted in path.read_bytes() for path in files.rglob("*") if path.is_file())
    assert built.status().removed == 0
    assert built.status().vectors == 3_000
    assert built.verify() == []
    built.purge(IDS[41:42])  # nothing is left to do
    assert built.status().generation == 3


@pytest.mark.slow
def test_a_disk_that_is_full_costs_only_the_snapshot(
    built: CollectionIndex, opened: Opener, source: MemorySource, tmp_path: Path
) -> None:
    put(built, source, slice(3_000, 3_100))
    size = (tmp_path / "index" / "1" / "hnsw.bin").stat().st_size
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    try:
        with pytest.raises(StorageError) as caught:
            built.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert caught.value.hint
    assert sorted(path.name for path in (tmp_path / "index").iterdir()) == ["1", "CURRENT"]
    assert opened().status().vectors == 3_100
    built.snapshot()
    assert built.status().generation == 2


def test_a_build_that_fails_is_tried_again_later(
    opened: Opener, source: MemorySource, monkeypatch: pytest.MonkeyPatch
) -> None:
    index = opened(exact_scan_below=500)
    whole = source.vectors

    def broken(after: int) -> object:
        if after == 0:
            raise StorageError("the disk is gone")
        return whole(after)

    monkeypatch.setattr(source, "vectors", broken)
    put(index, source, slice(0, 600))
    time.sleep(0.2)
    assert index.status().kind == "exact"
    assert index.search(VECTORS[599], 1)[0][0] == 600
    monkeypatch.setattr(source, "vectors", whole)
    monkeypatch.setattr(index, "_not_before", 0.0)
    put(index, source, slice(600, 601))
    wait_for(index, "hnsw")


def test_closing_stops_a_build(opened: Opener, source: MemorySource, tmp_path: Path) -> None:
    source.commit(IDS, VECTORS)
    index = opened()
    started = time.monotonic()
    index.close()
    assert time.monotonic() - started < 5
    assert opened().search(VECTORS[9], 1)[0][0] == 10
