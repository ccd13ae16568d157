"""A graph from disk that is behind the database, with a scan of what it lacks beside it until it has caught up."""

import threading

from appliance.types import Ids, Matrix
from appliance.vectors.exact import ExactScan
from appliance.vectors.graph import Graph
from appliance.vectors.job import Job
from appliance.vectors.live_ids import LiveIds
from appliance.vectors.source import VectorSource
from appliance.vectors.stored import StoredScan

ADDED_AT_ONCE = 256  # vectors between two looks at whether to stop
FEW = 500  # vectors that `whole` may add while changes wait


class Behind:
    """Thread-safe. New vectors go to the scan; `catch_up` brings them into the graph while both are searched."""

    def __init__(self, graph: Graph, tail: ExactScan | StoredScan, source: VectorSource) -> None:
        self.graph = graph
        self.tail = tail
        self._source = source
        self._moving = threading.Lock()  # what is on its way into the graph is not removed at that moment

    @property
    def held(self) -> LiveIds:
        """Both together. What was removed from the graph is dead, since the graph and its file still have it."""
        graph = self.graph.held
        return graph.joined(_lacking(graph, self.tail.held))

    def add(self, ids: Ids, vectors: Matrix) -> None:
        fresh = ~self.graph.held.known(ids)
        self.tail.add(ids[fresh], vectors[fresh])

    def remove(self, ids: Ids) -> None:
        with self._moving:
            self.tail.remove(ids)
            self.graph.remove(ids)

    def catch_up(self, job: Job) -> None:
        """Add to the graph what it lacks, but for the last few. Raises Stopped."""
        moved = 0  # the last id that was: it is not tried again
        while True:
            ids = _lacking(self.graph.held, self.tail.held)
            ids = ids[ids > moved]
            if len(ids) <= FEW:
                return
            for start in range(0, len(ids), ADDED_AT_ONCE):
                job.at("replaying", start, len(ids))
                self._move(ids[start : start + ADDED_AT_ONCE])
            moved = int(ids[-1])

    def whole(self) -> Graph:
        """The graph with the last few that came since `catch_up`, while no change is made elsewhere."""
        self._move(_lacking(self.graph.held, self.tail.held))
        return self.graph

    def _move(self, ids: Ids) -> None:
        with self._moving:
            self.graph.add(*self._source.some(ids[self.tail.held.known_live(ids)]))


def _lacking(graph: LiveIds, tail: LiveIds) -> Ids:
    ids = tail.ids[tail.live]
    lacking: Ids = ids[~graph.known(ids)]
    return lacking
