"""Which chunk ids an index holds, and which of them still count: an immutable value, safe to read from any thread."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from appliance.types import Ids

MANY = 4  # one of so many ids is looked up together with the others


@dataclass(frozen=True, slots=True)
class LiveIds:
    """`ids` (n,) ascending, in the order of the index's rows; `count` of them are `live` (n,), not removed."""

    ids: Ids
    live: NDArray[np.bool_]
    count: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "count", int(np.count_nonzero(self.live)))

    @classmethod
    def of(cls, ids: Ids) -> "LiveIds":
        """All of them live."""
        return cls(ids, np.ones(len(ids), dtype=np.bool_))

    @property
    def dead(self) -> int:
        return len(self.ids) - self.count

    def known(self, ids: Ids) -> NDArray[np.bool_]:
        """(len(ids),): whether each is held, live or not."""
        if not len(self.ids):
            return np.zeros(len(ids), dtype=np.bool_)
        places = np.minimum(np.searchsorted(self.ids, ids), len(self.ids) - 1)
        return np.equal(self.ids[places], ids)

    def known_live(self, ids: Ids) -> NDArray[np.bool_]:
        """(len(ids),): whether each is held and live."""
        known = self.known(ids)
        known[known] = self.live[np.searchsorted(self.ids, ids[known])]
        return known

    def positions(self, ids: Ids) -> NDArray[np.intp]:
        """Rows of those of the ids that are held and live."""
        if len(ids) * MANY > len(self.ids):
            return np.flatnonzero(self.live & np.isin(self.ids, ids))
        places = np.minimum(self.ids.searchsorted(ids), len(self.ids) - 1)
        rows: NDArray[np.intp] = places[(self.ids[places] == ids) & self.live[places]]
        return rows

    def without(self, ids: Ids) -> "LiveIds":
        """The same rows, those ids no longer live."""
        live = self.live.copy()
        live[self.positions(ids)] = False
        return LiveIds(self.ids, live)

    def joined(self, ids: Ids) -> "LiveIds":
        """With other ids, wherever they belong."""
        ids = np.sort(ids)
        both = self.followed_by(ids)
        if not len(self.ids) or not len(ids) or ids[0] > self.ids[-1]:
            return both
        order = np.argsort(both.ids)
        return LiveIds(both.ids[order], both.live[order])

    def followed_by(self, ids: Ids) -> "LiveIds":
        """With larger ids behind."""
        return LiveIds(np.concatenate([self.ids, ids]), np.concatenate([self.live, np.ones(len(ids), dtype=np.bool_)]))
