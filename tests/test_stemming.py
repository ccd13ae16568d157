"""The compiled stems are those of `words.stem`, whatever a text is made of."""

import random
from itertools import pairwise
from pathlib import Path

import pytest

from appliance import stemming
from appliance.words import stem, words

HANDBOOK = Path(__file__).parents[1] / "appliance/handbook"
ENDINGS = (
    "",
    "s",
    "es",
    "ies",
    "sses",
    "ss",
    "us",
    "is",
    "ing",
    "ed",
    "edly",
    "ly",
    "e",
    "y",
    "'s",
    "'t",
    "'",
    "''s",
    "_",
    "7",
)
BODIES = ("a", "cit", "hopp", "fall", "miss", "buzz", "1960", "x2", "Run", "GPU", "be", "see", "o'clock", "i")


def cut(text: str) -> str:
    return " ".join(("", *map(stem, words(text)), ""))


def test_stems_are_those_of_words_py() -> None:
    chance = random.Random(1)
    for _ in range(20_000):
        pieces = (chance.choice(BODIES) + chance.choice(ENDINGS) for _ in range(chance.randint(0, 5)))
        text = chance.choice((" ", "-", "", ", ", "_", "\n")).join(pieces)
        assert stemming.stem_line(text) == cut(text), text


def test_every_line_of_the_handbook() -> None:
    lines = [line for path in sorted(HANDBOOK.rglob("*.md")) for line in path.read_text("utf-8").splitlines()]
    assert len(lines) > 1000
    for line in filter(str.isascii, lines):
        assert stemming.stem_line(line) == cut(line)


@pytest.mark.parametrize("text", ["caf\u00e9", "it\u2019s", "\u732b", "\U0001d400"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not ASCII"):
        stemming.stem_line(text)


def reads(text: str, context: str = "") -> None:
    """That a passage has the words, and the words side by side, that words.py cuts its text into, and no others."""
    parts = (context, text) if context else (text,)
    whole = [stem(word) for word in words("\n".join(parts).lower())]
    keys = list(dict.fromkeys([*whole, "cat", "é", "の街", "x's"]))
    places = {key: place for place, key in enumerate(keys)}
    pairs = [(places[one], places[two]) for one, two in dict.fromkeys([*pairwise(whole), *pairwise(keys)])]
    found, together = stemming.Passages(1).held([context], [text], keys, pairs)
    assert found[0].tolist() == [key in whole for key in keys], text
    beside = set(pairwise(whole))
    assert together[0].tolist() == [(keys[one], keys[two]) in beside for one, two in pairs], text


def test_every_character_is_cut_as_in_words_py() -> None:
    for start in range(0, 0x20000, 64):
        characters = [chr(number) for number in range(start, start + 64)]
        reads("".join(characters))
        reads("".join(f"ab{one}cats's {one}’{one}{one}{one} " for one in characters))


def test_passages_are_cut_as_in_words_py() -> None:
    chance = random.Random(2)
    signs = " ,'’-_\nsSİßΣςaÉéñ猫の街ขก한𝔸1²\ud800"
    for _ in range(5_000):
        pieces = (chance.choice((*signs, chance.choice(BODIES) + chance.choice(ENDINGS))) for _ in range(12))
        text = "".join(pieces)
        cutting = chance.randint(0, 12)
        reads(text[cutting:], text[:cutting])


def test_words_are_found_beside_letters_beyond_ascii() -> None:
    """In strings of each width that Python keeps them in."""
    for letter in ("\u00e9", "\u0394", "\U0001d400"):
        text = f"{letter} cats\u2019 {letter}cat cat{letter} city\u2019s {letter}"
        found, together = stemming.Passages(9).held([""], [text], ["cat", "city", letter.lower()], [(0, 1)])
        assert found.tolist() == [[True, True, True]]
        assert together.tolist() == [[False]]


def test_no_more_passages_are_kept_than_allowed() -> None:
    passages = stemming.Passages(2)
    for text in ("cat", "dog", "cat", "cow", "dog", "cow", "pig", "cat"):
        found, _ = passages.held(["", "of"], [text, text], ["of", text], [])
        assert found.tolist() == [[False, True], [True, True]]
        assert len(passages) == 2
    passages.forget()
    assert not len(passages)
    assert passages.held([""], ["one"], ["one"], [])[0].all()


def test_what_is_no_text_is_refused() -> None:
    passages = stemming.Passages(2)
    with pytest.raises(TypeError):
        passages.held([""], [b"one"], ["one"], [])  # type: ignore[list-item]
    with pytest.raises(ValueError, match="context"):
        passages.held([], ["one"], ["one"], [])
    with pytest.raises(ValueError, match="twice"):
        passages.held([""], ["one"], ["one", "one"], [])
    assert not len(passages)
