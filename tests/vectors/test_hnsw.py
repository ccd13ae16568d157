"""The compiled graph against plain arithmetic and hnswlib itself, and with files that are not what they should be."""

from pathlib import Path

import hnswlib
import numpy as np
import pytest

from appliance.types import Ids, Matrix
from appliance.vectors.build import as_stored
from appliance.vectors.graph import EF_CONSTRUCTION, M
from appliance.vectors.hnsw import Hnsw
from appliance.vectors.links import read_links
from tests.vectors.samples import clustered

COUNT, DIMENSIONS, HEAD_BYTES, EF = 1_500, 33, 96, 200


def ids_of(vectors: Matrix) -> Ids:
    return np.arange(1, len(vectors) + 1, dtype=np.int64)


def built(vectors: Matrix, threads: int = 1) -> Hnsw:
    graph = Hnsw(vectors.shape[1], len(vectors), M, EF_CONSTRUCTION)
    graph.add(ids_of(vectors), vectors, threads)
    graph.ef = EF
    return graph


def loaded(path: Path, dimensions: int = DIMENSIONS) -> Hnsw:
    graph = Hnsw.load(str(path), dimensions, M, EF_CONSTRUCTION)
    graph.ef = EF
    return graph


@pytest.fixture(scope="module")
def vectors() -> Matrix:
    return as_stored(clustered(COUNT, DIMENSIONS))


@pytest.fixture(scope="module")
def saved(vectors: Matrix, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("graph") / "hnsw.bin"
    assert built(vectors).save(str(path)) == path.stat().st_size
    return path


@pytest.mark.parametrize("dimensions", [33, 100, 384])
def test_a_vector_is_kept_in_the_very_bytes_that_the_database_has(dimensions: int, tmp_path: Path) -> None:
    rng = np.random.default_rng(dimensions)
    rows = rng.normal(size=(400, dimensions)) * (rng.random((400, dimensions)) < 0.7)
    unit = (rows / np.maximum(np.linalg.norm(rows, axis=1), 1e-9)[:, None]).astype(np.float32)
    halves = unit.astype(np.float16)
    graph = built(as_stored(unit))
    assert np.abs(graph.vectors(ids_of(unit)) - as_stored(halves.astype(np.float32))).max() < 1e-6
    graph.save(str(tmp_path / "hnsw.bin"))
    data = (tmp_path / "hnsw.bin").read_bytes()
    assert all(row.tobytes() in data for row in halves)


@pytest.mark.parametrize("dimensions", [7, 64, 100])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_nearest_are_found_with_their_cosines(dimensions: int, threads: int) -> None:
    stored = as_stored(clustered(COUNT, dimensions))
    graph, found = built(stored, threads), 0
    for question in clustered(50, dimensions, seed=2):
        ids, cosines = graph.search(question, 10)
        truth = stored @ question
        assert np.abs(cosines - truth[ids - 1]).max() < 1e-6
        assert np.abs(graph.cosines(question, ids_of(stored)) - truth).max() < 1e-6
        assert (np.diff(cosines) <= 0).all()
        found += len(set(ids.tolist()) & set((np.argsort(-truth)[:10] + 1).tolist()))
    assert found >= 0.98 * 500


def test_removed_vectors_are_passed_through_but_not_found(vectors: Matrix) -> None:
    graph = built(vectors)
    gone = ids_of(vectors)[::2]
    graph.remove(gone)
    for question in clustered(30, DIMENSIONS, seed=3):
        ids, _ = graph.search(question, 20)
        truth = vectors @ question
        truth[::2] = -2
        assert not np.isin(ids, gone).any()
        assert len(set(ids.tolist()) & set((np.argsort(-truth)[:20] + 1).tolist())) >= 18
    graph.remove(ids_of(vectors)[1::2])
    assert graph.search(vectors[0], 5)[0].tolist() == []
    assert Hnsw(DIMENSIONS, 10, M, EF_CONSTRUCTION).search(vectors[0], 5)[0].tolist() == []


def test_a_file_gives_the_same_graph_which_can_grow(vectors: Matrix, saved: Path) -> None:
    first, again = built(vectors), loaded(saved)
    for question in clustered(30, DIMENSIONS, seed=4):
        assert [part.tolist() for part in again.search(question, 20)] == [
            part.tolist() for part in first.search(question, 20)
        ]
    again.resize(again.count + 1)
    again.add(np.array([9_000], dtype=np.int64), -vectors[:1], 2)
    assert again.search(-vectors[0], 1)[0].tolist() == [9_000]
    assert again.ids().tolist() == [*range(1, COUNT + 1), 9_000]


def test_what_hnswlib_itself_has_written_is_read_and_found_alike(vectors: Matrix, tmp_path: Path) -> None:
    theirs = hnswlib.Index("ip", DIMENSIONS)
    theirs.init_index(COUNT, M=M, ef_construction=EF_CONSTRUCTION)
    theirs.add_items(vectors, ids_of(vectors), num_threads=1)
    theirs.mark_deleted(3)
    theirs.set_ef(EF)
    theirs.save_index(str(tmp_path / "hnsw.bin"))
    ours = loaded(tmp_path / "hnsw.bin")
    for question in clustered(100, DIMENSIONS, seed=5):
        labels, distances = theirs.knn_query(question, k=10)
        ids, cosines = ours.search(question, 10)
        assert ids.tolist() == labels[0].tolist()
        assert np.abs(1 - distances[0] - cosines).max() < 1e-6
    saved = (4 - 2) * DIMENSIONS - 4  # bytes of each vector's numbers, and its scale
    assert ours.save(str(tmp_path / "ours.bin")) == (tmp_path / "hnsw.bin").stat().st_size - saved * COUNT


def test_its_own_graphs_are_as_good_as_those_of_hnswlib(vectors: Matrix) -> None:
    theirs = hnswlib.Index("ip", DIMENSIONS)
    theirs.init_index(COUNT, M=M, ef_construction=EF_CONSTRUCTION)
    theirs.add_items(vectors, ids_of(vectors), num_threads=1)
    theirs.set_ef(20)
    ours = built(vectors)
    ours.ef = 20
    right = {"theirs": 0, "ours": 0}
    for question in clustered(200, DIMENSIONS, seed=6):
        truth = set((np.argsort(-(vectors @ question))[:10] + 1).tolist())
        right["theirs"] += len(truth & set(theirs.knn_query(question, k=10)[0][0].tolist()))
        right["ours"] += len(truth & set(ours.search(question, 10)[0].tolist()))
    assert right["ours"] >= 0.99 * right["theirs"]


@pytest.mark.parametrize("share", [0, 0.00001, 0.2, 0.9, 0.99999])
def test_a_file_that_ends_too_soon_is_refused(saved: Path, tmp_path: Path, share: float) -> None:
    data = saved.read_bytes()
    (tmp_path / "torn").write_bytes(data[: int(share * len(data))])
    with pytest.raises(RuntimeError):
        loaded(tmp_path / "torn")


def test_a_file_that_goes_on_or_has_other_parameters_is_refused(saved: Path, tmp_path: Path) -> None:
    (tmp_path / "longer").write_bytes(saved.read_bytes() + b"\0")
    for path, dimensions, m in ((tmp_path / "longer", DIMENSIONS, M), (saved, 34, M), (saved, DIMENSIONS, M + 1)):
        with pytest.raises(RuntimeError):
            Hnsw.load(str(path), dimensions, m, EF_CONSTRUCTION)
    with pytest.raises(FileNotFoundError):
        loaded(tmp_path / "none")
    with pytest.raises(IsADirectoryError):
        loaded(tmp_path)


def test_reading_any_bytes_whatever_ends_with_a_graph_or_an_error(saved: Path, tmp_path: Path) -> None:
    """Its checksum is made while a file is read: until it is known nothing is searched, but everything was read."""
    rng, data, path, refused = np.random.default_rng(7), saved.read_bytes(), tmp_path / "changed", 0
    for trial in range(300):
        changed = bytearray(data)
        places = rng.integers(0, HEAD_BYTES if trial % 2 else len(data), rng.integers(1, 8))
        for place in places.tolist():
            changed[place] = int(rng.integers(0, 256))
        path.write_bytes(changed)
        try:
            loaded(path)
        except RuntimeError:
            refused += 1
    assert refused > 100


def test_links_are_read_from_what_it_writes(vectors: Matrix, saved: Path) -> None:
    links, labels = read_links(saved, DIMENSIONS)
    assert labels.tolist() == ids_of(vectors).tolist()
    assert links.ground[:, 0].max() <= 2 * M


def test_what_does_not_fit_is_an_error_that_changes_nothing(vectors: Matrix) -> None:
    graph = built(vectors)
    with pytest.raises(ValueError, match="dimensions"):
        graph.add(ids_of(vectors), vectors[:, :-1].copy(), 1)
    with pytest.raises(ValueError, match="dimensions"):
        graph.search(vectors[0, :-1].copy(), 1)
    with pytest.raises(RuntimeError, match="limit"):
        graph.add(ids_of(vectors) + COUNT, vectors, 2)
    with pytest.raises(RuntimeError, match="not found"):
        graph.remove(np.array([99_999], dtype=np.int64))
    with pytest.raises(KeyError, match="does not hold"):
        graph.cosines(vectors[0], np.array([1, 99_999], dtype=np.int64))
    with pytest.raises(KeyError, match="does not hold"):
        graph.vectors(np.array([99_999], dtype=np.int64))
    assert graph.count == COUNT
