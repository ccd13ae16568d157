"""Whether two questions that lie close together ask the same. A vector hardly sees a "not", a year or a name: so all
words that carry something must be there in both, in the same order or with one phrase moved to the front.

What is left to differ are articles, auxiliaries, inflection, case, punctuation, politeness. Synonyms are not: on
questions that were written to look alike (SQuAD 2.0), every rule that let one word stand for another was wrong more
often than right, at any similarity.
"""

import re

from appliance.words import FUNCTION_WORDS, stem, words

# Function words that turn a question around; forms of one word count as one.
_TURNING = """
    not no nor more most must may might should some how who whom whose when where which what why by from to for with
    than from as if on in at
"""
_TURNS = frozenset(_TURNING.split())
_FILLING = frozenset(["please", "also", "exactly", "actually", "just", "really", "kindly"])
_POLITE = re.compile(
    r"\W*(?:(?:please|hi|hello|hey)\W+)*(?:(?:can|could|would|will)\s+you\s+(?:please\s+)?|do\s+you\s+|i\s+(?:would|'d)\s+like\s+"
    r"to\s+|i\s+want\s+to\s+|please\s+)?(?:(?:tell|show|explain\s+to|inform)\s+(?:me|us)\W+|know\W+)?",
    re.IGNORECASE,
)
_DENIED = re.compile(r"n['’]t\b", re.IGNORECASE)
_OWNED = re.compile(r"['’](?:s|re|ll|ve|d|m)?\b", re.IGNORECASE)


def essence(text: str) -> tuple[str, ...]:
    """The words that carry something, as stems, in their order."""
    text = _POLITE.sub("", text, count=1)
    text = _OWNED.sub(" ", _DENIED.sub(" not", text.replace("cannot", "can not").replace("can't", "can not")))
    kept = [low for word in words(text) if (low := word.casefold()) not in _FILLING]
    return tuple(low if low in _TURNS else stem(low) for low in kept if low not in FUNCTION_WORDS or low in _TURNS)


def may_differ(one: str, other: str) -> bool:
    """True unless both have the same essence, perhaps with one phrase moved."""
    mine, theirs = essence(one), essence(other)
    if len(mine) != len(theirs) or not mine:
        return True
    return all(mine[at:] + mine[:at] != theirs for at in range(len(mine)))
