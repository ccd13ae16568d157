"""Questions in work: a bounded pool of threads, one computation for identical questions, deadlines, cancellation."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

import msgspec

from appliance.app import Appliance
from appliance.cache import Kept
from appliance.errors import DeadlineExceeded, Overloaded
from appliance.telemetry.stages import stage
from appliance.telemetry.tracing import Trace, carried, current_trace, note, record
from appliance.turns import SCANNING
from appliance.types import CancelToken, Claim, Mode, Query, Waiting
from appliance.web.endpoint import ClientGone, Receive, Scope
from appliance.web.flights import Finished, Flight
from appliance.web.keeping import is_plain, keep, keeps, outcome
from appliance.web.lanes import Lane
from appliance.web.leaving import Leaving
from appliance.web.wire import answer_core, claim_body, milliseconds

T = TypeVar("T")
Tell = Callable[[bytes], None]

GRACE_S = 2.0  # the work has the deadline itself and degrades to something at it; the caller is let go this much later
RENEWED_AT_ONCE = 2  # answers that are computed anew while the ones from before are given
GENERATING = 16  # threads that may sit in a slot of the generator, beside those that wait for it
WRITING = 2  # threads beside those that compute: who has computed puts its answer into words and into the cache


class Questions:
    """Runs questions beside the event loop. At most `limit` are worked on or waiting; beyond it Overloaded at once.

    Those that compute all the time have hardly more threads than there are cores: more would wait for each other and
    for the interpreter, each with a connection to the database that knows nothing of what was read just now. Where
    every vector is compared one takes its turn after the other (`SCANNING`), and so they have no more threads than
    turns: a thread that goes on to the next question by itself is a ninth faster than two that wake each other.
    """

    def __init__(self, appliance: Appliance) -> None:
        settings = appliance.settings
        self._appliance = appliance
        self._limit = settings.query_concurrency
        self._timeout_s = settings.query_timeout_s
        self._renewing = 0
        self._flights: dict[str, Flight] = {}
        self._scanning = Lane("scanning", max(1, settings.threads // SCANNING))
        self._walking = Lane("walking", min(self._limit, settings.threads + WRITING))
        self._generating = Lane("generating", min(self._limit, settings.generator_queue + GENERATING))
        self._lanes = (self._scanning, self._walking, self._generating)

    @property
    def longest_s(self) -> float:
        """How long a caller is kept waiting at most, in seconds."""
        return self._timeout_s + GRACE_S

    @property
    def load(self) -> tuple[int, int, int]:
        """Questions in threads, questions that wait for one, and how many there may be of both together."""
        active = sum(lane.active for lane in self._lanes)
        return active, self._working - active, self._limit

    @property
    def _working(self) -> int:
        return sum(lane.working for lane in self._lanes)

    def cut(self) -> None:
        """Cancel what is in work: each ends with what it has, or as stopped."""
        for flight in self._flights.values():
            flight.cancel.set()

    def close(self) -> None:
        """Cancel what is in work and let the threads end."""
        self.cut()
        for lane in self._lanes:
            lane.close()

    def _lane(self, query: Query) -> Lane:
        if self._appliance.settling.waits(query):
            return self._generating
        return self._scanning if self._appliance.asking.scans(query.collection) else self._walking

    def _start(self, work: Callable[[], T], lane: Lane) -> asyncio.Future[T]:
        """Raises Overloaded."""
        if self._working >= self._limit:
            raise Overloaded(
                f"{self._limit} questions are being worked on already.",
                code="too_many_questions",
                hint="Try again in 1 s, or raise the setting query_concurrency.",
            )
        submitted, trace = time.perf_counter(), current_trace()

        def begun() -> T:
            record("wait", submitted, time.perf_counter())
            return work()

        future = lane.run(carried(begun))
        self._count(lane, 1)
        if trace is not None:
            trace.hold()
        future.add_done_callback(lambda done: self._finished(done, lane, trace))
        return future

    def _count(self, lane: Lane, change: int) -> None:
        lane.working += change
        self._appliance.asking.held_back = self._scanning.held_back + self._walking.held_back

    def _finished(self, future: asyncio.Future[Any], lane: Lane, trace: Trace | None) -> None:
        self._count(lane, -1)
        if trace is not None:
            trace.let_go()
        if not future.cancelled():
            future.exception()  # seen here, in case that nobody waits any more

    async def run(self, query: Query, work: Callable[[], T]) -> T:
        """`work` for a search in a thread, under the same bound and deadline as questions.

        Raises Overloaded, DeadlineExceeded, and what `work` raises.
        """
        future = self._start(work, self._lane(query.but(mode=Mode.EXTRACTIVE)))
        self._appliance.asking.expect(query)
        try:
            return await asyncio.wait_for(asyncio.shield(future), self.longest_s)
        except TimeoutError:
            raise self.too_late() from None

    def join(self, query: Query, key: str | None) -> Flight:
        """The computation for this question: the one under way, or a new one. Each `join` needs its `leave`.

        Raises Overloaded.
        """
        name = key or repr(query)
        flight = self._flights.get(name)
        if flight is None or flight.cancel.is_set():
            flight = Flight()
            self._depart(name, flight, self._work(query, key, flight), self._lane(query))
            self._appliance.asking.expect(query)
        else:
            note(joined=flight.query_id)
        flight.waiting += 1
        return flight

    def fly(self, work: Callable[[CancelToken, Tell], Finished]) -> Flight:
        """A computation that nobody else can join, under the same bound; `work` tells its pieces. Needs a `leave`.

        Raises Overloaded.
        """
        flight = Flight()

        def tell(piece: bytes) -> None:
            if not flight.cancel.is_set():
                flight.tell(piece)

        self._depart(f"alone {id(flight)}", flight, lambda: work(flight.cancel, tell), self._generating)
        flight.waiting = 1
        return flight

    def _depart(self, name: str, flight: Flight, work: Callable[[], Finished], lane: Lane) -> None:
        flight.result = self._start(work, lane)
        self._flights[name] = flight
        flight.result.add_done_callback(lambda _: self._landed(name, flight))

    def leave(self, flight: Flight) -> None:
        """One waits less; the last one to leave stops the work."""
        flight.waiting -= 1
        if flight.waiting == 0 and not flight.result.done():
            flight.cancel.set()

    def _landed(self, name: str, flight: Flight) -> None:
        if self._flights.get(name) is flight:
            del self._flights[name]
        flight.wake()

    def _work(self, query: Query, key: str | None, flight: Flight) -> Callable[[], Finished]:
        loop = asyncio.get_running_loop()

        def told(claim: Claim) -> None:
            if not flight.cancel.is_set():
                flight.tell(msgspec.json.encode(claim_body(claim)))

        def placed(place: Waiting) -> None:
            loop.call_soon_threadsafe(flight.placed, msgspec.json.encode(place))

        def work() -> Finished:
            if flight.cancel.is_set():
                self._appliance.asking.leave(query)
                raise ClientGone("Everyone who asked this has left.")
            return self.computed(query, key, flight.cancel, told, placed)

        return work

    def computed(
        self,
        query: Query,
        key: str | None,
        cancel: CancelToken,
        told: Callable[[Claim], None] | None = None,
        placed: Callable[[Waiting], None] | None = None,
    ) -> Finished:
        """The answer of a question, kept under `key`; or that of an earlier one which asks the same. Raises what
        `Asking.answer` raises.
        """
        with stage("answer"):
            similar = self._appliance.asking.similar(query) if key is not None else None
            if similar is not None:
                return Finished(similar.value, {}, similar.origin)
            answer = self._appliance.answer(query, cancel=cancel, on_claim=told, on_wait=placed)
            note(**outcome(answer))
        with stage("encode"):
            core = msgspec.json.encode(answer_core(answer))
        if key is not None and keeps(answer) and not cancel.is_set():
            with stage("store"):
                keep(self._appliance, query, key, answer, core)
                self._appliance.asking.remember(query, key)
        return Finished(core, milliseconds(answer.timings))

    def looked_up(self, wanted: Query) -> tuple[str | None, Kept | None]:
        """The key of a question's answer in the cache, None where it is not to be kept; and the answer, if it is there.

        Where a flag allows it that may be the answer from before an ingestion; it is then computed anew beside.
        """
        appliance = self._appliance
        with stage("settle"):
            key = appliance.cache_key(wanted)
        if appliance.settings.keep_questions and is_plain(wanted):
            appliance.cache.asked.note(wanted.collection, wanted.mode, wanted.text)
        if key is None:
            return None, None
        with stage("cache"):
            kept = appliance.cache.answers.get(key)
            if kept is None and (before := appliance.settling.left_keys(wanted)):
                kept = appliance.cache.answers.left_behind(before)
                if kept is not None:
                    self._renew(wanted, key)
        return key, kept

    def _renew(self, wanted: Query, key: str) -> None:
        """Compute an answer that nobody waits for, unless there is enough to do; the next one to ask tries again."""
        busy = self._working >= self._appliance.settings.threads
        if busy or self._renewing >= RENEWED_AT_ONCE or key in self._flights:
            return
        flight = self.join(wanted, key)
        self._renewing += 1

        def done(_: object) -> None:
            self._renewing -= 1
            self.leave(flight)

        flight.result.add_done_callback(done)

    async def finish(self, flight: Flight, scope: Scope, receive: Receive) -> Finished:
        """Wait for a joined computation, no longer than its caller does; leaves it.

        Raises ClientGone, DeadlineExceeded, and what the computation raises.
        """
        loop = asyncio.get_running_loop()
        news: asyncio.Future[None] = loop.create_future()

        def wake(_: object = None) -> None:
            if not news.done():
                news.set_result(None)

        late = loop.call_later(self.longest_s, wake)
        flight.result.add_done_callback(wake)
        try:
            with Leaving(scope, receive, wake) as leaving:
                await news
            if flight.result.done():
                return flight.result.result()
            if leaving.left:
                raise ClientGone("The caller left before the answer was there.")
            raise self.too_late()
        finally:
            late.cancel()
            flight.result.remove_done_callback(wake)
            self.leave(flight)

    def too_late(self) -> DeadlineExceeded:
        """The error of a question that took too long."""
        return DeadlineExceeded(
            f"The question was not answered within {self._timeout_s:g} s.",
            hint="Ask again when the appliance is less busy, or raise the setting query_timeout_s.",
        )
