"""Our counter counts as prometheus_client's does, from many threads as well."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from prometheus_client import CollectorRegistry, Counter, generate_latest

from appliance.telemetry import counter


def test_it_counts_as_the_original() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    mine = counter.Counter("x", "x", ("route",), registry=ours)
    other = Counter("x", "x", ("route",), registry=theirs)
    for amount in (1, 2.5, 0, *[1] * 500):
        mine.labels("a").inc(amount)
        other.labels("a").inc(amount)
    for one in (mine.labels("b"), other.labels("b")):
        one.inc()
        with pytest.raises(ValueError, match=r"."):
            one.inc(-1)
        with pytest.raises(KeyError), one.count_exceptions():
            raise KeyError
    for parent in (mine, other):
        with pytest.raises(ValueError, match=r"label"):
            parent.inc()
    with pytest.raises(TypeError):
        mine.labels("a").inc("1")  # type: ignore[arg-type]
    assert generate_latest(ours) == generate_latest(theirs)


def test_no_count_is_lost_between_threads() -> None:
    registry = CollectorRegistry()
    mine = counter.Counter("x", "x", registry=registry)

    def count(_: int) -> None:
        for at in range(2_000):
            mine.inc()
            if at % 50 == 0:
                assert (registry.get_sample_value("x_total") or 0.0) > 0

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(count, range(8)))
    assert registry.get_sample_value("x_total") == 16_000
