"""A graph without its vectors: who is linked with whom, read out of a graph's file and made into one again.

The file (hnswlib 0.8.0, hnswalg.h, saveIndex), little-endian: a head of sizes; for each node the links of the lowest
layer (a word with their number, then 2 M nodes), the vector (`half.hpp`: a scale, then float16) and the label; then for
each node the bytes of its upper layers and, for each of these, a word with the number and M nodes. Nodes are called by
their place in the file.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from appliance.types import Ids, Matrix
from appliance.vectors.graph import EF_CONSTRUCTION, M

Words = NDArray[np.uint32]
_HEAD = struct.Struct("<QQQQQQiIQQQdQ")
GROUND_WORDS, UPPER_WORDS = 1 + 2 * M, 1 + M
_MULT = 1 / np.log(M)
BATCH = 8_192  # nodes
MOST_LEVELS = 64


class WrongLinksError(ValueError):
    """Links that no graph has: loading them would read memory that is not theirs."""


@dataclass(frozen=True, slots=True)
class Links:
    """Of n nodes: `ground` (n, 1 + 2 M), `levels` (n) layers above the lowest, `upper` (sum of levels, 1 + M), node by
    node from below; each row the number of links and the nodes. Searches begin at `entry`.
    """

    entry: int
    levels: NDArray[np.uint8]
    ground: Words
    upper: Words

    def check(self) -> None:
        """Raises WrongLinksError unless every link leads to a node that has that layer."""
        count = len(self.levels)
        if not count or self.ground.shape != (count, GROUND_WORDS) or not 0 <= self.entry < count:
            raise WrongLinksError("its sizes do not fit together")
        if self.upper.shape != (int(self.levels.sum(dtype=np.int64)), UPPER_WORDS) or self.levels.max() > MOST_LEVELS:
            raise WrongLinksError("its layers do not fit together")
        if self.levels[self.entry] != self.levels.max():
            raise WrongLinksError("searches would begin below the top")
        _check_rows(self.ground, np.zeros(count, dtype=np.uint8), self.levels)
        if len(self.upper):
            _check_rows(self.upper, _layers(self.levels), self.levels)


def read_links(path: Path, dimensions: int) -> tuple[Links, Ids]:
    """Links and label of each node of a file that is whole. Raises OSError, WrongLinksError for removed nodes."""
    with path.open("rb") as file:
        _, _, count, size, *_, _level, entry, _, _, _, _, _ = _HEAD.unpack(file.read(_HEAD.size))
        node = _node(dimensions)
        if size != node.itemsize:
            raise WrongLinksError("it was built with other parameters")
        ground, labels = np.empty((count, GROUND_WORDS), np.uint32), np.empty(count, np.int64)
        for start in range(0, count, BATCH):
            part = np.fromfile(file, node, min(BATCH, count - start))
            ground[start : start + len(part)], labels[start : start + len(part)] = part["links"], part["label"]
        rest = file.read()
    levels, upper = _upper_of(rest, count)
    links = Links(entry, levels, _tidied(ground), _tidied(upper))
    links.check()
    return links, labels


def write_graph(path: Path, links: Links, labels: Ids, vectors: Callable[[Ids], Matrix], dimensions: int) -> None:
    """Make a graph's file of checked links. `vectors` gives the rows of some labels in their order. Raises OSError."""
    count, node, ground = len(labels), _node(dimensions), 4 * GROUND_WORDS
    top = int(links.levels.max())
    sizes = (0, count, count, node.itemsize, node.itemsize - 8, ground)
    with path.open("xb") as file:
        file.write(_HEAD.pack(*sizes, top, links.entry, M, 2 * M, M, _MULT, EF_CONSTRUCTION))
        for start in range(0, count, BATCH):
            some = slice(start, start + BATCH)
            part = np.empty(len(labels[some]), node)
            part["links"], part["label"] = links.ground[some], labels[some]
            part["scale"], part["vector"] = _halved(vectors(labels[some]))
            part.tofile(file)
        ends = np.concatenate([[0], np.cumsum(links.levels, dtype=np.int64)]).tolist()
        for first, last in pairwise(ends):
            file.write(struct.pack("<I", 4 * UPPER_WORDS * (last - first)))
            file.write(links.upper[first:last].tobytes())


def _node(dimensions: int) -> np.dtype[np.void]:
    vector = [("scale", "<f4"), ("vector", "<f2", (dimensions,))]
    return np.dtype([("links", "<u4", (GROUND_WORDS,)), *vector, ("label", "<u8")])


def _halved(vectors: Matrix) -> tuple[NDArray[np.float32], NDArray[np.float16]]:
    """Scales (n) and numbers (n, dimensions) of unit vectors, as `half.hpp` writes them."""
    lengths = np.ones(len(vectors), np.float32)
    for _ in range(2):
        numbers = (vectors * lengths[:, None]).astype(np.float16)
        lengths = np.linalg.norm(numbers.astype(np.float64), axis=1).astype(np.float32)
    return (1 / np.where(lengths > 0, lengths, 1)).astype(np.float32), numbers


def _upper_of(rest: bytes, count: int) -> tuple[NDArray[np.uint8], Words]:
    levels, rows, at = np.zeros(count, np.uint8), [], 0
    for number in range(count):
        (size,) = struct.unpack_from("<I", rest, at)
        if size:
            levels[number] = size // (4 * UPPER_WORDS)
            rows.append(rest[at + 4 : at + 4 + size])
        at += 4 + size
    return levels, np.frombuffer(b"".join(rows), "<u4").reshape(-1, UPPER_WORDS).copy()


def _tidied(rows: Words) -> Words:
    """Zeros behind the last link, where memory held whatever was there. Raises WrongLinksError for a removed node."""
    if len(rows) and int(rows[:, 0].max()) >= rows.shape[1]:
        raise WrongLinksError("it holds vectors that were removed")
    rows[:, 1:][np.arange(rows.shape[1] - 1) >= rows[:, :1]] = 0
    return rows


def _layers(levels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The layer of each row of `upper`."""
    starts = np.repeat(np.cumsum(levels, dtype=np.int64) - levels, levels)
    layers: NDArray[np.uint8] = (np.arange(len(starts)) - starts + 1).astype(np.uint8)
    return layers


def _check_rows(rows: Words, layers: NDArray[np.uint8], levels: NDArray[np.uint8]) -> None:
    for start in range(0, len(rows), BATCH):
        part, layer = rows[start : start + BATCH], layers[start : start + BATCH]
        if int(part[:, 0].max()) >= part.shape[1] or int(part[:, 1:].max(initial=0)) >= len(levels):
            raise WrongLinksError("a link leads to a node that there is not")
        linked = np.arange(part.shape[1] - 1) < part[:, :1]
        if (levels[part[:, 1:]] < layer[:, None])[linked].any():
            raise WrongLinksError("a link leads to a node that does not have its layer")
