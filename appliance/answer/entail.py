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
from itertools import pairwise

from appliance.words import DENIAL, FUNCTION_WORDS, stem, stems, words

# Function words that carry meaning here.
_TELLING_WORDS = "any can could from may might more most must no nor not should some than to will with would"
_TELLING = frozenset(_TELLING_WORDS.split())
_PREPOSITION_WORDS = """
    after against as at before between by during for from in into near of on over since through to under until with
"""
_PREPOSITIONS = frozenset(map(stem, _PREPOSITION_WORDS.split()))
_PRONOUN_WORDS = "he she it they his her its their him them"  # a name may stand in their place
_PRONOUNS = frozenset(map(stem, _PRONOUN_WORDS.split()))
_LINKING_WORDS = "a an and or the this that these those there"  # they may stand where the sentence says more
_LINKS = _PREPOSITIONS | _PRONOUNS | frozenset(map(stem, _LINKING_WORDS.split()))
_BE = frozenset(("is", "are", "was", "were", "be", "been", "being"))
_YES_NO = re.compile(r"^\W*(?:yes|no)\b\W+", re.IGNORECASE)
_UNSURE = re.compile(
    r"\b(?:may|might|could|possibly|perhaps|probably|allegedly|reportedly|supposedly|(?:un)?likely|if|unless|"
    r"as long as|believe[sd]?|thought|claim(?:s|ed)?|argue[sd]?|suggest(?:s|ed)?|propose[sd]?|allege[sd]?|"
    r"estimate[sd]?|expect(?:s|ed)?)\b",
    re.IGNORECASE,
)
_PARTLY = re.compile(
    r"\b(?:some|sometimes|most|few|almost|nearly|rarely|seldom|often|usually|seems?|appears?|said)\b", re.IGNORECASE
)


def entails(sentence: str, claim: str, around: frozenset[str]) -> bool:
    """Whether the sentence says what the claim says. `around`: stems that it leaves to its surroundings."""
    claim = _YES_NO.sub("", claim)
    if _denies_otherwise(claim, sentence) or _surer(claim, sentence):
        return False
    mine, theirs = stems(claim), stems(sentence)
    if _turned(mine, theirs) or _turned(theirs, mine):
        return not Counter(filter(_bears, mine)) - Counter(theirs)
    steps = SequenceMatcher(None, theirs, mine, autojunk=False).get_opcodes()
    return all(
        step == "equal" or _may_stand(mine[begin:end], theirs[first:last], theirs, around)
        for step, first, last, begin, end in steps
    )


def content(text: str) -> list[str]:
    """The stems of the words that carry a topic."""
    return [stem(word) for word in words(text) if word.lower() not in FUNCTION_WORDS]


def _bears(key: str) -> bool:
    return key not in FUNCTION_WORDS or key in _TELLING


def _may_stand(put: Sequence[str], instead_of: Sequence[str], sentence: Sequence[str], around: frozenset[str]) -> bool:
    """Whether `put` may stand in the claim where the sentence has `instead_of`."""
    if "by" in put or instead_of[-1:] == ["by"]:  # whoever stands behind it would get another part
        return _moved(put, sentence)
    told, lost = set(filter(_bears, put)), any(map(_bears, instead_of))
    if not told:
        return not lost or _LINKS.issuperset(put)
    if _moved(put, sentence):
        return True
    return not lost and told <= around and not _PRONOUNS.isdisjoint(instead_of)


def _moved(phrase: Sequence[str], sentence: Sequence[str]) -> bool:
    """Whether the sentence has this very phrase elsewhere: one that a preposition begins, so that its part is told."""
    if not phrase or phrase[0] not in _PREPOSITIONS:
        return False
    size = len(phrase)
    return any(list(sentence[at : at + size]) == list(phrase) for at in range(len(sentence) - size + 1))


def _turned(passive: Sequence[str], active: Sequence[str]) -> bool:
    """Whether one turns the other round ("B was beaten by A", "A beat B"): of what stands behind "by" in the first
    something comes before the verb in the second, and nothing of what comes before the verb in the first.
    """
    if "by" not in passive or "by" in active:
        return False
    by = passive.index("by")
    verb = next((key for before, key in pairwise(passive[:by]) if before in _BE and key in active), None)
    if verb is None:
        return False
    before = set(filter(_bears, active[: active.index(verb)]))
    return not before.isdisjoint(passive[by:]) and before.isdisjoint(passive[: passive.index(verb)])


def _denies_otherwise(claim: str, sentence: str) -> bool:
    """Whether claim and sentence deny different things, as far as both speak of them."""
    return bool(_behind(DENIAL, claim) - _behind(DENIAL, sentence)) or _loses(DENIAL, claim, sentence)


def _surer(claim: str, sentence: str) -> bool:
    """Whether the sentence only says that something may be so, or that somebody says it, and the claim that it is."""
    if _UNSURE.search(sentence) and not _UNSURE.search(claim):
        return True
    return _loses(_UNSURE, claim, sentence) or _loses(_PARTLY, claim, sentence)


def _loses(sign: re.Pattern[str], claim: str, sentence: str) -> bool:
    """Whether the claim has a word without the sign of that kind that the sentence has before it."""
    kept, here = _behind(sign, claim), Counter(content(claim))
    return any(here[key] > kept[key] for key in _behind(sign, sentence) - kept)


def _behind(sign: re.Pattern[str], text: str) -> Counter[str]:
    """The content word behind each sign of that kind."""
    return Counter(next(iter(content(text[found.end() :])), "") for found in sign.finditer(text))
