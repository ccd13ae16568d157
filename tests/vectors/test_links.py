"""Links without vectors: read out of a graph's file, checked, and made into a file that answers the same."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from appliance.types import Ids, Matrix
from appliance.vectors.graph import Graph, Origin
from appliance.vectors.links import Links, WrongLinksError, read_links, write_graph

DIMENSIONS, COUNT, MOVED = 32, 3_000, 70_000


@pytest.fixture(scope="module")
def vectors() -> Matrix:
    rows = np.random.default_rng(3).normal(size=(COUNT, DIMENSIONS)).astype(np.float32)
    return np.asarray(rows / np.linalg.norm(rows, axis=1)[:, None], dtype=np.float32)


@pytest.fixture(scope="module")
def graph(vectors: Matrix) -> Graph:
    built = Graph(DIMENSIONS, Origin(0, "test"), threads=1)
    built.add(np.arange(1, COUNT + 1, dtype=np.int64), vectors)
    return built


@pytest.fixture(scope="module")
def read(graph: Graph, tmp_path_factory: pytest.TempPathFactory) -> tuple[Links, Ids]:
    path = tmp_path_factory.mktemp("graph") / "hnsw.bin"
    graph.save(path)
    return read_links(path, DIMENSIONS)


def test_a_graph_made_of_links_and_vectors_answers_the_same(
    graph: Graph, read: tuple[Links, Ids], vectors: Matrix, tmp_path: Path
) -> None:
    links, labels = read
    assert len(links.upper) > 100
    path = tmp_path / "hnsw.bin"
    write_graph(path, links, labels + MOVED, lambda some: vectors[some - MOVED - 1], DIMENSIONS)
    made = Graph.load(path, DIMENSIONS, Origin(0, "test"), threads=1)
    assert made.held.ids.tolist() == list(range(MOVED + 1, MOVED + COUNT + 1))
    for question in vectors[::100]:
        (ids, cosines), (same, equal) = graph.search(question, 10), made.search(question, 10)
        assert (ids + MOVED).tolist() == same.tolist()
        assert cosines.tolist() == equal.tolist()
    made.add(np.array([1], dtype=np.int64), vectors[:1])  # it can go on growing
    assert made.search(vectors[0], 2)[0].tolist() == [MOVED + 1, 1] or made.search(vectors[0], 2)[0][0] == 1


def test_a_graph_with_removed_vectors_has_no_links_to_give(vectors: Matrix, tmp_path: Path) -> None:
    built = Graph(DIMENSIONS, Origin(0, "test"), threads=1)
    built.add(np.arange(1, 101, dtype=np.int64), vectors[:100])
    built.remove(np.array([7], dtype=np.int64))
    built.save(tmp_path / "hnsw.bin")
    with pytest.raises(WrongLinksError, match="removed"):
        read_links(tmp_path / "hnsw.bin", DIMENSIONS)


def changed(array: Any, row: int, column: int, value: int) -> Any:
    wrong = array.copy()
    wrong[row, column] = value
    return wrong


def wrong_links(links: Links) -> dict[str, Links]:
    """Each would have hnswlib read memory that is not the graph's, or begin where nothing is."""
    flat = int(np.flatnonzero(links.levels == 0)[0])
    levels = links.levels.copy()
    levels[flat] = 200
    return {
        "an entry that is no node": replace(links, entry=COUNT),
        "an entry below the top": replace(links, entry=flat),
        "a link out of the ground layer": replace(links, ground=changed(links.ground, 5, 1, COUNT)),
        "more links than a row has": replace(links, ground=changed(links.ground, 5, 0, 33)),
        "a link out of an upper layer": replace(links, upper=changed(links.upper, 0, 1, 2**31)),
        "a link to a node without the layer": replace(links, upper=changed(links.upper, 0, 1, flat)),
        "a level without rows": replace(links, levels=levels),
        "a row too few": replace(links, ground=links.ground[:-1]),
        "nothing": Links(0, links.levels[:0], links.ground[:0], links.upper[:0]),
    }


def test_links_that_lead_out_of_the_graph_are_refused(read: tuple[Links, Ids]) -> None:
    read[0].check()
    for wrong in wrong_links(read[0]).values():
        with pytest.raises(WrongLinksError):
            wrong.check()
