"""Passages that say the same as a better one: the same page in two files, a text inside a longer one."""

from collections.abc import Sequence

from msgspec.structs import replace

from appliance.types import Hit
from appliance.words import words

SHINGLE = 4  # words that stand side by side (Broder 1997, "On the resemblance and containment of documents")
CONTAINED = 0.9  # share of a passage's shingles that a better passage must hold
FEW = 8  # shingles; a text with fewer is a duplicate only of its equal

_Shingles = frozenset[tuple[str, ...]]


def collapsed(hits: Sequence[Hit], most: int) -> list[Hit]:
    """The first `most` hits that are no near duplicate of a better one; each lists those that it stands for.

    A passage goes when nearly all of it stands in the better one, and every word of it that has a digit: two versions
    of a price list differ in little else. Reads no more hits than it takes to find `most`.
    """
    kept: list[Hit] = []
    seen: list[tuple[str, _Shingles, frozenset[str]]] = []
    for hit in hits:
        if len(kept) == most:
            break
        here = _signature(hit.chunk.text)
        twin = next((place for place, better in enumerate(seen) if _holds(better, here)), None)
        if twin is None:
            kept.append(hit)
            seen.append(here)
        else:
            kept[twin] = replace(kept[twin], duplicates=(*kept[twin].duplicates, hit.chunk.id))
    return kept


def _signature(text: str) -> tuple[str, _Shingles, frozenset[str]]:
    """The words as one text, their shingles, and the words with a digit."""
    found = [word.casefold() for word in words(text)]
    shingles = frozenset(zip(*(found[start:] for start in range(SHINGLE)), strict=False))
    return " ".join(found), shingles, frozenset(word for word in found if any(map(str.isdigit, word)))


def _holds(better: tuple[str, _Shingles, frozenset[str]], here: tuple[str, _Shingles, frozenset[str]]) -> bool:
    if better[0] == here[0]:
        return True
    if len(here[1]) < FEW or not here[2] <= better[2]:
        return False
    return len(here[1] & better[1]) >= CONTAINED * len(here[1])
