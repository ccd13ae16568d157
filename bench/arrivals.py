"""What callers ask and when: Poisson arrivals, and questions of which a stated share was asked before.

Repeats are drawn from a pool by Zipf's law: the r-th most asked question of people is asked about 1/r as often as the
first (Breslau et al. 1999 on web requests; query logs look alike). Of each block of 20 requests the stated share are
repeats, in random order, so that a short run has the share as well.
"""

import random
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil

POOL = 200  # questions that repeats are drawn from
ZIPF = 1.0  # exponent
BLOCK = 20


def arrivals(per_s: float, seconds: float, seed: int = 1) -> list[float]:
    """Seconds from the start at which requests are sent: a Poisson process of that rate."""
    chance = random.Random(seed)
    found: list[float] = []
    at = chance.expovariate(per_s)
    while at < seconds:
        found.append(at)
        at += chance.expovariate(per_s)
    return found


def mixed(pool: Sequence[str], fresh: Sequence[str], count: int, repeats: float, seed: int = 1) -> Iterator[str]:
    """`count` questions, the share `repeats` (0..1) of them out of `pool`, the others each new out of `fresh`.

    Raises ValueError when `fresh` does not suffice (see `fresh_needed`).
    """
    chance = random.Random(seed)
    weights = list(accumulate(1 / rank**ZIPF for rank in range(1, len(pool) + 1)))
    supply = iter(fresh)
    given, owed = 0, 0.0
    while given < count:
        size = min(BLOCK, count - given)
        owed += size * repeats
        again = min(size, ceil(owed - 1e-9))
        owed -= again
        block = [True] * again + [False] * (size - again)
        chance.shuffle(block)
        for repeated in block:
            if repeated:
                yield chance.choices(pool, cum_weights=weights)[0]
            elif (question := next(supply, None)) is not None:
                yield question
            else:
                raise ValueError("there are too few questions that were not asked before")
        given += size


def fresh_needed(count: int, repeats: float) -> int:
    """How many new questions `mixed` takes at most."""
    return int(count * (1 - repeats)) + BLOCK
