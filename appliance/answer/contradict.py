"""Whether a sentence contradicts a claim: one denies what the other states, or they say yes and no to one question."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.answer.values import PROPER, Shape, choice_of, shapes_of, values_in
from appliance.evidence.question import Question
from appliance.evidence.rank import FEATURES, Scored, Sentence
from appliance.types import Claim
from appliance.words import denies, stems

# Chosen with the figures in conflict.py.
LEAST_COVERED = 0.8  # of the question's weight, by a sentence that alone contradicts a claim
MARGIN = 6.0  # score that it may lie behind the best sentence
MEANT = 0.6  # cosine of question and sentence, of one that speaks of what is asked

YES_OR_NO = re.compile(
    r"\s*(?:is|are|was|were|do|does|did|can|could|may|must|has|have|had|will|would|should)\b|.*\btrue or false\b",
    re.IGNORECASE,
)
_SAID = re.compile(r"(?:\?|\bor false|^)\W*(yes|no|true|false)\b", re.IGNORECASE)
_VOID = re.compile(r"\b(?:void|false)\b", re.IGNORECASE)
_DENYING = (
    "not?|never|rather than|instead of|unlike|contrary to|mistaken(?:ly)?|misidentified|wrongly|formerly|previously|"
    "originally"
)
_DENIED = re.compile(rf"\b(?:{_DENYING}|\w+n['’]t)\b[^,.;:]*", re.IGNORECASE)
# Of a text without an apostrophe: a look at the first letter settles most words.
_PLAINLY_DENIED = re.compile(rf"\b(?=[cfimnopruw])(?:{_DENYING})\b[^,.;:]*", re.IGNORECASE)
COSINE = FEATURES.index("cosine")


@dataclass(frozen=True, slots=True)
class Stance:
    """What a sentence says about the thing asked for: words that it states, words that it denies, yes or no."""

    states: frozenset[str]
    denies: frozenset[str]
    yes: bool
    chosen: frozenset[str]  # of what the question lets choose from: "is it blue or green?"


def contradicting(question: Question, claims: Sequence[Claim], ranked: Sequence[Scored]) -> Sentence | None:
    """The best sentence of another document that contradicts a claim."""
    against = _against(question, claims, ranked)
    if not against:
        return None
    shapes, choice = shapes_of(question), choice_of(question)
    # Where neither text denies something, only yes and no, or proper values, tell them apart.
    told = bool(YES_OR_NO.match(question.text)) or (bool(shapes) and shapes <= PROPER)
    for claim in claims:
        documents, loud = documents_of((claim,)), told or _denies(claim.text)
        others = [one for one in against if one.document not in documents and (loud or _denies(one.text))]
        if not others:
            continue
        own = _stance(question, claim.text, choice, shapes)
        for sentence in others:
            if _contradict(question, own, _stance(question, sentence.text, choice, shapes), shapes):
                return sentence
    return None


def _against(question: Question, claims: Sequence[Claim], ranked: Sequence[Scored]) -> list[Sentence]:
    """The sentences that answer the question and stand in another document than one of the claims."""
    least, cited = ranked[0].score - MARGIN, [documents_of((claim,)) for claim in claims]
    near = [item.sentence for item in ranked if item.score >= least and item.features[COSINE] >= MEANT]
    near = [one for one in near if not one.heading and any(one.document not in documents for documents in cited)]
    choice = choice_of(question) if near else frozenset[str]()
    return [one for one in near if question.covered(choice.union(one.line.split())) >= LEAST_COVERED]


def _contradict(question: Question, one: Stance, other: Stance, shapes: frozenset[Shape]) -> bool:
    if one.states & other.denies or other.states & one.denies:
        return True
    if YES_OR_NO.match(question.text):
        if one.chosen or other.chosen:
            return bool(one.chosen and other.chosen) and one.chosen.isdisjoint(other.chosen)
        return one.yes is not other.yes
    return bool(shapes and one.states and other.states) and shapes <= PROPER and one.states.isdisjoint(other.states)


def _stance(question: Question, text: str, choice: frozenset[str], shapes: frozenset[Shape]) -> Stance:
    denied = _topical(question, " ".join(_pattern(text).findall(text)), shapes)
    said = _SAID.search(text)
    yes = said[1].lower() in ("yes", "true") if said else not (denies(text) or _VOID.search(text))
    said_of_it = without_denied(text)
    chosen = choice.intersection(stems(said_of_it.partition(" than ")[0])) if choice else choice
    return Stance(_topical(question, said_of_it, shapes) - denied, denied, yes, chosen)


def _topical(question: Question, text: str, shapes: frozenset[Shape]) -> frozenset[str]:
    """Keys of the things of the wanted kind that the question does not name itself."""
    return frozenset().union(*(value.keys for value in values_in(text, question, shapes or PROPER)))


def without_denied(text: str, instead: str = " ") -> str:
    """The text without what it denies."""
    return _pattern(text).sub(instead, text)


def _denies(text: str) -> bool:
    return _pattern(text).search(text) is not None


def _pattern(text: str) -> re.Pattern[str]:
    """Of what the text denies."""
    return _DENIED if "'" in text or "’" in text else _PLAINLY_DENIED


def documents_of(claims: Sequence[Claim]) -> set[int]:
    """The documents that the claims cite."""
    return {citation.document_id for claim in claims for citation in claim.citations}
