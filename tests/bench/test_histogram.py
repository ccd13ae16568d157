"""Latencies in buckets: what they tell is close to what was recorded, however much that was."""

import random

import pytest

from bench.histogram import Histogram


def test_quantiles_are_within_two_percent_of_the_recorded_ones() -> None:
    chance = random.Random(1)
    values = sorted(chance.lognormvariate(-5, 1.5) for _ in range(20_000))
    seen = Histogram()
    for value in values:
        seen.record(value)
    for share in (0.5, 0.95, 0.99, 0.999):
        exact = values[min(len(values) - 1, int(share * len(values)))] * 1000
        assert seen.quantile_ms(share) == pytest.approx(exact, rel=0.03)
    assert seen.highest == values[-1]
    assert seen.share_below(values[len(values) // 2]) == pytest.approx(0.5, abs=0.02)


def test_every_latency_from_a_microsecond_to_beyond_an_hour_has_a_bucket() -> None:
    for seconds in (0.0, -1.0, 1e-6, 63e-6, 64e-6, 65e-6, 0.1, 59.9, 3599.0, 100_000.0):
        seen = Histogram()
        seen.record(seconds)
        kept = min(max(seconds, 0.0), 3600.0) * 1000
        assert seen.quantile_ms(0.5) == pytest.approx(kept, rel=0.02, abs=0.001)


def test_histograms_add_up_and_travel_as_json() -> None:
    one, two = Histogram(), Histogram()
    for seen, seconds in ((one, 0.001), (one, 0.002), (two, 0.5)):
        seen.record(seconds)
    one.merge(two)
    read = Histogram.from_json(one.to_json())
    assert (read.count, read.highest, read.summary()) == (3, 0.5, one.summary())


def test_nothing_recorded_has_no_quantile() -> None:
    assert Histogram().quantile_ms(0.5) != Histogram().quantile_ms(0.5)
