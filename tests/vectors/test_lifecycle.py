"""Rebuilding, compacting and rolling back: beside what serves, level with the database afterwards, stopped cleanly."""

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from appliance.errors import Conflict, StorageError
from appliance.vectors import CollectionIndex, generation, memory
from appliance.vectors.status import IndexStatus
from tests.vectors.samples import IDS, VECTORS, MemorySource, Opener, put, wait_for


def done(index: CollectionIndex, name: str) -> IndexStatus:
    """The status after the job under way, which must have been done."""
    wait_for(index, index.status().kind)
    status = index.status()
    assert status.last is not None
    assert (status.last.name, status.last.state, status.last.error) == (name, "done", "")
    return status


def on_disk(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "index").iterdir())


@pytest.mark.slow
def test_a_rebuild_keeps_the_generation_before(built: CollectionIndex, source: MemorySource, tmp_path: Path) -> None:
    built.rebuild()
    put(built, source, slice(3_000, 3_100))
    built.snapshot()  # another file of the new graph does not push out the old graph
    assert on_disk(tmp_path) == ["1", "3", "CURRENT"]
    generations = {g.number: g for g in built.status().generations}
    assert [(g.current, g.reason, g.vectors) for g in generations.values()] == [
        (True, "asked", 3_100),
        (False, "missing", 3_000),
    ]
    assert all(g.recall is not None and g.recall > 0.99 and g.bytes > 100_000 for g in generations.values())
    assert generations[1].built_at < generations[3].built_at <= generations[3].created_at


@pytest.mark.slow
def test_rolling_back_and_forward_again_loses_nothing(
    built: CollectionIndex, source: MemorySource, opened: Opener, tmp_path: Path
) -> None:
    built.rebuild()
    put(built, source, slice(3_000, 3_500))
    source.delete(IDS[:100])
    built.remove(IDS[:100])
    for number, reason in ((1, "missing"), (3, "asked"), (4, "missing")):
        built.begin("rollback")
        status = done(built, "rollback")
        assert status.generation == number
        assert next(g.reason for g in status.generations if g.current) == reason
        assert status.vectors == 3_400
        assert built.verify() == []
        assert built.search(VECTORS[3_400], 1)[0][0] == 3_401
        assert built.search(VECTORS[50], 1)[0][0] != 51
    built.close()
    again = opened()
    assert again.status().vectors == 3_400
    assert again.verify() == []
    assert next(g.reason for g in again.status().generations if g.current) == "missing"


@pytest.mark.slow
def test_there_is_nothing_to_roll_back_to(built: CollectionIndex, opened: Opener) -> None:
    for index in (built, opened(exact_scan_below=5_000)):
        with pytest.raises(Conflict, match="no generation") as caught:
            index.begin("rollback")
        assert caught.value.code == "no_previous_generation"
        assert caught.value.hint


@pytest.mark.slow
def test_a_damaged_generation_is_not_rolled_back_to(built: CollectionIndex, tmp_path: Path) -> None:
    built.rebuild()
    (tmp_path / "index" / "1" / "hnsw.bin").write_bytes(b"torn")
    built.begin("rollback")
    wait_for(built, "hnsw")
    status = built.status()
    assert status.last is not None
    assert (status.last.state, status.last.code) == ("failed", "generation_unusable")
    assert status.generation == 2
    assert built.search(VECTORS[7], 1)[0][0] == 8


@pytest.mark.slow
def test_compacting_leaves_no_removed_vector_in_any_file(
    built: CollectionIndex, source: MemorySource, tmp_path: Path
) -> None:
    built.rebuild()
    source.delete(IDS[:300])
    built.remove(IDS[:300])
    wanted = [row.tobytes() for row in VECTORS[:300].astype(np.float16)]
    before = generation.bytes_on_disk(tmp_path / "index")
    built.begin("compact")
    status = done(built, "compact")
    assert (status.removed, status.vectors, len(status.generations)) == (0, 2_700, 1)
    content = (tmp_path / "index" / str(status.generation) / "hnsw.bin").read_bytes()
    assert not any(vector in content for vector in wanted)
    assert VECTORS[300].astype(np.float16).tobytes() in content
    assert status.last is not None
    assert status.last.detail["bytes_before"] == before
    assert status.last.detail["bytes_after"] == generation.bytes_on_disk(tmp_path / "index") < before / 2
    assert built.verify() == []
    with pytest.raises(Conflict):
        built.begin("rollback")


@pytest.mark.slow
def test_many_removals_compact_by_themselves(built: CollectionIndex, source: MemorySource) -> None:
    source.delete(IDS[:800])
    built.remove(IDS[:800])
    status = done(built, "compact")
    assert (status.removed, status.last and status.last.reason) == (0, "removed")


@pytest.mark.slow
def test_one_job_at_a_time_and_search_goes_on(built: CollectionIndex, source: MemorySource) -> None:
    gate, whole = threading.Event(), source.ids

    def held_back() -> np.ndarray[tuple[int], np.dtype[np.int64]]:
        if threading.current_thread().name.startswith("index-"):
            gate.wait(30)
        return whole()

    source.ids = held_back  # type: ignore[method-assign]
    built.begin("rebuild")
    status = built.status()
    assert status.building
    assert status.job is not None
    assert (status.job.name, status.job.reason) == ("rebuild", "asked")
    with pytest.raises(Conflict, match="rebuild") as caught:
        built.begin("compact")
    assert caught.value.code == "index_busy"
    assert built.search(VECTORS[7], 1)[0][0] == 8
    put(built, source, slice(3_000, 3_010))
    gate.set()
    assert done(built, "rebuild").vectors == 3_010
    assert built.verify() == []


@pytest.mark.slow
def test_what_comes_and_goes_during_a_rebuild_is_in_it(built: CollectionIndex, source: MemorySource) -> None:
    built.begin("rebuild")
    for start in range(3_000, 4_000, 50):
        put(built, source, slice(start, start + 50))
        gone = IDS[start - 2_900 : start - 2_890]
        source.delete(gone)
        built.remove(gone)
    wait_for(built, "hnsw")
    assert built.status().vectors == 3_800
    assert built.verify() == []


@pytest.mark.slow
def test_closing_stops_a_job_and_keeps_what_serves(
    built: CollectionIndex, source: MemorySource, opened: Opener, tmp_path: Path
) -> None:
    source.commit(IDS[3_000:], VECTORS[3_000:])
    built.add(IDS[3_000:], VECTORS[3_000:])
    built.begin("rebuild")
    built.close()
    status = built.status()
    assert status.last is not None
    assert status.last.state == "stopped"
    assert not [name for name in on_disk(tmp_path) if name.endswith(".new")]
    with pytest.raises(Conflict):
        built.begin("rebuild")
    with pytest.raises(StorageError, match="closed"):
        built.rebuild()
    assert opened().status().vectors == 4_000


@pytest.mark.slow
def test_without_memory_for_a_second_graph_the_first_serves_on(
    built: CollectionIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(memory, "available", lambda: 1_000_000)
    with pytest.raises(StorageError, match="MiB are free") as caught:
        built.rebuild()
    assert (caught.value.code, built.status().generation) == ("index_memory", 1)
    assert built.search(VECTORS[7], 1)[0][0] == 8
    monkeypatch.undo()
    assert 0 < memory.available() < 2**45
    assert memory.graph_bytes(1_000_000, 384) < 1.1 * 1024 * 1_000_000


@pytest.mark.slow
def test_progress_is_told(built: CollectionIndex) -> None:
    steps = set()
    built.begin("rebuild")
    while (job := built.status().job) is not None:
        steps.add(job.step)
        assert job.done <= max(job.total, 0) or not job.total
        time.sleep(0.002)
    assert steps & {"building", "measuring"}
