"""What arrives: at the stated rate, with the stated share of repeats."""

from collections import Counter
from itertools import pairwise
from statistics import mean, stdev

import pytest

from bench.arrivals import arrivals, fresh_needed, mixed

POOL = [f"known {number}" for number in range(200)]


def test_gaps_between_arrivals_are_those_of_a_poisson_process() -> None:
    at = arrivals(200, 60)
    gaps = [later - earlier for earlier, later in pairwise(at)]
    assert len(at) == pytest.approx(12_000, rel=0.03)
    assert mean(gaps) == pytest.approx(1 / 200, rel=0.03)
    assert stdev(gaps) == pytest.approx(mean(gaps), rel=0.05)  # exponential
    assert at == sorted(at)
    assert at[-1] < 60


@pytest.mark.parametrize("repeats", [0.0, 0.5, 0.85, 1.0])
def test_the_share_of_repeats_is_the_stated_one(repeats: float) -> None:
    count = 2_000
    asked = list(mixed(POOL, [f"new {n}" for n in range(fresh_needed(count, repeats))], count, repeats))
    repeated = [question for question in asked if question.startswith("known")]
    new = [question for question in asked if question.startswith("new")]
    assert len(asked) == count
    assert len(repeated) / count >= repeats
    assert len(repeated) / count == pytest.approx(repeats, abs=0.01)
    assert len(set(new)) == len(new)


def test_some_questions_are_repeated_far_more_often_than_others() -> None:
    counted = Counter(mixed(POOL, [], 20_000, 1.0))
    assert counted["known 0"] == pytest.approx(10 * counted["known 9"], rel=0.25)


def test_too_few_new_questions_are_an_error() -> None:
    with pytest.raises(ValueError, match="too few"):
        list(mixed(POOL, ["only one"], 100, 0.5))
