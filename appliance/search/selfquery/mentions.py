"""Where a question names fields, and which of them it asks for."""

from collections.abc import Sequence
from dataclasses import dataclass

from appliance.search.selfquery.lexicon import Lexicon, Token

_ASKING_WORDS = """
    what which who whom whose where when how name list tell give show find many much
"""
ASKING = frozenset(_ASKING_WORDS.split())
_BEFORE_ASKED_WORDS = """
    is was are were the a an of number total s me many much highest lowest name sum average max maximum minimum
    largest smallest different did does do has have been there latest earliest all
"""
_BEFORE_ASKED = frozenset(_BEFORE_ASKED_WORDS.split())
# After these, a field may be asked for and filtered by at once: "states that border Texas".
_RELATED_WORDS = """
    border borders bordering bordered neighbor neighbors neighboring neighbour neighbours adjacent similar like
    next near
"""
_RELATED = frozenset(_RELATED_WORDS.split())
_LINKS_WORDS = """
    is was are were of be the a an in at for as by with to has had have having on named called equal equals when
    where number no
"""
_LINKS = frozenset(_LINKS_WORDS.split())
_ASKED_AT = 4  # words before the asking word at most: "In 1999, which team"
_APART = 2  # words between two words of one name at most


@dataclass(frozen=True, slots=True)
class Mention:
    """Words `[start, end)` name a field; `share` of its name's words are there; `asked`: the question asks for it."""

    field: int
    start: int
    end: int
    share: float
    asked: bool


def find_mentions(words: Sequence[Token], lexicon: Lexicon) -> list[Mention]:
    """Runs of words that belong to the name of one field."""
    places: dict[int, list[int]] = {}
    for at, word in enumerate(words):
        for field in lexicon.by_word.get(word.stem, ()):
            places.setdefault(field, []).append(at)
    return [
        _mention(words, lexicon, field, run[0], run[-1] + 1) for field, found in places.items() for run in _runs(found)
    ]


def _runs(places: Sequence[int]) -> list[list[int]]:
    runs: list[list[int]] = []
    for at in places:
        if runs and at - runs[-1][-1] <= _APART:
            runs[-1].append(at)
        else:
            runs.append([at])
    return runs


def _mention(words: Sequence[Token], lexicon: Lexicon, field: int, start: int, end: int) -> Mention:
    said = {word.stem for word in words[start:end]}
    name = set(lexicon.names[field])
    share = len(name & said) / len(name) or 0.5 / len(name)  # a synonym counts half a word
    return Mention(field, start, end, share, _asked(words, start, end))


def _asked(words: Sequence[Token], start: int, end: int) -> bool:
    """Whether the question asks for what is named at `[start, end)`: "what is the position", "which team"."""
    if any(word.text in _RELATED for word in words[end:]):
        return False
    at = start - 1
    while at >= 0 and words[at].text in _BEFORE_ASKED:
        at -= 1
    return 0 <= at <= _ASKED_AT and words[at].text in ASKING and words[at].text not in {"when", "where"}


def nearness(words: Sequence[Token], start: int, end: int, field: int, mentions: Sequence[Mention]) -> float:
    """-1..1: how surely the value at `[start, end)` is meant of this field, by where the question names it.

    0 where it does not; below 0 where the field is asked for, which is seldom filtered by.
    """
    best = 0.0
    for mention in mentions:
        inside = mention.start >= start and mention.end <= end
        if mention.field != field or inside:
            continue
        near = _near(words, start, end, mention)
        best = max(best, near) if best > 0 or near > 0 else min(best, near)
    return best


def _near(words: Sequence[Token], start: int, end: int, mention: Mention) -> float:
    after = mention.start >= end
    between = words[end : mention.start] if after else words[mention.end : start]
    distance = sum(1 for word in between if word.text not in _LINKS)
    near = mention.share / (1 + 0.5 * distance) - 0.01 * len(between)
    near *= 0.8 if after else 1.0
    return near * 0.35 - 0.15 if mention.asked else near
