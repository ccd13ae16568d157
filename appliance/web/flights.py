"""A computation under way with everyone who waits for it."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

from appliance.cache import COMPUTED, Origin
from appliance.telemetry.tracing import current_trace


@dataclass(frozen=True, slots=True)
class Finished:
    """An answer as JSON without what belongs to one request, and the milliseconds of each stage."""

    core: bytes
    timings: Mapping[str, float]
    origin: Origin = COMPUTED


class Stop:
    """A cancel token that nobody waits on: threading.Event has a lock and a queue of those who do."""

    __slots__ = ("_set",)

    def __init__(self) -> None:
        self._set = False

    def set(self) -> None:
        self._set = True

    def is_set(self) -> bool:
        return self._set


class Flight:
    """One computation and everyone who waits for it. Touched by the event loop only, except `cancel` and `tell`."""

    __slots__ = ("_loop", "cancel", "claims", "listeners", "place", "query_id", "result", "waiting")

    def __init__(self) -> None:
        self.cancel = Stop()
        self.claims: list[bytes] = []  # bounded by the claims, or the tokens, of one answer
        self.place = b""  # in the generator's queue, as JSON; empty without one
        self.listeners: set[asyncio.Event] = set()
        trace = current_trace()
        self.query_id = trace.query_id if trace is not None else ""  # of the request that began it
        self.result: asyncio.Future[Finished]
        self.waiting = 0
        self._loop = asyncio.get_running_loop()

    def tell(self, claim: bytes) -> None:
        """One more claim, from the thread that computes. The event loop is woken only where somebody listens: who
        begins to listen reads first what is there.
        """
        self.claims.append(claim)
        if self.listeners:
            self._loop.call_soon_threadsafe(self.wake)

    def placed(self, place: bytes) -> None:
        self.place = place
        self.wake()

    def wake(self) -> None:
        for listener in self.listeners:
            listener.set()
