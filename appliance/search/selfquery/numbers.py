"""Numbers, comparisons and negations in a question."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.search.selfquery.lexicon import Token

_UNITS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
_ORDINALS = """
    zeroth first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth
    fifteenth sixteenth seventeenth eighteenth nineteenth twentieth
"""
_TENS = "ten twenty thirty forty fifty sixty seventy eighty ninety hundred"
NUMBERS = {
    **{word: number for words in (_UNITS, _ORDINALS) for number, word in enumerate(words.split())},
    **{word: 10 * number for number, word in enumerate(_TENS.split(), 1)},
}
_NUMERAL = re.compile(r"-?(?:\d+(?:\.\d+)?|\.\d+)(?:st|nd|rd|th)?")

_BEFORE = {
    ">": "more than|greater than|larger than|bigger than|higher than|later than|longer than|older than|better than|"
    "taller than|more then|greater then|larger then|bigger then|more that|over|above|after|beyond|exceeding|exceeds|"
    "exceed|exceeded|surpassing|in excess of|greater|larger|higher|bigger",
    "<": "less than|fewer than|smaller than|lower than|lesser than|earlier than|shorter than|younger than|worse than|"
    "less then|fewer then|smaller then|lower then|under|below|before|prior to|smaller|less|lower|fewer",
    ">=": "at least|no less than|not less than|no fewer than|no earlier than|not before|since|from|starting|"
    "a minimum of|minimum of",
    "<=": "at most|no more than|not more than|no later than|not after|not over|up to|until|till|through|"
    "a maximum of|maximum of",
}
# Words right before a number and the operator they mean, longest first.
BEFORE = tuple(
    sorted(
        ((tuple(phrase.split()), operator) for operator, phrases in _BEFORE.items() for phrase in phrases.split("|")),
        key=lambda pair: -len(pair[0]),
    )
)
# Words right after it.
AFTER = tuple(
    (tuple(phrase.split()), operator)
    for operator, phrases in {
        ">=": "or more|or higher|or greater|or above|or over|or later|and above|and over|or better|or larger|and up",
        "<=": "or less|or fewer|or lower|or below|or under|or earlier|and below|and under|or smaller",
    }.items()
    for phrase in phrases.split("|")
)
_LINKS_WORDS = """
    is was are were of be being the a an that than as a value number equal to equals
"""
_LINKS = frozenset(_LINKS_WORDS.split())
_NEGATIONS = (
    "other than|aside from|apart from|in addition to|besides|except for|except|excluding|rather than|without|outside|"
    "but not|is not|not"
)
NEGATIONS = tuple(tuple(phrase.split()) for phrase in _NEGATIONS.split("|"))
_BETWEEN_WORDS = """
    the a an in of by from with prof professor dr mr mrs ms at on for to class named
"""
_BETWEEN = frozenset(_BETWEEN_WORDS.split())


@dataclass(frozen=True, slots=True)
class Compared:
    """An operator that the words `[start, end)` around a number mean."""

    operator: str
    start: int
    end: int


def number_of(word: str) -> float | None:
    """The number that a word is, also in letters."""
    if _NUMERAL.fullmatch(word):
        return float(re.sub(r"[a-z]+$", "", word))
    return float(NUMBERS[word]) if word in NUMBERS else None


def comparison(words: Sequence[Token], start: int, end: int, named: int | None = None) -> Compared | None:
    """What the words before and after the number `[start, end)` make of it.

    `named`: where a field's name begins that ends right before the number, as in "after week 9".
    """
    following = tuple(word.text for word in words[end : end + 2])
    for phrase, operator in AFTER:
        if following[: len(phrase)] == phrase:
            return Compared(operator, start, end + len(phrase))
    at = first = start if named is None else named
    while at > 0 and first - at < 3 and words[at - 1].text in _LINKS and not _phrase(words, at):
        at -= 1
    found = _phrase(words, at)
    return Compared(found[0], at - found[1], end) if found else None


def _phrase(words: Sequence[Token], end: int) -> tuple[str, int] | None:
    for phrase, operator in BEFORE:
        if tuple(word.text for word in words[max(0, end - len(phrase)) : end]) == phrase:
            return operator, len(phrase)
    return None


def negated(words: Sequence[Token], start: int) -> int | None:
    """Where the negation before a value begins; None where there is none."""
    at = start
    for _ in range(4):
        for phrase in NEGATIONS:
            if tuple(word.text for word in words[max(0, at - len(phrase)) : at]) == phrase:
                return at - len(phrase)
        if at == 0 or words[at - 1].text not in _BETWEEN:
            return None
        at -= 1
    return None
