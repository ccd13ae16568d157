"""The lowest threshold that keeps a stated rate with a stated confidence, whatever the distribution.

Let t leave k of n independent questions above it. If their true share above t were greater than `rate`, at most k of n
would be seen with a probability below BinomCDF(k; n, rate); so where that is at most 1 - confidence, t is safe. This is
the distribution-free tolerance limit of Wilks (1941, Ann. Math. Stat. 12), used for abstaining by Geifman and El-Yaniv
(2017, arXiv:1705.08500).
"""

import math
from collections.abc import Sequence

STEPS = 10_000  # thresholds are multiples of one part in so many


def errors_allowed(questions: int, rate: float, confidence: float) -> int:
    """How many of `questions` may be wrong; -1 where even none would prove nothing."""
    total, allowed = 0.0, -1
    for wrong in range(questions + 1):
        total += math.exp(_log_binomial(questions, wrong, rate))
        if total > 1 - confidence:
            break
        allowed = wrong
    return allowed


def questions_needed(rate: float, confidence: float) -> int:
    """The least number of questions that can prove the rate."""
    return math.ceil(math.log(1 - confidence) / math.log(1 - rate))


def lowest_threshold(strengths: Sequence[float], allowed: int) -> float:
    """The lowest multiple of 1 / STEPS that at most `allowed` of `strengths` reach."""
    if allowed >= len(strengths):
        return 0.0
    highest_refused = sorted(strengths, reverse=True)[allowed]
    step = math.floor(highest_refused * STEPS)
    return next(step / STEPS for step in range(step, step + 3) if step / STEPS > highest_refused)


def share_reaching(strengths: Sequence[float], threshold: float) -> float:
    """The share of `strengths` (0..1) that a question at this threshold is answered with; 0 of none."""
    return sum(strength >= threshold for strength in strengths) / len(strengths) if strengths else 0.0


def _log_binomial(trials: int, hits: int, rate: float) -> float:
    choose = math.lgamma(trials + 1) - math.lgamma(hits + 1) - math.lgamma(trials - hits + 1)
    return choose + hits * math.log(rate) + (trials - hits) * math.log1p(-rate)
