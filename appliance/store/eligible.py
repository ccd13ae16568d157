"""Which chunks a filter lets through: ids, kept as long as their collection stays as it is."""

import threading
from collections import OrderedDict

import apsw
import numpy as np

from appliance.store import collections, filters
from appliance.store.database import fetch
from appliance.types import Filter, Ids

KEPT_BYTES = 16 * 1024**2  # of ids, of all collections together: eight bytes each
OVERHEAD_BYTES = 1_000  # of one filter, about

_Key = tuple[int, int, str, tuple[str | float, ...]]  # collection, its version, condition, parameters


class Eligible:
    """Thread-safe. What was asked for last stays, for callers ask many questions within the same documents."""

    def __init__(self) -> None:
        self._kept: OrderedDict[_Key, Ids] = OrderedDict()
        self._lock = threading.Lock()

    def ids(self, connection: apsw.Connection, collection: str, filters_: Filter) -> Ids:
        """The chunk ids, ascending and not to be written to. `connection` sees one state. Raises InvalidFilter."""
        condition, parameters = filters.where(filters_)
        found = collections.find(connection, collection)
        if found is None:
            return np.empty(0, dtype=np.int64)
        key = (found.id, found.version, condition, tuple(parameters))
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        query = (
            "SELECT min(k.id), count(*) FROM chunks k WHERE k.document_id IN (SELECT d.id FROM documents d "
            f"WHERE d.collection_id = ? AND ({condition})) GROUP BY k.document_id"
        )
        ids = _runs(fetch(connection, query, (found.id, *parameters)))
        ids.flags.writeable = False
        with self._lock:
            self._keep(key, ids)
        return ids

    def _keep(self, key: _Key, ids: Ids) -> None:
        for other in [other for other in self._kept if other[0] == key[0] and other[1] < key[1]]:
            del self._kept[other]
        self._kept[key] = ids
        while sum(kept.nbytes + OVERHEAD_BYTES for kept in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)


def _runs(runs: list[tuple[int, int]]) -> Ids:
    """All ids of (first id, how many): the chunks of a document have ids that follow each other."""
    first, counts = np.array(sorted(runs), dtype=np.int64).reshape(-1, 2).T
    ends = np.cumsum(counts)
    return np.repeat(first - ends + counts, counts) + np.arange(counts.sum(), dtype=np.int64)
