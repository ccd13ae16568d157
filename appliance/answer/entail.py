"""Whether a sentence says what a claim says, as far as words, their order and a few signs tell: no grammar, no model.

A claim may leave out words of the sentence, put its subject (from the question, the title, the sentence before) in the
place of a pronoun, move a phrase ("since 1988, …"), turn active into passive. It may put nothing in the place of what
the sentence says there, deny nothing else, and not be surer. So a paraphrase in other words does not stand: that costs
an answer's wording, while letting it through would let through falsehoods in the passage's own words (`bench claims`).
"""

import re
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher

from appliance.words import DENIAL, FUNCTION_WORDS, stem, stems, words

LEAST_ORDER = 0.5  # of the shared words, in the sentence's order, where one of the two is passive

# Function words that carry meaning here.
_TELLING_WORDS = "any can could from may might more most must no nor not should some than to will with would"
_TELLING = frozenset(_TELLING_WORDS.split())
# They may stand in a claim though no passage has them: they frame what is said, and assert nothing by themselves.
_FRAMING_WORDS = """
    according also answer based call called contain contains describe described does document following found given
    include included includes including know known list listed locate located mean means mention mentioned name named
    passage refer referred say says section sentence specific state stated states text use used uses
"""
_FRAMING = frozenset(map(stem, _FRAMING_WORDS.split()))
_PREPOSITION_WORDS = """
    after against as at before between by during for from in into near of on over since through to under until with
"""
_PREPOSITIONS = frozenset(map(stem, _PREPOSITION_WORDS.split()))
_PASSIVE = re.compile(r"\bby\b", re.IGNORECASE)
_YES_NO = re.compile(r"^\W*(?:yes|no)\b\W+", re.IGNORECASE)
_UNSURE = re.compile(
    r"\b(?:may|might|could|possibly|perhaps|probably|allegedly|reportedly|supposedly|likely|if|unless|"
    r"believe[sd]?|thought|claim(?:s|ed)?|argue[sd]?|suggest(?:s|ed)?|propose[sd]?|allege[sd]?|estimate[sd]?|expect(?:s|ed)?)\b",
    re.IGNORECASE,
)


def entails(sentence: str, claim: str, around: frozenset[str]) -> bool:
    """Whether the sentence says what the claim says. `around`: stems that it leaves to its surroundings."""
    claim = _YES_NO.sub("", claim)
    if _denies_otherwise(claim, sentence) or _surer(claim, sentence):
        return False
    mine, theirs = stems(claim), stems(sentence)
    if (_PASSIVE.search(claim) is None) is not (_PASSIVE.search(sentence) is None) and _says_all(mine, theirs, around):
        return True
    steps = SequenceMatcher(None, theirs, mine, autojunk=False).get_opcodes()
    return all(
        step in ("equal", "delete") or _may_stand(mine[begin:end], theirs[first:last], mine, theirs, around)
        for step, first, last, begin, end in steps
    )


def content(text: str) -> list[str]:
    """The stems of the words that carry a topic."""
    return [stem(word) for word in words(text) if word.lower() not in FUNCTION_WORDS]


def _bears(key: str) -> bool:
    return key not in FUNCTION_WORDS or key in _TELLING


def _may_stand(
    put: Sequence[str], instead_of: Sequence[str], claim: Sequence[str], sentence: Sequence[str], around: frozenset[str]
) -> bool:
    """Whether `put` may stand in the claim where the sentence has `instead_of`."""
    told = [key for key in put if _bears(key) and key not in _FRAMING]
    lost = [key for key in instead_of if _bears(key) and key not in claim]
    if not told:
        return not (lost and any(map(_bears, put)))
    if _moved(put, sentence):
        return True
    return not lost and all(key in around for key in told)


def _moved(phrase: Sequence[str], sentence: Sequence[str]) -> bool:
    """Whether the sentence has this very phrase elsewhere: one that a preposition begins, so that its part is told."""
    if phrase[0] not in _PREPOSITIONS:
        return False
    size = len(phrase)
    return any(list(sentence[at : at + size]) == list(phrase) for at in range(len(sentence) - size + 1))


def _says_all(claim: Sequence[str], sentence: Sequence[str], around: frozenset[str]) -> bool:
    """Whether all words of a claim that turns the sentence round are its own, most of them in its order.

    "B was beaten by A" says that "A beat B": what stands behind "by" in one comes before the verb in the other.
    """
    mine, own = ([key for key in keys if _bears(key) and key not in _FRAMING] for keys in (claim, sentence))
    matched = Counter(mine) & Counter(own)
    if any(key not in around for key in Counter(mine) - matched):
        return False
    passive, active = (claim, sentence) if "by" in claim else (sentence, claim)
    actor = next((key for key in passive[passive.index("by") + 1 :] if _bears(key)), "") if "by" in passive else ""
    if actor in active and any(
        key in active[: active.index(actor)] for key in passive[: passive.index("by")] if _bears(key)
    ):
        return False
    mine, own = ([key for key in keys if key in matched] for keys in (mine, own))
    return _common_order(mine, own) >= LEAST_ORDER * matched.total()


def _common_order(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, mate in enumerate(other, start=1):
            before, row[at] = row[at], before + 1 if word == mate else max(row[at], row[at - 1])
    return row[-1]


def _denies_otherwise(claim: str, sentence: str) -> bool:
    """Whether claim and sentence deny different things, as far as both speak of them."""
    claimed, said = _behind(DENIAL, claim), _behind(DENIAL, sentence)
    return bool(claimed - said) or any(word in content(claim) for word in said - claimed)


def _surer(claim: str, sentence: str) -> bool:
    """Whether the sentence only says that something may be so, or that somebody says it, and the claim that it is."""
    claimed, said = _behind(_UNSURE, claim), _behind(_UNSURE, sentence)
    return bool(said and not claimed) or any(word in content(claim) for word in said - claimed)


def _behind(sign: re.Pattern[str], text: str) -> set[str]:
    """The content word behind each sign of that kind."""
    return {next(iter(content(text[found.end() :])), "") for found in sign.finditer(text)}
