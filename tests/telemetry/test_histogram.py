"""Our histogram counts as prometheus_client's does, from many threads as well."""

import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Histogram, generate_latest

from appliance.telemetry import histogram

BOUNDS = (0.001, 0.01, 0.5, 2)


def test_it_counts_as_the_original() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = histogram.Histogram("x_seconds", "x", ("route",), buckets=BOUNDS, registry=ours)
    other = Histogram("x_seconds", "x", ("route",), buckets=BOUNDS, registry=theirs)
    chance = random.Random(1)
    for value in (0.0, *BOUNDS, 1e9, *(chance.expovariate(2) for _ in range(500))):
        mine.labels("a").observe(value)
        other.labels("a").observe(value)
    for parent in (mine, other):
        with pytest.raises(ValueError, match=r"label"):
            parent.observe(1.0)
    assert generate_latest(ours) == generate_latest(theirs)


def test_its_bounds_are_bounded() -> None:
    with pytest.raises(ValueError, match="32 bounds"):
        histogram.Histogram("x_seconds", "x", buckets=range(40), registry=None)


def test_no_observation_is_lost_between_threads() -> None:
    registry = CollectorRegistry()
    mine = histogram.Histogram("x_seconds", "x", buckets=BOUNDS, registry=registry)

    def observe(_: int) -> None:
        for _ in range(2_000):
            mine.observe(0.25)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(observe, range(8)))
    assert registry.get_sample_value("x_seconds_count") == 16_000
    assert registry.get_sample_value("x_seconds_sum") == 4_000
