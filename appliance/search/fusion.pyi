"""`fusion.cpp`: two rankings as one, compiled."""

from collections.abc import Sequence

def convex(
    dense: Sequence[tuple[int, float]],
    lexical: Sequence[tuple[int, float]],
    cosines: dict[int, float],
    floor: float,
    alpha: float,
    full: float,
) -> list[tuple[int, float]]:
    """(id, score) by `alpha` x cosine + (1 - `alpha`) x BM25 / `full`, both 0..1, best first, equal ones in the order
    of the dense ranking, then of the lexical one.

    An id that only the lexical ranking has gets its cosine of `cosines`, or the last of the dense ones; one that only
    the dense ranking has gets `floor` for BM25.
    """
