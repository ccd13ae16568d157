"""Counts within a bound: the same as those of a look through all of them for the least."""

import random

from appliance.cache.tally import Tally


def test_the_least_counted_makes_room_and_leaves_its_count() -> None:
    tally = Tally(2, {"a": 3, "b": 1})
    tally.add("c")
    assert dict(tally.items()) == {"a": 3, "c": 2}
    tally.add("d")
    assert dict(tally.items()) == {"a": 3, "d": 3}
    tally.add("d")
    tally.add("e")
    assert dict(tally.items()) == {"d": 4, "e": 4}
    assert tally.total == 8


def test_what_was_forgotten_leaves_room() -> None:
    tally = Tally(2, {"a": 3, "b": 1})
    tally.forget("b")
    tally.add("c")
    assert dict(tally.items()) == {"a": 3, "c": 1}
    for one in ("a", "c"):
        tally.forget(one)
    assert len(tally) == tally.total == 0
    tally.add("d")
    assert tally.items() == [("d", 1)]


def test_counts_are_those_of_a_search_for_the_least() -> None:
    chance = random.Random(7)
    tally: Tally[int] = Tally(20, {})
    for _ in range(3000):
        one = int(chance.expovariate(0.05))
        before = dict(tally.items())
        tally.add(one)
        now = dict(tally.items())
        if one not in before and len(before) == 20:
            (gone,) = before.keys() - now.keys()
            assert before[gone] == min(before.values())
            assert now[one] == before[gone] + 1
        else:
            assert now[one] == before.get(one, 0) + 1
        if chance.random() < 0.01:
            tally.forget(one)
        assert tally.total == sum(count for _, count in tally.items())
    assert len(tally) == 20
