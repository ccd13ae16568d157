"""Whether documents contradict each other about what a question asks for, so that no answer takes a side unseen."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.answer.cite import Citer, trimmed
from appliance.evidence.question import Question, Wanted
from appliance.evidence.rank import Scored, Sentence
from appliance.types import Claim
from appliance.words import FUNCTION_WORDS, denies, stem, stems, words

# Chosen on every second one of PoisonedRAG's hundred questions and of SQuAD 2.0 dev's articles, each paragraph a
# document. On the others: where a false passage is shown although a true one is stored, 72 % are told as a conflict; of
# the questions whose documents agree, 1.4 % are.
LEAST_COVERED = 0.8  # of the question's weight, by the sentence that contradicts
MARGIN = 6.0  # score that it may lie behind the best sentence

_YES_OR_NO = re.compile(
    r"\s*(?:is|are|was|were|do|does|did|can|could|may|must|has|have|had|will|would|should)\b|.*\btrue or false\b",
    re.IGNORECASE,
)
_ONE_THING = re.compile(  # "what county", "which band"; "what is …" and "what causes …" have several answers
    r"\b(?:what|which) (?!(?:is|are|was|were|do|does|did|has|have|had|can|will|would|should|causes?)\b)\w+",
    re.IGNORECASE,
)
_SAID = re.compile(r"(?:\?|\bor false|^)\W*(yes|no|true|false)\b", re.IGNORECASE)
_VOID = re.compile(r"\b(?:void|false)\b", re.IGNORECASE)
_DENIED = re.compile(
    r"\b(?:not|no longer|never|rather than|instead of|unlike|contrary to|\w+n['’]t|mistaken(?:ly)?|misidentified|"
    r"wrongly|formerly|previously|originally|no)\b[^,.;:]*",
    re.IGNORECASE,
)
_NAME = re.compile(r"\b[A-Z][\w'’]*")
_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_MONTH = re.compile(
    r"\b(?:January|February|March|April|May|June|July|August|September|October|November|December)\b", re.IGNORECASE
)
_COUNTS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_DIGITS = {word: str(number) for number, word in enumerate(_COUNTS)}


@dataclass(frozen=True, slots=True)
class Stance:
    """What a sentence says about the thing asked for: values that it states, values that it denies, yes or no."""

    states: frozenset[str]
    denies: frozenset[str]
    yes: bool


@dataclass(frozen=True, slots=True)
class Compared:
    """The claims of an answer; where documents disagree, both sides are among them."""

    claims: tuple[Claim, ...]
    conflict: bool = False


def compared(question: Question, claims: Sequence[Claim], ranked: Sequence[Scored], citer: Citer) -> Compared:
    """The claims, followed by the sentence of another document that contradicts them, if there is one."""
    other = disputed(question, claims, ranked)
    if other is None:
        return Compared(tuple(claims))
    start, end = trimmed(other.hit.chunk.text, other.start, other.end, question.weights)
    citation = citer.cite(other.hit, start, end)
    if citation is None:
        return Compared(tuple(claims))
    text = " ".join(citation.quote.split())
    shown = any(text in claim.text for claim in claims)
    return Compared((*claims, *([] if shown else [Claim(text, (citation,), supported=True)])), conflict=True)


def disputed(question: Question, claims: Sequence[Claim], ranked: Sequence[Scored]) -> Sentence | None:
    """The best sentence of another document that contradicts a claim; None where the documents agree.

    `ranked`: the sentences of the passages, best first. A heuristic over names, numbers, dates and negations: it sees
    documents that give one thing two values, not ones that disagree in substance.
    """
    against = [item.sentence for item in ranked if _answers(question, item, ranked[0].score)]
    for claim in [claim for claim in claims if claim.supported]:
        own = _stance(question, claim.text)
        documents = {citation.document_id for citation in claim.citations}
        for sentence in against:
            if sentence.hit.chunk.document_id in documents:
                continue
            if _contradict(question, own, _stance(question, sentence.text)):
                return sentence
    return None


def _answers(question: Question, item: Scored, best: float) -> bool:
    if item.sentence.heading or item.score < best - MARGIN:
        return False
    return question.covered(frozenset(stems(item.sentence.text))) >= LEAST_COVERED


def _contradict(question: Question, one: Stance, other: Stance) -> bool:
    if one.states & other.denies or other.states & one.denies:
        return True
    if _YES_OR_NO.match(question.text):
        return one.yes is not other.yes
    if question.wanted is Wanted.WHY or (question.wanted is Wanted.OTHER and not _ONE_THING.search(question.text)):
        return False
    return bool(one.states and other.states) and one.states.isdisjoint(other.states)


def _stance(question: Question, text: str) -> Stance:
    denied = _values(question, " ".join(_DENIED.findall(text)))
    said = _SAID.search(text)
    yes = said[1].lower() in ("yes", "true") if said else not (denies(text) or _VOID.search(text))
    return Stance(_values(question, _DENIED.sub(" ", text)) - denied, denied, yes)


def _values(question: Question, text: str) -> frozenset[str]:
    """Keys of the things of the wanted kind that the question does not name itself."""
    match question.wanted:
        case Wanted.WHEN:
            found = _NUMBER.findall(text) + _MONTH.findall(text)
        case Wanted.AMOUNT | Wanted.VERSION:
            found = _NUMBER.findall(text) + [_DIGITS[word.lower()] for word in words(text) if word.lower() in _DIGITS]
        case Wanted.WHO | Wanted.WHERE:
            found = _NAME.findall(text)
        case _:
            found = words(text)
    return frozenset(stem(value) for value in found if value.lower() not in FUNCTION_WORDS) - question.weights.keys()
