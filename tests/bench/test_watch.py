"""Whether what a server holds grows, told from noise."""

import random

from bench.watch import slope


def test_noise_around_a_level_is_flat_and_a_leak_is_not() -> None:
    chance = random.Random(3)
    at = [second / 3600 for second in range(1_800)]
    level = [200 + chance.gauss(0, 2) for _ in at]
    leak = [200 + 40 * hours + chance.gauss(0, 2) for hours in at]
    assert slope(at, level).flat
    found = slope(at, leak)
    assert not found.flat
    assert abs(found.value - 40) < 2 * found.within


def test_growth_while_caches_fill_is_left_out() -> None:
    at = [second / 3600 for second in range(1_200)]
    warming = [200 - 50 * max(0.0, 1 - second / 150) for second in range(1_200)]
    assert slope(at, warming).flat


def test_a_few_samples_say_nothing() -> None:
    assert slope([0, 1, 2], [1, 2, 3]).flat
