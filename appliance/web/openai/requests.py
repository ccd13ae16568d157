"""What comes in at /v1: chat requests and texts to embed, decoded strictly, their content read as text."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from appliance.types import Sampling
from appliance.web.asked import RetrievalOptions
from appliance.web.endpoint import InvalidField, invalid_field
from appliance.web.openai.unsupported import UnsupportedParameter, supported

MOST_STOPS, LONGEST_STOP = 4, 200  # strings, characters of each
HOTTEST = 2.0
STRONGEST = 2.0  # penalty


class Message(msgspec.Struct, frozen=True):
    """One message of a chat; `content` is text, or a list of text parts."""

    role: str
    content: str | list[dict[str, Any]] | None = None


class StreamOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`include_usage` adds a last chunk with the tokens."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class ChatRequest(RetrievalOptions, forbid_unknown_fields=True, frozen=True):
    """The last message is the question, the others are the conversation before it.

    `model` decides how it is answered. Fields from `collection` to `self_query` are this appliance's own, as in /query.
    """

    model: Annotated[str, Meta(description="rag-appliance, rag-appliance-extractive, …; GET /v1/models lists them.")]
    messages: list[Message]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Meta(ge=1)] | None = None
    max_completion_tokens: Annotated[int, Meta(ge=1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=HOTTEST)] | None = None
    top_p: Annotated[float, Meta(ge=0, le=1)] | None = None
    seed: int | None = None
    presence_penalty: Annotated[float, Meta(ge=-STRONGEST, le=STRONGEST)] | None = None
    frequency_penalty: Annotated[float, Meta(ge=-STRONGEST, le=STRONGEST)] | None = None
    stop: str | list[str] | None = None

    @property
    def sampling(self) -> Sampling:
        """How tokens are picked; what is drawn with, only where something is drawn."""
        drawn = (self.temperature, self.top_p, self.seed) if self.temperature else (0.0, None, None)
        return Sampling(*drawn, self.presence_penalty or 0.0, self.frequency_penalty or 0.0)

    @property
    def most_tokens(self) -> int | None:
        """The bound on what is written, whichever of its two names was used."""
        given = [bound for bound in (self.max_tokens, self.max_completion_tokens) if bound is not None]
        return min(given, default=None)

    @property
    def stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    @property
    def usage_wanted(self) -> bool:
        return self.stream_options is not None and bool(self.stream_options.include_usage)


class EmbeddingsRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """One text or several. `dimensions` must be the model's own."""

    model: str
    input: Any
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: int | None = None
    user: str | None = None


def chat_request(body: Mapping[str, Any]) -> ChatRequest:
    """Raises InvalidField, UnsupportedParameter."""
    try:
        asked = msgspec.convert(supported(body), ChatRequest)
    except msgspec.ValidationError as error:
        raise invalid_field(error, ChatRequest) from None
    if len(asked.stops) > MOST_STOPS or not all(0 < len(stop) <= LONGEST_STOP for stop in asked.stops):
        raise InvalidField(
            f"`stop` takes up to {MOST_STOPS} texts of 1 to {LONGEST_STOP} characters.", "stop", hint="Send fewer."
        )
    return asked


def conversation(messages: Sequence[Message]) -> list[dict[str, str]]:
    """The messages as {"role", "content"} with plain text; a developer's message is a system's.

    Raises InvalidField, UnsupportedParameter.
    """
    found = [_plain(position, message) for position, message in enumerate(messages)]
    if not found or found[-1]["role"] != "user":
        raise InvalidField(
            "The last message must be the user's: it is the question.",
            "messages",
            code="no_question",
            hint='End `messages` with {"role": "user", "content": "…"}.',
        )
    return found


def _plain(position: int, message: Message) -> dict[str, str]:
    where = f"messages[{position}]"
    role = "system" if message.role == "developer" else message.role
    if role in {"tool", "function"}:
        raise UnsupportedParameter(
            f"`{where}.role`: {role!r} is not supported.", f"{where}.role", hint="This appliance calls no tools."
        )
    if role not in {"system", "user", "assistant"}:
        raise InvalidField(
            f"`{where}.role`: {message.role[:40]!r} is no role.",
            f"{where}.role",
            hint="Roles are system, developer, user and assistant.",
        )
    return {"role": role, "content": _text(where, message.content)}


def _text(where: str, content: str | list[dict[str, Any]] | None) -> str:
    if content is None or isinstance(content, str):
        return content or ""
    texts = []
    for part in content:
        if part.get("type") != "text":
            raise UnsupportedParameter(
                f"`{where}.content`: parts of the type {str(part.get('type'))[:40]!r} are not supported.",
                f"{where}.content",
                hint="Send text; documents with images or sound are taken in by POST /ingest.",
            )
        if not isinstance(part.get("text"), str):
            raise InvalidField(f"`{where}.content`: a text part needs `text`.", f"{where}.content")
        texts.append(part["text"])
    return "\n".join(texts)
