"""Whether a canary is worse than the stable side, decided again and again without crying wolf.

Each look compares both sides by three 2x2 tables: questions that failed, that took longer than the 95th percentile of
both sides together (the canary's times divided by what it may be slower), and that were declined. A table counts
against the canary when Fisher's exact test, one-sided, gives a p-value below what the look may spend, and the
difference is one that matters (`Limits`).

Looks come after `questions` of the canary, then after half as many more each time, 500 at most. The i-th look spends
FALSE_ALARM / 3 * 6 / (pi^2 i^2) for each table. Fisher's test keeps its level exactly where both sides have the same
distribution (conditionally on the margins the count is hypergeometric), and sum(6 / (pi^2 i^2)) = 1; so by the union
bound a canary that is no worse is rolled back with a probability of at most FALSE_ALARM, however long it runs.
"""

import math
from collections.abc import Sequence
from typing import Annotated, NamedTuple

import msgspec
from msgspec import Meta

FALSE_ALARM = 0.01
TABLES = 3
MOST_BETWEEN = 500  # questions of the canary between two looks


class Limits(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a canary may do worse: `error_rate` in all, `slower` in its 95th percentile (.25: a quarter more than the
    stable side), `declines` more in its share of refusals. Nothing is decided before `questions` on each side.
    """

    questions: Annotated[int, Meta(ge=30, le=10_000)] = 50
    error_rate: Annotated[float, Meta(ge=0, le=1)] = 0.01
    slower: Annotated[float, Meta(ge=0, le=100)] = 0.25
    declines: Annotated[float, Meta(ge=0, le=1)] = 0.05


class Seen(NamedTuple):
    """One question: the seconds it took, whether it failed, and whether it was declined."""

    seconds: float
    failed: bool
    declined: bool


def next_look(seen: int, limits: Limits) -> int:
    """After how many questions of the canary the figures are looked at again."""
    return max(limits.questions, seen + min(MOST_BETWEEN, max(seen // 2, limits.questions // 2)))


def verdict(canary: Sequence[Seen], stable: Sequence[Seen], look: int, limits: Limits) -> str:
    """Why the canary is to be rolled back at this look (counted from 1), as a sentence; empty where it is not."""
    spend = FALSE_ALARM / TABLES * 6 / (math.pi * look) ** 2
    sides = (canary, stable)
    failed = [sum(one.failed for one in side) for side in sides]
    declined = [sum(one.declined for one in side) for side in sides]
    rates = [[count / len(side) for count, side in zip(counts, sides, strict=True)] for counts in (failed, declined)]
    if rates[0][0] > limits.error_rate and _worse(failed, sides, spend):
        return f"{rates[0][0]:.1%} of its questions failed, {rates[0][1]:.1%} of the others."
    slow, bound = _slow(sides, limits)
    if _worse(slow, [[one for one in side if not one.failed] for side in sides], spend):
        p95s = [percentile([one.seconds for one in side if not one.failed]) * 1000 for side in sides]
        return (
            f"{slow[0]} of its {len(canary):,} questions took longer than {bound * 1000:.1f} ms, {slow[1]} of "
            f"{len(stable):,} others; its 95th percentile is {p95s[0]:.1f} ms against {p95s[1]:.1f} ms."
        )
    if rates[1][0] - rates[1][1] > limits.declines and _worse(declined, sides, spend):
        return f"{rates[1][0]:.1%} of its questions were declined, {rates[1][1]:.1%} of the others."
    return ""


def percentile(seconds: Sequence[float], share: float = 0.95) -> float:
    """The smallest of `seconds` that at least `share` of them do not exceed; 0 of none."""
    return sorted(seconds)[max(0, math.ceil(share * len(seconds)) - 1)] if seconds else 0.0


def fisher(first: int, of_first: int, second: int, of_second: int) -> float:
    """P(X >= first) of the hypergeometric X with the margins of the table (Fisher 1935, one-sided)."""
    marked, total = first + second, of_first + of_second
    whole = _log_choose(total, marked)
    most = min(marked, of_first)
    return math.fsum(
        math.exp(_log_choose(of_first, x) + _log_choose(of_second, marked - x) - whole)
        for x in range(first, most + 1)
        if marked - x <= of_second
    )


def _slow(sides: Sequence[Sequence[Seen]], limits: Limits) -> tuple[list[int], float]:
    """How many of each side are above the 95th percentile of both, the canary's times scaled; and that bound."""
    scales = (1 + limits.slower, 1.0)
    times = [[one.seconds / scale for one in side if not one.failed] for side, scale in zip(sides, scales, strict=True)]
    bound = percentile(times[0] + times[1])
    return [sum(second > bound for second in side) for side in times], bound


def _worse(counts: Sequence[int], sides: Sequence[Sequence[Seen]], spend: float) -> bool:
    return counts[0] > 0 and fisher(counts[0], len(sides[0]), counts[1], len(sides[1])) <= spend


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
