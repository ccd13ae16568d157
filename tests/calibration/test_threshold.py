"""The threshold keeps its rate: checked by drawing, not by the formula again."""

import random

import pytest

from appliance.calibration.threshold import errors_allowed, lowest_threshold, questions_needed, share_reaching


@pytest.mark.parametrize(
    ("questions", "rate", "confidence", "allowed"),
    [
        (44, 0.05, 0.9, -1),
        (45, 0.05, 0.9, 0),
        (300, 0.05, 0.9, 9),
        (59, 0.05, 0.95, 0),
        (10, 0.5, 0.9, 2),
        (0, 0.5, 0.9, -1),
    ],
)
def test_how_many_may_be_wrong(questions: int, rate: float, confidence: float, allowed: int) -> None:
    assert errors_allowed(questions, rate, confidence) == allowed


@pytest.mark.parametrize("rate", [0.01, 0.05, 0.2])
def test_the_least_number_of_questions(rate: float) -> None:
    needed = questions_needed(rate, 0.9)
    assert errors_allowed(needed, rate, 0.9) >= 0
    assert errors_allowed(needed - 1, rate, 0.9) == -1


def test_at_most_the_allowed_number_reach_it() -> None:
    strengths = [0.9, 0.8, 0.8, 0.3, 0.1]
    for allowed in range(5):
        threshold = lowest_threshold(strengths, allowed)
        assert sum(strength >= threshold for strength in strengths) <= allowed
    assert lowest_threshold(strengths, 1) == 0.8001
    assert lowest_threshold(strengths, 5) == 0.0
    assert lowest_threshold([1.0, 1.0, 1.0], 1) > 1
    assert share_reaching(strengths, 0.8) == 0.6
    assert share_reaching([], 0.5) == 0.0


def test_the_stated_rate_holds_as_often_as_stated() -> None:
    """Of 400 fits on 200 draws each, at least 90 % must keep the true rate (of which the draws' tail is known)."""
    chance = random.Random(5)
    rate, confidence, held = 0.1, 0.9, 0
    for _ in range(400):
        drawn = [chance.random() for _ in range(200)]  # uniform: the true share above t is 1 - t
        held += 1 - lowest_threshold(drawn, errors_allowed(200, rate, confidence)) <= rate
    assert held / 400 >= confidence - 0.03
