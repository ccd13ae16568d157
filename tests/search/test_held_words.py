"""Words of a question in a text: as if the text had been cut into words."""

import random

import pytest

from appliance.search.held_words import WantedWords
from appliance.words import stem, stemmed

PIECES = (
    "cat",
    "cats",
    "city",
    "cities",
    "a",
    "'",
    "’",
    "s",
    "_",
    " ",
    "-",
    "ing",
    "run",
    "running",
    "y",
    "1",
    "é",
    "猫",
)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Cities of the north.", {"city"}),
        ("The cats' tails; cat’s whiskers", {"cat"}),
        ("concatenate", set()),
        ("a_cat", {"cat"}),
        ("rock'cat", set()),
        ("rock'n'cat", {"cat"}),
        ("été cats", {"cat"}),
        ("猫cat", {"cat"}),
    ],
)
def test_words_are_found_by_their_stems(text: str, found: set[str]) -> None:
    assert WantedWords(["city", "cat"], []).held(text)[0] == found


def test_pairs_stand_side_by_side() -> None:
    found, together = WantedWords(["run", "cat", "city"], [("run", "cat"), ("cat", "city")]).held(
        "running cats, and a city"
    )
    assert found == {"run", "cat", "city"}
    assert together == {("run", "cat")}


def test_nothing_is_found_that_cutting_would_not_find() -> None:
    chance = random.Random(1)
    for _ in range(5_000):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 14)))
        keys = list(
            {stem(word) for word in chance.choices(("cat", "city", "a", "s", "run", "y", "1", "猫", "a's"), k=4)}
        )
        pairs = [(chance.choice(keys), chance.choice(keys)) for _ in range(3)]
        whole = stemmed(text)
        found, together = WantedWords(keys, pairs).held(text)
        assert found == {key for key in keys if f" {key} " in whole}, text
        assert together == {pair for pair in pairs if f" {pair[0]} {pair[1]} " in whole}, text
