"""What goes out at /v1: names are those of the OpenAI API, and this appliance's own beside them."""

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType

from appliance.cache import Origin
from appliance.web.wire import AnswerCore, CitationBody, ClaimBody, HitBody, SourceBody, UsageBody

OWNER = "rag-appliance"
Reason = Literal["stop", "length"]


class ModelCard(msgspec.Struct, frozen=True):
    """A model that requests may name."""

    id: str
    created: int
    object: str = "model"
    owned_by: str = OWNER


class ModelList(msgspec.Struct, frozen=True):
    """All models."""

    data: list[ModelCard]
    object: str = "list"


class Usage(msgspec.Struct, frozen=True):
    """Tokens of the generator, zeros for an answer in the documents' own words; the rest as in the usage of /query."""

    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    compute_s: float
    watt_hours: float


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """A message, or what a chunk adds to one. An answer from the documents has beside its text what it stands on, as in
    /query; `citations` are those of all claims, each once.
    """

    role: str | UnsetType = UNSET
    content: str | UnsetType = UNSET
    citations: list[CitationBody] | UnsetType = UNSET
    sources: list[SourceBody] | UnsetType = UNSET
    claims: list[ClaimBody] | UnsetType = UNSET
    abstained: bool | UnsetType = UNSET
    reason: str | UnsetType | None = UNSET
    mode: str | UnsetType = UNSET
    route: str | UnsetType = UNSET
    prompt_id: str | UnsetType = UNSET
    notice: str | UnsetType = UNSET
    condensed_question: str | UnsetType = UNSET
    nearest: list[HitBody] | UnsetType = UNSET
    cache_hit: bool | UnsetType = UNSET
    cache: str | UnsetType = UNSET
    answered_question: str | UnsetType = UNSET


class Choice(msgspec.Struct, frozen=True):
    """The one answer."""

    message: Said
    finish_reason: Reason
    index: int = 0
    logprobs: None = None


class ChatCompletion(msgspec.Struct, frozen=True):
    """An answer as a chat message."""

    id: str
    created: int
    model: str
    choices: list[Choice]
    usage: Usage
    object: str = "chat.completion"


class ChunkChoice(msgspec.Struct, frozen=True):
    """A piece of the one answer."""

    delta: Said
    finish_reason: Reason | None = None
    index: int = 0
    logprobs: None = None


class Chunk(msgspec.Struct, frozen=True):
    """One event of a streamed answer."""

    id: str
    created: int
    model: str
    choices: list[ChunkChoice]
    usage: Usage | None = None
    object: str = "chat.completion.chunk"


class Written(msgspec.Struct, frozen=True):
    """What the generator wrote without documents."""

    text: str
    finish_reason: str
    usage: UsageBody


def total(usage: UsageBody) -> Usage:
    tokens = (usage.prompt_tokens, usage.completion_tokens)
    return Usage(*tokens, sum(tokens), usage.compute_s, usage.watt_hours)


def grounded(core: AnswerCore, origin: Origin, notice: str) -> Said:
    """A message without text that has the grounds of an answer; `notice` is added to the answer's own."""
    citations = dict.fromkeys(place for claim in core.claims for place in claim.citations)
    return Said(
        citations=list(citations),
        sources=core.sources,
        claims=core.claims,
        abstained=core.abstained,
        reason=core.reason,
        mode=core.mode,
        route=core.route,
        prompt_id=core.prompt_id,
        notice=" ".join(part for part in (core.notice, notice) if part),
        condensed_question=core.condensed_question,
        nearest=core.nearest,
        cache_hit=origin.layer != "",
        cache=origin.layer,
        answered_question=origin.question,
    )
