"""POST /query and POST /search. A cached answer is sent from the event loop itself: no thread, no decoding."""

from dataclasses import dataclass
from time import perf_counter
from typing import Any

import msgspec
from litestar import Request, post
from litestar.types import ASGIApp

from appliance.app import Appliance
from appliance.cache import Origin
from appliance.telemetry.metrics import QUERIES
from appliance.telemetry.redaction import digest
from appliance.telemetry.stages import stage
from appliance.telemetry.tracing import note, record
from appliance.types import Query, Role, SearchResult
from appliance.web.asked import QueryRequest, SearchRequest, to_query
from appliance.web.costs import count_cached
from appliance.web.endpoint import SMALL_BODY, Reply, Scope, endpoint, read_json, reply
from appliance.web.envelope import fields
from appliance.web.flights import Finished
from appliance.web.guards import principal_of
from appliance.web.rooms import Rooms, rooms
from appliance.web.sse import AnswerStream, event
from appliance.web.wire import AnswerBody, SearchBody, search_body

# looked up once: a cached answer comes 6,000 times a second
_ANSWERED, _FAILED = QUERIES.labels("query", "ok"), QUERIES.labels("query", "error")


@post(
    "/query",
    status_code=200,
    opt=endpoint(
        Role.READER,
        "questions",
        body=(QueryRequest,),
        returns=AnswerBody,
        media=("application/json", "text/event-stream"),
    ),
)
async def query(request: Request[Any, Any, Any]) -> ASGIApp:
    """Answer a question with exact citations, or refuse with the reason and the nearest passages.

    With `stream` the answer comes as server-sent events: `waiting` with the place in the generator's queue, `claim` for
    each checked sentence, then `done` with the whole answer, which is what counts, or `error` with a problem. Lines
    that begin with `:` only keep the connection open.
    """
    web = rooms(request)
    asked, wanted = await _question(request, web, QueryRequest)
    with _FAILED.count_exceptions():
        key, stored = web.questions.looked_up(wanted)
        if stored is not None:
            fields(request.scope)["cache_hit"] = True
            count_cached(request, stored.value)
            if not asked.stream:
                _ANSWERED.inc()
                return Reply(_spliced(stored.value, {"cache": elapsed_ms(request.scope)}, stored.origin, request.scope))
        if asked.stream:
            flight = web.questions.join(wanted, key) if stored is None else None
            return AnswerStream(web.questions, flight, stored, _Events(request.scope))
        finished: Finished = await web.questions.finish(web.questions.join(wanted, key), request.scope, request.receive)
    if finished.origin.layer:
        fields(request.scope)["cache_hit"] = True
        count_cached(request, finished.core)
    _ANSWERED.inc()
    return Reply(_spliced(finished.core, finished.timings, finished.origin, request.scope))


@post("/search", status_code=200, opt=endpoint(Role.READER, "questions", body=(SearchRequest,), returns=SearchBody))
async def search(request: Request[Any, Any, Any]) -> ASGIApp:
    """The passages nearest to a question, best first, and why each is there."""
    web = rooms(request)
    _, wanted = await _question(request, web, SearchRequest)
    with QUERIES.labels("search", "error").count_exceptions():
        found = await web.questions.run(wanted, lambda: _searched(web.appliance, wanted))
    QUERIES.labels("search", "ok").inc()
    scope: Scope = request.scope
    return reply(search_body(found, elapsed_ms(scope), scope["query_id"]))


@dataclass(frozen=True, slots=True)
class _Events:
    """The wording of a streamed answer: `waiting`, `claim`, `done`, `error`."""

    scope: Scope
    endpoint: str = "query"

    def begin(self) -> bytes:
        return b""

    def waiting(self, place: bytes) -> bytes:
        return event(b"waiting", place)

    def claim(self, claim: bytes) -> bytes:
        return event(b"claim", claim)

    def done(self, core: bytes, timings: Any, origin: Origin) -> bytes:
        return event(b"done", _spliced(core, timings, origin, self.scope))

    def failed(self, problem: bytes) -> bytes:
        return event(b"error", problem)


def _searched(appliance: Appliance, wanted: Query) -> SearchResult:
    with stage("search"):
        found = appliance.search(wanted)
        note(hits=len(found.hits), reranked=found.reranked)
        return found


async def _question(request: Request[Any, Any, Any], web: Rooms, wanted: type[SearchRequest]) -> tuple[Any, Query]:
    """The body as a question; its log field is set."""
    settings = web.appliance.settings
    characters = settings.question_characters + settings.history_characters
    limit = max(SMALL_BODY, 12 * characters)  # a character is at most \\uXXXX\\uXXXX
    began = perf_counter()
    asked: SearchRequest = await read_json(request, wanted, limit)
    record("receive", began, perf_counter())
    noted = asked.question if settings.log_questions else None
    line = fields(request.scope)
    line["question_digest"] = digest(asked.question)
    if noted is not None:
        line["question"] = noted
    return asked, web.appliance.settling.chosen(to_query(asked, principal_of(request.scope)))


def elapsed_ms(scope: Scope) -> float:
    """Milliseconds since the request came in."""
    started: float = scope["started"]
    return round((perf_counter() - started) * 1000, 3)


def _spliced(core: bytes, timings: Any, origin: Origin, scope: Scope) -> bytes:
    """An encoded AnswerCore with the fields of one request put in before its last brace: an AnswerBody."""
    own = {
        "timings": timings,
        "cache_hit": origin.layer != "",
        "cache": origin.layer,
        "answered_question": origin.question,
        "latency_ms": elapsed_ms(scope),
        "query_id": scope["query_id"],
    }
    return core[:-1] + b"," + msgspec.json.encode(own)[1:]
