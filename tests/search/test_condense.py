"""Follow-up questions: what is carried over, and what is left alone."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.search.condense import CARRIED, LONGEST, NAMES, condense, leaves_unsaid, stand_alone
from appliance.types import Query, Turn
from bench.corpus import COLLECTION, Corpus


def weigh(found: list[str]) -> dict[str, float]:
    """Longer words are rarer."""
    return {word: float(len(word)) for word in found}


def condensed(text: str, *history: Turn | str) -> str:
    turns = [Turn(item) if isinstance(item, str) else item for item in history]
    return condense(text, turns, lambda found: weigh(list(found)))


@pytest.mark.parametrize(
    ("text", "before", "carried"),
    [
        ("and in 2021?", "What was the annual revenue of Acme in 2020?", "annual revenue Acme"),
        ("What does it cost?", "How much water does the pump SKU-A1234 move?", "water pump SKU-A1234"),
        ("When?", "Who built the lighthouse at Cape Arran?", "built lighthouse Arran"),
        ("What about the valves?", "How often must pumps be serviced?", "pumps serviced"),
        ("Which is more important?", "What is the difference between market cap and NAV?", "difference market cap"),
    ],
)
def test_what_is_left_unsaid_is_carried_over(text: str, before: str, carried: str) -> None:
    assert condensed(text, before) == f"{text} ({carried})"


@pytest.mark.parametrize(
    "text",
    [
        "How do I replace the rubber seal of the larger valve?",
        "Who wrote the annual report of the harbour authority?",
    ],
)
def test_a_question_that_stands_alone_is_left_alone(text: str) -> None:
    assert not leaves_unsaid(text)
    assert condensed(text, "Where is the lighthouse?") == text


def test_words_of_the_question_are_not_repeated() -> None:
    assert condensed("And the seals of pumps?", "Is the pump seal expensive?") == "And the seals of pumps? (expensive)"
    assert condensed("And the pump?", "Is it the pump?") == "And the pump?"


def test_a_topic_lives_as_long_as_it_is_talked_about() -> None:
    told = condensed("And how deep?", "How high is the lighthouse at Cape Arran?", "When was it built?")
    assert "lighthouse" in told
    assert "built" in told
    fresh = condensed("And how long?", "How high is the lighthouse?", "How often must bread dough rest before baking?")
    assert "lighthouse" not in fresh


def test_names_of_the_answer_are_carried_for_a_person_only() -> None:
    turn = Turn("Who built the tower?", "The tower was built by the engineer Margaret Sloane.")
    assert condensed("When was she born?", turn) == "When was she born? (built tower Margaret Sloane)"
    assert condensed("When was it sold?", turn) == "When was it sold? (built tower)"


def test_without_history_nothing_changes() -> None:
    assert condensed("and it?") == "and it?"
    assert condensed("  ", "What is a pump?").strip() in ("", "(pump)")


@given(st.text(max_size=120), st.lists(st.builds(Turn, st.text(max_size=200), st.text(max_size=200)), max_size=12))
def test_any_conversation_only_adds_a_bounded_end(text: str, history: list[Turn]) -> None:
    told = condense(text, history, lambda found: weigh(list(found)))
    assert told == text or told.startswith(text.strip())
    assert len(told) <= len(text) + (CARRIED + NAMES) * (LONGEST + 1) + 3


def test_rare_words_of_the_collection_are_preferred(corpus: Corpus) -> None:
    history = (Turn("Does the server refuse a connection when the firewall is on in the garden?"),)
    query = Query("And why?", COLLECTION, history=history)
    alone = stand_alone(query, corpus.store)
    assert "firewall" in alone.text
    assert "garden" in alone.text
    assert alone.history == history
    untouched = Query("How many litres a minute does the pump with a rubber seal move?", COLLECTION, history=history)
    assert stand_alone(untouched, corpus.store) is untouched
