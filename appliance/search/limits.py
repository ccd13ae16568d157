"""What a question may be: its length, its history, k, alpha, diversify and budget, by the settings."""

from collections.abc import Sequence

from appliance.config import Settings
from appliance.errors import InvalidRequest
from appliance.types import Query, Turn

LEAST_BUDGET, MOST_BUDGET = 16, 100_000  # tokens of a compressed context


def check_query(query: Query, settings: Settings) -> None:
    """Raises InvalidRequest: an empty or too long question or history, or a number of it out of bounds."""
    if not query.text.strip():
        raise InvalidRequest("The question is empty.", code="empty_question", hint="Send some words in `question`.")
    if len(query.text) > settings.question_characters:
        raise InvalidRequest(
            f"The question has {len(query.text)} characters; the limit is {settings.question_characters}.",
            code="question_too_long",
            hint="Shorten it, or raise the setting question_characters.",
        )
    if not 1 <= query.k <= settings.max_k:
        raise InvalidRequest(
            f"k is {query.k}; it must be from 1 to {settings.max_k}.", code="invalid_k", hint="Ask for fewer hits."
        )
    if query.alpha is not None and not 0 <= query.alpha <= 1:
        raise InvalidRequest(
            f"alpha is {query.alpha}; it must be from 0 (keywords only) to 1 (meaning only).",
            code="invalid_alpha",
            hint="Leave it out to let the appliance choose.",
        )
    if query.compress and not LEAST_BUDGET <= query.compress <= MOST_BUDGET:
        raise InvalidRequest(
            f"compress is {query.compress}; it must be from {LEAST_BUDGET} to {MOST_BUDGET} tokens, or 0 to keep all.",
            code="invalid_compress",
            hint="A few hundred tokens hold the sentences that matter.",
        )
    if query.diversify is not None and not 0 <= query.diversify <= 1:
        raise InvalidRequest(
            f"diversify is {query.diversify}; it must be from 0 (as different as possible) to 1 (as ranked).",
            code="invalid_diversify",
            hint="0.7 is a good start; leave it out for the setting.",
        )
    _check_history(query.history, settings)


def _check_history(history: Sequence[Turn], settings: Settings) -> None:
    characters = sum(len(turn.question) + len(turn.answer) for turn in history)
    if len(history) > settings.history_turns or characters > settings.history_characters:
        raise InvalidRequest(
            f"The history has {len(history)} turns and {characters} characters; the limits are "
            f"{settings.history_turns} and {settings.history_characters}.",
            code="history_too_long",
            hint="Send the last few turns; earlier ones do not change what a question means.",
        )
