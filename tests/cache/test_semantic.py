"""Similar questions: what counts as the same, bounds, scopes."""

import numpy as np
import pytest

from appliance.cache.distinct import may_differ
from appliance.cache.semantic import SemanticIndex
from appliance.types import Vector

BASE = "How often must the boiler be serviced by an engineer?"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("How do I reset the password?", "how do i reset the password"),
        ("How do I reset my password?", "Could you please tell me how I reset the password?"),
        ("What is the price of the license?", "What's the price of a license?"),
        ("What was the revenue in 2019?", "In 2019, what was the revenue?"),
        ("Which engineers service the boiler?", "Which engineer is servicing the boilers?"),
    ],
)
def test_the_same_in_other_words(one: str, other: str) -> None:
    assert not may_differ(one, other)
    assert not may_differ(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Is smoking allowed?", "Is smoking not allowed?"),
        ("Can I return it?", "Can't I return it?"),
        ("What is the limit of SKU-A1234?", "What is the limit of SKU-A1235?"),
        ("What was the revenue in 2019?", "What was the revenue in 2020?"),
        ("What happened in March?", "What happened in May?"),
        ("Where does Ada Lovelace live?", "Where does Ada Byron live?"),
        ("Who wrote it?", "When was it written?"),
        ("What is the highest pressure?", "What is the lowest pressure?"),
        ("What happens before the start?", "What happens after the start?"),
        ("What is the maximum age of a driver?", "What is the minimum age of a driver?"),
        ("Who signs the contract?", "Who signs the invoice?"),
        ("What are the rules with alcohol?", "What are the rules without alcohol?"),
        ("How many days of leave are there?", "How much leave is there?"),
        ("Which version is v2.1?", "Which version is v2.2?"),
        ("Who defeated Montcalm at Quebec?", "Who was defeated by Montcalm at Quebec?"),
        ("What relationship is he for?", "What relationship is he against?"),
        ("Does the seller sue the buyer?", "Does the buyer sue the seller?"),
        ("Who is the president?", "Who is the vice president?"),
        ("How is a car repaired?", "How is an automobile repaired?"),
    ],
)
def test_what_differs_though_it_looks_alike(one: str, other: str) -> None:
    assert may_differ(one, other)
    assert may_differ(other, one)


def vector(*values: float) -> Vector:
    made = np.array(values, dtype=np.float32)
    return made / np.linalg.norm(made)


def test_only_above_the_similarity_and_in_the_same_scope() -> None:
    index = SemanticIndex()
    index.add("scope", "default", BASE, vector(1, 0), "key")
    again = "how often must the boiler be serviced by an engineer"
    found = index.find("scope", again, vector(1, 0.1), 0.95)
    assert found is not None
    assert (found.key, found.question) == ("key", BASE)
    assert index.find("scope", again, vector(1, 0.5), 0.95) is None
    assert index.find("other scope", again, vector(1, 0), 0.95) is None
    assert index.find("scope", "How often must the pump be serviced by an engineer?", vector(1, 0), 0.95) is None
    stats = index.stats()
    assert (stats.hits, stats.misses, stats.entries) == (1, 3, 1)


def test_it_is_bounded_and_forgets_by_collection() -> None:
    index = SemanticIndex(10)
    for number in range(40):
        index.add(f"scope {number % 4}", f"c{number % 4}", f"q{number}", vector(1, number), f"k{number}")
        assert index.stats().entries <= 10
    for number in range(40):
        index.add("scope 0", "c0", f"q{number}", vector(1, number), f"k{number}")
        assert index.stats().entries <= 10
    entries = index.stats().entries
    assert index.clear("c0") > 0
    assert index.stats().entries < entries
    index.clear()
    assert index.stats().entries == 0
