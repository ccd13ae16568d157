"""Whether documents contradict each other about what a question asks for, so that no answer takes a side unseen."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import combinations, product

import msgspec

from appliance.answer.cite import Citer, trimmed
from appliance.answer.contradict import COSINE, MEANT, YES_OR_NO, contradicting, documents_of, without_denied
from appliance.answer.values import (
    ASKED,
    DATE,
    WORD,
    Shape,
    Value,
    abbreviated,
    asked_of,
    interchangeable,
    is_plain,
    likeness,
    numbers_in,
    shapes_of,
    values_in,
)
from appliance.evidence.question import Question
from appliance.evidence.rank import FEATURES, Scored, Sentence
from appliance.types import Citation, Claim
from appliance.words import stems

# All figures here are chosen on every second one of PoisonedRAG's hundred questions and of SQuAD 2.0 dev's articles,
# each paragraph a document; `bench hostile` and `bench answers` report on all, and on the others. Cosines are those of
# the embedder that comes with the appliance, as are the weights of `evidence/rank.py`.
SPOKEN_TO = 0.5  # of the question, by a sentence that gives a value
LEAST_MEANT = 0.5  # cosine of question and sentence, of such a one
BEHIND = 0.35  # share of the question that it may cover less than the best
AROUND = 0.5  # worth of a word of the question that only the rest of the passage has
# A conflict is told from TOLD on: the likeness of the values' places, what both sentences cover beyond MIDDLING (times
# COVERING), their cosine beyond MEANT (times MEANING), and for the documents beyond the first that give one of the
# values. PLAIN: of two sentences of at most BRIEF characters that say little else; DATED: of two dates of more than
# a month or a year.
TOLD, COVERING, MIDDLING, MEANING = 2.5, 4.0, 0.6, 15.0
PLAIN, BRIEF, DATED = 2.6, 80, 1.5
AGREEING = (0.0, 0.5, 1.5, 2.5)
AGREED = 1  # documents beyond the first, so that a value may be an ordinary word

_COVERAGE = tuple(FEATURES.index(name) for name in ("words", "words_before", "words_around"))


class Given(msgspec.Struct, frozen=True, eq=False):
    """A value that a sentence gives, and the share of the question that the sentence speaks to."""

    value: Value
    sentence: Sentence
    covered: float
    meant: float  # cosine of question and sentence
    plain: bool  # it says hardly anything else


@dataclass(frozen=True, slots=True)
class Compared:
    """The claims of an answer; where documents disagree, both sides are among them."""

    claims: tuple[Claim, ...]
    conflict: bool = False


def compared(question: Question, claims: Sequence[Claim], ranked: Sequence[Scored], citer: Citer) -> Compared:
    """The claims, followed by the sentences that contradict them or each other, if there are any."""
    shown, sides = list(claims), disputed(question, claims, ranked)
    for sentence in sides:
        start, end = trimmed(sentence.hit.chunk.text, sentence.start, sentence.end, question.weights)
        citation = citer.cite(sentence.hit, start, end)
        if citation is None:
            return Compared(tuple(claims))
        if not any(_holds(claim, citation) for claim in shown):
            shown.append(Claim(" ".join(citation.quote.split()), (citation,), supported=True))
    return Compared(tuple(shown), conflict=bool(sides))


def _holds(claim: Claim, place: Citation) -> bool:
    return any(
        other.document_id == place.document_id and other.start <= place.start and place.end <= other.end
        for other in claim.citations
    )


def disputed(question: Question, claims: Sequence[Claim], ranked: Sequence[Scored]) -> tuple[Sentence, ...]:
    """The sentences in which documents disagree: one that contradicts a claim, or two that give different values.

    None where they agree. `ranked`: the sentences of the passages, best first. A heuristic over names, numbers, dates
    and negations: it sees documents that give one thing two values, not ones that disagree in substance.
    """
    if len({item.sentence.document for item in ranked}) < 2:
        return ()
    supported = [claim for claim in claims if claim.supported]
    against = contradicting(question, supported, ranked)
    return (against,) if against is not None else _differing(question, supported, ranked)


def _differing(question: Question, claims: Sequence[Claim], ranked: Sequence[Scored]) -> tuple[Sentence, ...]:
    """The sentences of two documents with different values in the likest places; a claim's document has one of them."""
    cited = documents_of(claims)
    near = [item for item in ranked if item.features[COSINE] >= LEAST_MEANT and not item.sentence.heading]
    if not _between(near, cited) or YES_OR_NO.match(question.text) or not (shapes := shapes_of(question)):
        return ()
    asked = asked_of(question)
    given = _given(question, near, asked, shapes, cited)
    documents: dict[int, list[Given]] = {}
    for item in given:
        if item.plain or item.value.shape is not WORD or not asked.isdisjoint(item.value.beside):
            documents.setdefault(item.sentence.document, []).append(item)
    cited &= documents.keys()
    if not cited or len(documents) < 2:
        return ()
    stated = cache(lambda document: _stated(document, ranked))
    holders = Counter(key for _, key in {(item.sentence.document, key) for item in given for key in item.value.keys})
    agreeing = {id(item): max(holders[key] for key in item.value.keys) - 1 for item in given}
    best, sides = TOLD, tuple[Sentence, ...]()
    for mine, theirs in combinations(documents.values(), 2):
        for one, other in product(mine, theirs):
            if one.value.shape is other.value.shape:
                score = _opposed(one, other, asked, max(agreeing[id(one)], agreeing[id(other)]))
                if score > best and _apart(one, other, cited, stated):
                    best, sides = score, (one.sentence, other.sentence)
    return sides


def _opposed(one: Given, other: Given, asked: frozenset[str], agreeing: int) -> float:
    """How surely two values are given for the same thing; see TOLD. `agreeing`: documents beyond the first."""
    if one.plain and other.plain and interchangeable(one.value, other.value):
        return PLAIN
    if one.value.shape is WORD and agreeing < AGREED:
        return 0.0
    alike = likeness(one.value, other.value, asked)
    if one.value.shape is WORD and alike < ASKED:
        return 0.0
    dated = one.value.shape is DATE and len(one.value.keys) > 1 < len(other.value.keys)
    return (
        alike
        + DATED * dated
        + MEANING * (min(one.meant, other.meant) - MEANT)
        + COVERING * (min(one.covered, other.covered) - MIDDLING)
        + AGREEING[min(agreeing, len(AGREEING) - 1)]
    )


def _apart(one: Given, other: Given, cited: Collection[int], stated: Callable[[int], frozenset[str]]) -> bool:
    """Whether neither's document states the other's value, and one of the values is in what is cited."""
    mine, its = one.value.keys, other.value.keys
    if one.value.shape is DATE or (one.plain and other.plain):  # another day of a month, "North Hall"
        mine, its = mine - its, its - mine
        if not mine or not its:
            return False
    if not mine.isdisjoint(stated(other.sentence.document)) or not its.isdisjoint(stated(one.sentence.document)):
        return False
    return any(mine <= stated(document) or its <= stated(document) for document in cited)


def _between(some: Sequence[Scored], cited: Collection[int]) -> bool:
    """Whether they are of two documents or more, one of which is cited."""
    places = {item.sentence.document for item in some}
    return len(places) > 1 and not places.isdisjoint(cited)


def _given(
    question: Question,
    near: Sequence[Scored],
    asked: frozenset[str],
    shapes: frozenset[Shape],
    cited: Collection[int],
) -> list[Given]:
    """The values of those near sentences that speak to the question, at least nearly as much as the best of them."""
    chunks = {item.sentence.hit.chunk.id: item.sentence.hit.chunk for item in near}
    short = {number: abbreviated(question, chunk.text) for number, chunk in chunks.items()}
    words = [(word, f" {word} ") for word in asked.union(question.weights)]
    covered = [_covered(question, item, words, short[item.sentence.hit.chunk.id], asked) for item in near]
    least = max(SPOKEN_TO, max(covered) - BEHIND)
    spoken = [(item, share) for item, share in zip(near, covered, strict=True) if share >= least or _brief(item)]
    if not _between([item for item, _ in spoken], cited):
        return []
    return [
        Given(value, item.sentence, share, item.features[COSINE], plain)
        for item, share in spoken
        for value in values_in(without_denied(item.sentence.text, " , "), question, _shapes(shapes, item, asked))
        if (plain := _brief(item) and is_plain(value, item.sentence.text, question, asked)) or share >= least
    ]


def _shapes(shapes: frozenset[Shape], item: Scored, asked: frozenset[str]) -> frozenset[Shape]:
    """Those that count in a sentence: ordinary words only beside the thing asked for, or where it says little else."""
    if _brief(item) or not asked.isdisjoint(item.sentence.line.split()):
        return shapes
    return shapes - {WORD}


def _brief(item: Scored) -> bool:
    return item.sentence.end - item.sentence.start <= BRIEF


def _covered(
    question: Question, item: Scored, known: Sequence[tuple[str, str]], short: frozenset[str], asked: frozenset[str]
) -> float:
    """The share (0..1) of the question that a sentence speaks to: by weight, with the sentence and the heading before
    it and some of the passage; or by the number of words, since a name that is seldom written out weighs most of all.

    `known`: the words of the question and of what is asked, alone and between blanks; `short`: those of the question
    that the passage writes out.
    """
    position = item.sentence.position
    lines = "".join(item.sentence.passage.lines[max(0, position - 1) : position + 1])
    near = {word for word, spaced in known if spaced in lines}
    meant = short if asked.isdisjoint(near) else short | asked  # "how old" is asked, and an age is said
    words, words_before, words_around = [item.features[place] for place in _COVERAGE]
    spelt = question.covered(meant - near)
    by_weight = words + words_before + spelt + AROUND * max(0.0, words_around - spelt)
    return min(1.0, max(by_weight, len(question.weights.keys() & (near | meant)) / len(question.weights)))


def _stated(document: int, ranked: Sequence[Scored]) -> frozenset[str]:
    """Keys of all that a document says in what was ranked of it, without what it denies."""
    found: set[str] = set()
    for item in ranked:
        if item.sentence.document == document:
            text = without_denied(item.sentence.text)
            found.update(stems(text), numbers_in(text))
    return frozenset(found)
