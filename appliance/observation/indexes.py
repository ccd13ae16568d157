"""The collections and their indexes: sizes, what is missing, how far behind, how well a graph finds."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from appliance.app import Appliance
from appliance.observation.reading import Reading
from appliance.telemetry import gauges
from appliance.telemetry.exposition import Sampled


class Lags:
    """Since when each index has been behind its rows. For use by one thread at a time."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._behind: dict[str, tuple[int, float]] = {}  # the version that is waited for, and since when

    def seconds(self, name: str, rows: int, reached: int) -> float:
        """How long version `rows` of a collection has been waiting; 0 when the index has `reached` it.

        Under steady commits there is always a newer version: what is waited for is the one first seen.
        """
        wanted, since = self._behind.get(name, (0, 0.0))
        if wanted and reached < wanted:
            return self._clock() - since
        self._behind.pop(name, None)
        if reached < rows:
            self._behind[name] = (rows, self._clock())
        return 0.0

    def keep(self, names: Iterable[str]) -> None:
        """Forget collections that are gone."""
        kept = set(names)
        self._behind = {name: value for name, value in self._behind.items() if name in kept}


@dataclass(frozen=True, slots=True)
class _Row:
    """What is told of one collection."""

    name: str
    amounts: dict[Sampled, float]


WORST: dict[Sampled, Callable[[Iterable[float]], float]] = {
    gauges.INDEX_BEHIND: max,
    gauges.INDEX_REMOVED: max,
    gauges.INDEX_RECALL: min,
    gauges.INDEX_WORK: max,
}  # what of several collections counts together; of everything else the sum


def look(appliance: Appliance, lags: Lags) -> Iterator[Reading]:
    """One look at all collections; the oldest MOST_COLLECTIONS have names, the others are one together."""
    opened = appliance.collections.opened()
    found = sorted(appliance.collections.all(), key=lambda collection: collection.id)
    rows = []
    for collection in found:
        amounts = {gauges.DOCUMENTS: float(collection.documents), gauges.CHUNKS: float(collection.chunks)}
        if collection.name in opened:
            state = opened[collection.name].counts()
            reached = appliance.collections.published(collection.name)[0]
            amounts |= {
                gauges.INDEX_VECTORS: float(state.vectors),
                gauges.INDEX_MISSING: float(max(0, collection.chunks - state.vectors)),
                gauges.INDEX_BEHIND: lags.seconds(collection.name, collection.version, reached),
                gauges.INDEX_REMOVED: state.dead_share,
                gauges.INDEX_UNSAVED: float(state.unsaved),
                gauges.INDEX_WORK: float(state.at_work),
            }
            if state.recall is not None:
                amounts[gauges.INDEX_RECALL] = state.recall
        rows.append(_Row(collection.name, amounts))
    lags.keep(row.name for row in rows)
    yield gauges.COLLECTIONS, (), float(len(rows))
    for row in _bounded(rows):
        for sampled, value in row.amounts.items():
            yield sampled, (row.name,), value


def _bounded(rows: Sequence[_Row]) -> Sequence[_Row]:
    named, others = rows[: gauges.MOST_COLLECTIONS], rows[gauges.MOST_COLLECTIONS :]
    if not others:
        return named
    together: dict[Sampled, float] = {}
    for sampled in {sampled: None for row in others for sampled in row.amounts}:
        values = [row.amounts[sampled] for row in others if sampled in row.amounts]
        together[sampled] = WORST.get(sampled, sum)(values)
    return [*named, _Row(gauges.OTHER, together)]
