"""What the generator answers to those that it does not serve."""

import math

from appliance.errors import InvalidRequest, Overloaded


def busy(waiting: int, wait_s: float) -> Overloaded:
    """`waiting` others are before it; a turn would come in `wait_s` seconds."""
    message = f"{waiting} requests already wait for the generator"
    return Overloaded(message, code="generator_busy", retry_after_s=max(1, math.ceil(wait_s)))


def resting(wait_s: float) -> Overloaded:
    """Nothing is tried for `wait_s` seconds."""
    message = "the generator rests after several failures"
    return Overloaded(message, code="generator_resting", retry_after_s=max(1, math.ceil(wait_s)))


def closing() -> Overloaded:
    return Overloaded("the generator is closing", code="closing")


def too_long(tokens: int, context_tokens: int) -> InvalidRequest:
    """A prompt that leaves no room for an answer."""
    return InvalidRequest(
        f"the prompt has {tokens} tokens, the model's context {context_tokens}",
        code="prompt_too_long",
        hint="Send fewer or shorter passages.",
    )
