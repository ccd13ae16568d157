"""The rule by which a canary is rolled back: exact tests, how often it is wrong, and how soon it is right."""

import itertools
import math
import random
from collections.abc import Callable

import pytest

from appliance.flags.verdict import FALSE_ALARM, Limits, Seen, fisher, next_look, percentile, verdict

LIMITS = Limits()
Draw = Callable[[random.Random], Seen]


def test_fisher_is_the_hypergeometric_tail() -> None:
    assert fisher(0, 10, 3, 10) == pytest.approx(1)
    assert fisher(3, 3, 0, 3) == pytest.approx(1 / math.comb(6, 3))
    wanted = sum(math.comb(8, x) * math.comb(12, 5 - x) for x in range(3, 6)) / math.comb(20, 5)
    assert fisher(3, 8, 2, 12) == pytest.approx(wanted)


def test_percentiles_and_looks() -> None:
    assert percentile([]) == 0
    assert percentile([float(n) for n in range(1, 101)]) == 95
    looks = [next_look(0, LIMITS)]
    while looks[-1] < 5000:
        looks.append(next_look(looks[-1], LIMITS))
    assert looks[:4] == [50, 75, 112, 168]
    assert max(b - a for a, b in itertools.pairwise(looks)) == 500


def run(chance: random.Random, canary: Draw, stable: Draw, questions: int, limits: Limits = LIMITS) -> tuple[int, str]:
    """(questions of the canary until it was rolled back or the end, why), with a fifth of the traffic."""
    sides: tuple[list[Seen], list[Seen]] = ([], [])
    look, look_at = 0, limits.questions
    while len(sides[0]) < questions:
        sides[0].append(canary(chance))
        sides[1].extend(stable(chance) for _ in range(4))
        if len(sides[0]) >= look_at:
            look += 1
            look_at = next_look(len(sides[0]), limits)
            if reason := verdict(sides[0][-2000:], sides[1][-2000:], look, limits):
                return len(sides[0]), reason
    return questions, ""


def draw(*, mean: float = 0.02, failed: float = 0.0, declined: float = 0.1) -> Draw:
    """Log-normal times with a heavy tail, as questions have."""
    return lambda chance: Seen(
        mean * chance.lognormvariate(0, 0.8), chance.random() < failed, chance.random() < declined
    )


@pytest.mark.slow
@pytest.mark.parametrize("same", [draw(), draw(failed=0.05, declined=0.5)], ids=["healthy", "failing on both sides"])
def test_a_canary_that_is_no_worse_is_seldom_rolled_back(same: Draw) -> None:
    """400 canaries without a difference, with no tolerance at all: at most 1 % may be stopped (4, and chance: 9)."""
    strict = Limits(error_rate=0.0, slower=0.0, declines=0.0)
    chance = random.Random(7)
    alarms = sum(bool(run(chance, same, same, 600, strict)[1]) for _ in range(400))
    assert alarms <= FALSE_ALARM * 400 + 2.6 * math.sqrt(FALSE_ALARM * 400)


@pytest.mark.parametrize(
    ("worse", "by", "word"),
    [
        (draw(mean=0.2), 120, "longer"),
        (draw(failed=0.5), 60, "failed"),
        (draw(declined=1.0), 60, "declined"),
        (draw(mean=0.04), 2000, "longer"),
        (draw(declined=0.3), 500, "declined"),
    ],
)
def test_one_that_is_worse_is_rolled_back_soon(worse: Draw, by: int, word: str) -> None:
    chance = random.Random(3)
    for _ in range(10):
        asked, reason = run(chance, worse, draw(), 4000)
        assert word in reason
        assert asked <= by


def test_what_is_within_the_limits_stays() -> None:
    chance = random.Random(5)
    for within in (draw(mean=0.022), draw(declined=0.12), draw(failed=0.004)):
        assert not run(chance, within, draw(), 3000)[1]
