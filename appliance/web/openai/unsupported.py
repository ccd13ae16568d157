"""Parameters of the OpenAI API that this one does not have: refused by name, unless their value asks for nothing."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from appliance.web.endpoint import InvalidField

# What says nothing about the answer; taken and not used.
IGNORED = frozenset({
    "user", "metadata", "service_tier", "prompt_cache_key", "prompt_cache_options", "prompt_cache_retention",
    "safety_identifier", "parallel_tool_calls",
})  # fmt: skip


class UnsupportedParameter(InvalidField):
    """A parameter, or a value of one, that cannot be honoured."""

    default_code = "unsupported_parameter"


@dataclass(frozen=True, slots=True)
class _Rule:
    """Values that ask for nothing, and what to do instead of asking for something."""

    neutral: tuple[Any, ...]
    hint: str


_NO_TOOLS = _Rule(([], "none", "auto"), "This appliance calls no tools: documents are data, never instructions.")
_TEXT_ONLY = _Rule((["text"],), "Send and expect text.")
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(("tools", "tool_choice", "functions", "function_call"), _NO_TOOLS),
    "logit_bias": _Rule(({},), "Leave it out; `temperature`, `top_p` and penalties are what can be chosen."),
    "logprobs": _Rule((False,), "Leave it out; each claim says what supports it instead."),
    "top_logprobs": _Rule((0,), "Leave it out; each claim says what supports it instead."),
    "response_format": _Rule(({"type": "text"},), "Answers are text; claims, citations and sources come beside it."),
    "modalities": _TEXT_ONLY,
    "audio": _TEXT_ONLY,
    "prediction": _Rule((), "Leave it out."),
    "reasoning_effort": _Rule(("none",), "Leave it out; the models here do not reason before they answer."),
    "verbosity": _Rule(("medium",), "Leave it out; `max_tokens` bounds the length."),
    "store": _Rule((False,), "Leave it out; conversations are not kept."),
    "moderation": _Rule((), "Leave it out."),
    "web_search_options": _Rule((), "This appliance searches its own documents alone."),
    "n": _Rule((1,), "Send the request again for another answer."),
    "best_of": _Rule((1,), "Send the request again for another answer."),
}


def supported(body: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that count. Raises UnsupportedParameter for one that asks for what there is not."""
    for name, rule in _RULES.items():
        value = body.get(name)
        if value is not None and not any(
            (type(value) is not bool and value == one) or value is one for one in rule.neutral
        ):
            raise UnsupportedParameter(f"`{name}` with this value is not supported.", name, hint=rule.hint)
    return {name: value for name, value in body.items() if name not in IGNORED and name not in _RULES}
