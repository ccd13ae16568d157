"""Lists that many threads add to and one takes from: what is put down amid an answer is worked on later, at once."""

from typing import TypeVar

T = TypeVar("T")


def taken(waiting: list[T]) -> list[T]:
    """All that waits, out of the list. Others may add to it meanwhile; a lock keeps other takers away."""
    found = waiting[:]
    del waiting[: len(found)]
    return found
