"""Documents for torture: any version of any source can be written again from its name, and no two share a token."""

import hashlib
import random
from functools import lru_cache

_CONSONANTS, _VOWELS = "bcdfghjklmnprstvz", "aeiou"
LARGE_EVERY = 12  # one source in so many is LARGE times as long: several batches, several pages of the database
LARGE = 12


def token(source: str, version: int) -> str:
    """The word that only this version of this source holds."""
    return "x" + hashlib.sha256(f"{source}/{version}".encode()).hexdigest()[:14]


def text(source: str, version: int) -> str:
    """Some paragraphs; the token is in the first and in the last."""
    chance = random.Random(f"{source}/{version}")
    large = int(token(source, 0)[1:], 16) % LARGE_EVERY == 0
    paragraphs = [_paragraph(chance) for _ in range(chance.randint(1, 6) * (LARGE if large else 1))]
    key = token(source, version)
    return "\n\n".join(
        [f"The key of {name(source)} is {key}.", *paragraphs, f"So {key} was the last word on {name(source)}."]
    )


@lru_cache(maxsize=4096)
def sha256(source: str, version: int) -> str:
    return hashlib.sha256(text(source, version).encode()).hexdigest()


def name(source: str) -> str:
    """What a document calls itself: one word."""
    return "n" + hashlib.sha256(source.encode()).hexdigest()[:10]


def question(source: str) -> str:
    return f"What is the key of {name(source)}?"


def _paragraph(chance: random.Random) -> str:
    words = [_word(chance) for _ in range(chance.randint(6, 40))]
    return " ".join(words).capitalize() + "."


def _word(chance: random.Random) -> str:
    return "".join(chance.choice(_CONSONANTS) + chance.choice(_VOWELS) for _ in range(chance.randint(1, 4)))
