"""Questions as they travel: names here are a contract with programs outside this repository."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from appliance.errors import InvalidFilter, InvalidRequest
from appliance.search import filter_from_json
from appliance.types import (
    Checking,
    EvidenceEffort,
    Expand,
    Fusion,
    Mode,
    Principal,
    Query,
    Rewrite,
    Turn,
)
from appliance.web.understood import SELF_QUERY


class TurnBody(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An earlier turn: `{"question", "answer"}`, or a chat message `{"role", "content"}`; a system's is not used."""

    question: str | None = None
    answer: str | None = None
    role: Literal["user", "assistant", "system"] | None = None
    content: str | None = None


class RetrievalOptions(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """Where and how passages are looked for. Without `alpha` the shape of the question decides between keywords and
    meaning.
    """

    k: Annotated[int, Meta(description="How many passages.")] = 10
    collection: str = "default"
    filters: Annotated[
        dict[str, Any] | str | None, Meta(description='`{"year": {">=": 2020}}`, or `year >= 2020 and author = "Ada"`.')
    ] = None
    alpha: Annotated[float | None, Meta(description="0 (keywords only) to 1 (meaning only).")] = None
    expand: Annotated[Expand | None, Meta(description="What a hit grows to in the context.")] = None
    compress: Annotated[int | None, Meta(description="Budget of the context in tokens; 0 keeps all of it.")] = None
    rewrite: Annotated[Rewrite | None, Meta(description="What the generator makes of the question first.")] = None
    fusion: Annotated[Fusion, Meta(description="How both rankings become one; auto is the setting.")] = Fusion.AUTO
    rerank: Annotated[bool | None, Meta(description="Read the best passages again; null is the setting.")] = None
    collapse: Annotated[bool | None, Meta(description="Leave out near duplicates; null is the setting.")] = None
    diversify: Annotated[float | None, Meta(description="Lambda of MMR, 0 to 1 (as ranked); null is the setting.")] = (
        None
    )
    self_query: Annotated[
        bool | Literal["suggest"] | None,
        Meta(description="Read filters out of the question: true applies them, `suggest` only shows them."),
    ] = None


class SearchRequest(RetrievalOptions, forbid_unknown_fields=True, frozen=True):
    """A question for passages."""

    question: str
    history: Annotated[list[TurnBody], Meta(description="The conversation so far, oldest first.")] = []


class QueryRequest(SearchRequest, forbid_unknown_fields=True, frozen=True):
    """A question for an answer. Mode generative lets the model write and checks each sentence; `stream` gives SSE."""

    mode: Mode = Mode.AUTO
    evidence: Annotated[
        EvidenceEffort | None, Meta(description="full lets a model read the best passages; null is the setting.")
    ] = None
    checking: Annotated[
        Checking, Meta(description="lenient shows generated sentences without support as well, marked.")
    ] = Checking.STRICT
    stream: bool = False


def to_query(asked: SearchRequest, who: Principal) -> Query:
    """Raises InvalidFilter, InvalidRequest."""
    given = options(asked)
    if isinstance(asked, QueryRequest):
        given |= {"mode": asked.mode, "evidence": asked.evidence, "checking": asked.checking}
    return Query(asked.question, history=turns(asked.history), principal=who.id, role=who.role, **given)


def options(asked: RetrievalOptions) -> dict[str, Any]:
    """How a question is to be looked for, by the fields of Query. Raises InvalidFilter."""
    return {
        "collection": asked.collection,
        "k": asked.k,
        "filters": None if asked.filters is None else _filter(asked.filters),
        "alpha": asked.alpha,
        "expand": asked.expand,
        "compress": asked.compress,
        "rewrite": asked.rewrite,
        "fusion": asked.fusion,
        "rerank": asked.rerank,
        "collapse": asked.collapse,
        "diversify": asked.diversify,
        "self_query": None if asked.self_query is None else SELF_QUERY[asked.self_query],
    }


def turns(history: Sequence[TurnBody]) -> tuple[Turn, ...]:
    """Both forms of a history as turns; an assistant's message answers the user's before it. Raises InvalidRequest."""
    found: list[Turn] = []
    for item in history:
        if item.role is None and item.question is not None and item.content is None:
            found.append(Turn(item.question, item.answer or ""))
        elif item.role is None or item.content is None or item.question is not None or item.answer is not None:
            raise InvalidRequest(
                "A turn of the history is neither a question with its answer nor a message.",
                code="invalid_history",
                hint='Send {"question": "…", "answer": "…"} or {"role": "user", "content": "…"} for each turn.',
            )
        elif item.role == "user":
            found.append(Turn(item.content))
        elif item.role == "assistant" and found:
            found[-1] = Turn(found[-1].question, f"{found[-1].answer} {item.content}".strip())
    return tuple(found)


def _filter(given: dict[str, Any] | str) -> Any:
    try:
        return filter_from_json(given)
    except RecursionError:
        raise InvalidFilter("The filter is nested too deeply.", hint="Use fewer levels of and, or, not.") from None
