"""Words of a question in a text: as if the text had been cut into words."""

import random
from itertools import compress

import numpy as np
import pytest

from appliance.search.held_words import forget, remembered, shares
from appliance.stemming import Passages
from appliance.words import stem, words

held = Passages(16).held

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
    assert looked_for(text, ["city", "cat"], [])[0] == found


def test_pairs_stand_side_by_side() -> None:
    found, together = looked_for("running cats, and a city", ["run", "cat", "city"], [(0, 1), (1, 2)])
    assert found == {"run", "cat", "city"}
    assert together == {("run", "cat")}


def test_texts_are_looked_through_one_by_one() -> None:
    found, together = held([""] * 4, ["a cat", "", "cat city", "city cat"], ["cat", "city"], [(0, 1)])
    assert found.tolist() == [[True, False], [False, False], [True, True], [True, True]]
    assert together.tolist() == [[False], [False], [True], [False]]
    assert [array.shape for array in held([], [], ["cat"], [])] == [(0, 1), (0, 0)]
    assert [array.shape for array in held([""], ["猫"], ["cat"], [])] == [(1, 1), (1, 0)]


def test_a_context_stands_before_its_text() -> None:
    found, together = held(["Cats", ""], ["City", "City"], ["cat", "city"], [(0, 1), (1, 0)])
    assert found.tolist() == [[True, True], [False, True]]
    assert together.tolist() == [[True, False], [False, False]]


def test_passages_are_read_once_until_they_are_forgotten() -> None:
    forget()
    texts = ["a cat", "café au lait", "猫の街", "a cat"]
    once = [shares([""] * 4, texts, {"cat": 1.0, "café": 2.0, "の街": 5.0}, [(0, 1)]).tolist() for _ in range(2)]
    assert once[0] == once[1] == [[0.125, 0.25, 0.625, 0.125], [0.0] * 4]
    assert remembered() == 3
    forget()
    assert not remembered()


def test_shares_are_of_what_any_passage_holds() -> None:
    chance = random.Random(3)
    for _ in range(300):
        texts = ["".join(chance.choices(PIECES, k=9)) for _ in range(chance.randint(0, 5))]
        weights = {key: chance.random() for key in ("cat", "city", "a", "run", "猫")[: chance.randint(0, 5)]}
        pairs = [(one, two) for one in range(len(weights)) for two in range(len(weights)) if chance.random() < 0.3]
        found, together = held([""] * len(texts), texts, list(weights), pairs)
        of = list(weights.values())
        expected = [plain(found, of), plain(together, [min(of[one], of[two]) for one, two in pairs])]
        assert shares([""] * len(texts), texts, weights, pairs) == pytest.approx(np.array(expected))


def plain(held_by: np.ndarray, weights: list[float]) -> np.ndarray:
    weighed = held_by * np.array(weights).reshape(1, -1)
    shares: np.ndarray = weighed.sum(axis=1) / (weighed.max(axis=0, initial=0.0).sum() or 1.0)
    return shares


def test_each_stem_has_a_weight_and_pairs_are_of_stems() -> None:
    with pytest.raises(ValueError, match="weight"):
        Passages(1).shares([""], ["cat"], ["cat"], [1.0, 2.0], [])
    with pytest.raises(IndexError):
        Passages(1).shares([""], ["cat"], ["cat"], [1.0], [(0, 1)])


def test_nothing_is_found_that_cutting_would_not_find() -> None:
    chance = random.Random(1)
    for _ in range(5_000):
        text = "".join(chance.choices(PIECES, k=chance.randint(1, 14)))
        asked = chance.choices(("cat", "city", "a", "s", "run", "y", "1", "猫", "a's"), k=4)
        keys = list(dict.fromkeys(stem(word) for word in asked[: chance.randint(1, 4)]))
        pairs = [(chance.randrange(len(keys)), chance.randrange(len(keys))) for _ in range(3)]
        whole = " ".join(("", *map(stem, words(text.lower())), ""))
        found, together = looked_for(text, keys, pairs)
        assert found == {key for key in keys if f" {key} " in whole}, text
        named = [(keys[one], keys[two]) for one, two in pairs]
        assert together == {pair for pair in named if f" {pair[0]} {pair[1]} " in whole}, text


def looked_for(text: str, keys: list[str], pairs: list[tuple[int, int]]) -> tuple[set[str], set[tuple[str, str]]]:
    found, together = held([""], [text], keys, pairs)
    named = [(keys[one], keys[two]) for one, two in pairs]
    return set(compress(keys, found[0])), set(compress(named, together[0]))
