"""POST /v1/chat/completions: from the documents, or from the generator alone."""

import time
from collections.abc import Sequence
from typing import Any

import msgspec
from litestar import Request, post
from litestar.types import ASGIApp

from appliance.config import Settings
from appliance.telemetry.metrics import QUERIES
from appliance.telemetry.redaction import digest
from appliance.types import CancelToken, GenerationRequest, Mode, Principal, Query, Role, Turn
from appliance.web.asked import TurnBody, options, turns
from appliance.web.costs import count_cached
from appliance.web.endpoint import SMALL_BODY, endpoint, read_json, reply
from appliance.web.envelope import fields
from appliance.web.flights import Finished
from appliance.web.guards import principal_of
from appliance.web.openai.content import Content
from appliance.web.openai.events import AnswerEvents, Form, WritingEvents, answered, written
from appliance.web.openai.models import chat_mode
from appliance.web.openai.requests import ChatRequest, chat_request, conversation
from appliance.web.openai.wire import ChatCompletion, Written
from appliance.web.questions import Tell
from appliance.web.rooms import Rooms, rooms
from appliance.web.sse import AnswerStream
from appliance.web.wire import usage_body

SYSTEM_UNUSED = "System messages are not used: this model answers from the documents alone."

Messages = Sequence[dict[str, str]]


@post(
    "/v1/chat/completions",
    status_code=200,
    opt=endpoint(
        Role.READER,
        "openai",
        body=(ChatRequest,),
        returns=ChatCompletion,
        media=("application/json", "text/event-stream"),
    ),
)
async def chat_completions(request: Request[Any, Any, Any]) -> ASGIApp:
    """Answer the last message as /query does, in the shape of the OpenAI API.

    The model `rag-appliance` and its variants answer from the documents, with `citations`, `sources` and `claims`
    beside the text; the generator's own name writes from the messages alone. With `stream`, chunks come as server-sent
    events.
    """
    web = rooms(request)
    settings = web.appliance.settings
    limit = max(SMALL_BODY, 12 * (settings.question_characters + settings.history_characters))
    asked = chat_request(await read_json(request, dict[str, Any], limit))
    messages = conversation(asked.messages)
    line = fields(request.scope)
    line["question_digest"] = digest(messages[-1]["content"])
    if settings.log_questions:
        line["question"] = messages[-1]["content"]
    with QUERIES.labels("chat", "error").count_exceptions():
        mode = chat_mode(asked.model, web.appliance)
        if mode is not None:
            found = await _answer(request, web, asked, messages, mode)
        else:
            found = await _write(request, web, asked, messages)
    if not asked.stream:
        QUERIES.labels("chat", "ok").inc()
    return found


async def _answer(
    request: Request[Any, Any, Any], web: Rooms, asked: ChatRequest, messages: Messages, mode: Mode
) -> ASGIApp:
    """The answer from the documents."""
    wanted = _query(asked, messages, mode, principal_of(request.scope), web.appliance.settings)
    wanted = web.appliance.settling.chosen(wanted)
    notice = SYSTEM_UNUSED if any(message["role"] == "system" for message in messages) else ""
    form = _form(request, asked, notice)
    content = Content(
        asked.stops,
        asked.most_tokens,
        lambda text: web.appliance.collections.embedder(wanted.collection).token_spans(text),
    )
    key, stored = web.questions.looked_up(wanted)
    fields(request.scope)["cache_hit"] = stored is not None
    if stored is not None:
        count_cached(request, stored.value)
    if asked.stream:
        flight = web.questions.join(wanted, key) if stored is None else None
        return AnswerStream(web.questions, flight, stored, AnswerEvents(form, content))
    if stored is not None:
        return reply(answered(stored.value, stored.origin, form, content))
    finished = await web.questions.finish(web.questions.join(wanted, key), request.scope, request.receive)
    return reply(answered(finished.core, finished.origin, form, content))


async def _write(request: Request[Any, Any, Any], web: Rooms, asked: ChatRequest, messages: Messages) -> ASGIApp:
    """What the generator makes of the messages, without documents."""
    settings, principal = web.appliance.settings, principal_of(request.scope).id

    def work(cancel: CancelToken, tell: Tell) -> Finished:
        wanted = GenerationRequest(
            messages,
            asked.most_tokens or settings.answer_tokens,
            time.monotonic() + settings.query_timeout_s,
            asked.sampling,
            asked.stops,
        )
        sink = (lambda text: tell(text.encode())) if asked.stream else None
        text, ended, usage = web.appliance.asking.complete(wanted, principal, cancel, sink)
        return Finished(msgspec.json.encode(Written(text, ended, usage_body(usage))), {})

    form = _form(request, asked, "")
    flight = web.questions.fly(work)
    if asked.stream:
        return AnswerStream(web.questions, flight, None, WritingEvents(form))
    finished = await web.questions.finish(flight, request.scope, request.receive)
    return reply(written(finished.core, form))


def _form(request: Request[Any, Any, Any], asked: ChatRequest, notice: str) -> Form:
    query_id = request.scope["query_id"]  # type: ignore[typeddict-item]  # set by the envelope
    return Form(f"chatcmpl-{query_id}", asked.model, asked.most_tokens, asked.usage_wanted, notice)


def _query(asked: ChatRequest, messages: Messages, mode: Mode, who: Principal, settings: Settings) -> Query:
    """The last message as a question, with what was said before it."""
    bound = asked.most_tokens
    return Query(
        messages[-1]["content"],
        mode=mode,
        principal=who.id,
        role=who.role,
        history=_recent(turns([TurnBody(**message) for message in messages[:-1]]), settings),  # type: ignore[arg-type]
        answer_tokens=bound if bound is not None and bound < settings.answer_tokens else None,
        sampling=asked.sampling,
        **options(asked),
    )


def _recent(history: tuple[Turn, ...], settings: Settings) -> tuple[Turn, ...]:
    """The last turns that a history may have: chats send all of theirs, and what is long past changes nothing."""
    room, kept = settings.history_characters, 0
    for turn in reversed(history[max(0, len(history) - settings.history_turns) :]):
        room -= len(turn.question) + len(turn.answer)
        if room < 0:
            break
        kept += 1
    return history[len(history) - kept :]
