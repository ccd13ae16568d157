"""The compiled stems are those of `words.stem`, whatever a text is made of."""

import random
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


def test_words_are_found_beside_letters_beyond_ascii() -> None:
    """In strings of each width that Python keeps them in."""
    for letter in ("\u00e9", "\u0394", "\U0001d400"):
        text = f"{letter} cats\u2019 {letter}cat cat{letter} city\u2019s {letter}"
        found, together = stemming.held([text], ["cat", "city", letter.encode("ascii", "ignore").decode()], [(0, 1)])
        assert found.tolist() == [[True, True, False]]
        assert together.tolist() == [[False]]
