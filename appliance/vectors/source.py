"""What an index is made from."""

from collections.abc import Iterator
from typing import Protocol

from appliance.types import Ids, Matrix


class VectorSource(Protocol):
    """The truth about one collection: committed chunk ids, ascending, and their unit vectors."""

    def ids(self) -> Ids: ...

    def vectors(self, after: int) -> Iterator[tuple[Ids, Matrix]]:
        """Batches of ids above `after`, ascending, with (n, dimensions) vectors."""
        ...

    def some(self, ids: Ids) -> tuple[Ids, Matrix]:
        """Those of the ids that exist, ascending, with their vectors."""
        ...
