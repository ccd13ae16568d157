"""An answer as server-sent events: claims as they are checked, then the whole. A client that leaves stops the work."""

import asyncio
from typing import Any, Protocol

import msgspec

from appliance.cache import Kept, Origin
from appliance.errors import DeadlineExceeded
from appliance.telemetry.metrics import QUERIES
from appliance.web.endpoint import Receive, Scope, Send
from appliance.web.flights import Flight
from appliance.web.leaving import disconnected
from appliance.web.problems import problem_reply
from appliance.web.questions import Questions
from appliance.web.wire import AnswerCore

KEEPALIVE_S = 10.0
EARLY_S = 0.25  # a question that is refused this soon gets its own status; later errors come as an event
_HEAD: list[tuple[bytes, bytes]] = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # nginx would hold events back
]


class Wording(Protocol):
    """How an answer is told: every method gives whole events, ready to be sent, for one request."""

    @property
    def endpoint(self) -> str:
        """What its questions are counted under."""
        ...

    def begin(self) -> bytes: ...
    def waiting(self, place: bytes) -> bytes: ...
    def claim(self, claim: bytes) -> bytes: ...
    def done(self, core: bytes, timings: Any, origin: Origin) -> bytes: ...
    def failed(self, problem: bytes) -> bytes: ...


class AnswerStream:
    """ASGI application that sends one answer: `stored` from the cache, or `flight`, a joined computation it leaves."""

    def __init__(self, questions: Questions, flight: Flight | None, stored: Kept | None, wording: Wording) -> None:
        self._questions = questions
        self._flight = flight
        self._stored = stored
        self._wording = wording

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            async with asyncio.timeout(self._questions.longest_s):
                if self._flight is None:
                    await self._from_cache(scope, send)
                else:
                    await self._as_it_comes(self._flight, scope, receive, send)
        except TimeoutError:
            await self._failed(self._questions.too_late(), scope, send)
        finally:
            if self._flight is not None:
                self._questions.leave(self._flight)

    async def _from_cache(self, scope: Scope, send: Send) -> None:
        assert self._stored is not None
        self._count("ok")
        await self._begin(send)
        for claim in msgspec.json.decode(self._stored.value, type=AnswerCore).claims:
            await send(_part(self._wording.claim(msgspec.json.encode(claim))))
        await send(_part(self._wording.done(self._stored.value, {}, self._stored.origin), more=False))

    async def _as_it_comes(self, flight: Flight, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.ensure_future(disconnected(receive))
        news = asyncio.Event()
        flight.listeners.add(news)
        try:
            if not flight.claims and not flight.result.done():
                await _first(news, gone, EARLY_S)
            if (refused := _early_error(flight)) is not None:
                self._count("error")
                await problem_reply(refused, scope)(scope, receive, send)
                return
            await self._begin(send)
            sent, place = 0, b""
            while not gone.done():
                news.clear()
                if flight.place != place and not flight.claims:
                    place = flight.place
                    await send(_part(self._wording.waiting(place)))
                for claim in flight.claims[sent:]:
                    sent += 1
                    await send(_part(self._wording.claim(claim)))
                if flight.result.done() and sent == len(flight.claims):
                    await self._last(flight, scope, send)
                    return
                if not await _first(news, gone, KEEPALIVE_S):
                    await send(_part(b": still working\n\n"))
        finally:
            flight.listeners.discard(news)
            gone.cancel()

    async def _last(self, flight: Flight, scope: Scope, send: Send) -> None:
        try:
            finished = flight.result.result()
        except asyncio.CancelledError:
            await self._failed(DeadlineExceeded("The appliance is stopping.", code="stopping"), scope, send)
        except Exception as error:  # noqa: BLE001 - becomes the stream's error event; problem_reply logs the unforeseen
            await self._failed(error, scope, send)
        else:
            self._count("ok")
            await send(_part(self._wording.done(finished.core, finished.timings, finished.origin), more=False))

    async def _failed(self, error: Exception, scope: Scope, send: Send) -> None:
        self._count("error")
        problem = problem_reply(error, scope)
        scope["failed"] = problem.status
        await send(_part(self._wording.failed(problem.body), more=False))

    async def _begin(self, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": list(_HEAD)})
        if first := self._wording.begin():
            await send(_part(first))

    def _count(self, outcome: str) -> None:
        QUERIES.labels(self._wording.endpoint, outcome).inc()


def _early_error(flight: Flight) -> BaseException | None:
    return flight.result.exception() if flight.result.done() and not flight.result.cancelled() else None


async def _first(news: asyncio.Event, gone: asyncio.Future[None], within_s: float) -> bool:
    """Wait for news or for the client to leave; False when neither came within `within_s`."""
    told: asyncio.Future[Any] = asyncio.ensure_future(news.wait())
    waiting: set[asyncio.Future[Any]] = {told, gone}
    try:
        done, _ = await asyncio.wait(waiting, timeout=within_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
    return bool(done)


def _part(events: bytes, *, more: bool = True) -> Any:
    return {"type": "http.response.body", "body": events, "more_body": more}


def event(name: bytes, data: bytes) -> bytes:
    """One event; JSON holds no line breaks, so one `data:` line is enough."""
    return b"event: " + name + b"\ndata: " + data + b"\n\n"
