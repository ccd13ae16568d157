"""`hnsw.cpp`: a graph of vectors in half precision, compiled. It locks nothing: a change must be alone."""

import numpy as np
from numpy.typing import NDArray

from appliance.types import Ids, Matrix, Vector

class Hnsw:
    """Hierarchical navigable small world graph (Malkov & Yashunin, 2018) by cosine, in half precision.

    A vector is given as float32 of length 1 and kept as the float16 numbers that have its direction, which is what the
    database keeps of it, and their length. `ef` is how many candidates a search keeps, k where k is larger.
    """

    ef: int

    def __init__(self, dimensions: int, capacity: int, m: int, ef_construction: int) -> None: ...
    @staticmethod
    def load(path: str, dimensions: int, m: int, ef_construction: int) -> Hnsw:
        """Read what `save` has written, or hnswlib 0.8.0 (which writes float32). No link is followed.

        Raises OSError, RuntimeError for a file that is not whole or was written with other parameters.
        """

    def save(self, path: str) -> int:
        """Write the file, without syncing it or looking whether that succeeds; returns the bytes it must have."""

    def add(self, ids: Ids, vectors: Matrix, threads: int) -> None:
        """Insert (n, dimensions) vectors; `capacity` must hold them. Raises ValueError, RuntimeError."""

    def search(self, vector: Vector, k: int) -> tuple[Ids, NDArray[np.float32]]:
        """(ids, cosines) of the k nearest that are not removed, best first; fewer where no more can be reached."""

    def cosines(self, vector: Vector, ids: Ids) -> NDArray[np.float32]:
        """(n,) of each with the vector, removed or not. Raises KeyError for one that is not held."""

    def remove(self, ids: Ids) -> None:
        """They are no longer found. Raises RuntimeError for one that is not held or was removed."""

    def vectors(self, ids: Ids) -> Matrix:
        """(n, dimensions) of length 1, removed or not. Raises KeyError for one that is not held."""

    def ids(self) -> Ids:
        """Of all vectors, removed ones too, in the order of the file."""

    def resize(self, capacity: int) -> None: ...
    @property
    def count(self) -> int: ...
    @property
    def capacity(self) -> int: ...
