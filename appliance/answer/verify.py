"""Holds a generated sentence against the passages: it stands on one of their sentences, or it is not shown."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.answer.cite import Citer, trimmed
from appliance.answer.entail import content, entails
from appliance.evidence.rank import Sentence
from appliance.types import Claim, Embedder
from appliance.words import FUNCTION_WORDS, stem, words

LEAST_OWN = 0.5  # of the claim's content words, each occurrence counted, in the sentence that it stands on
LEAST_COSINE = 0.5  # of the claim (or of question and claim together) with that sentence
LEAST_ASKED = 2 / 3  # of the question's content words, in the sentence that holds up a short claim, or around it
SUBJECT_WORDS = 6  # of a sentence that may be its subject
TRIED = 4  # best sentences that are looked at for one claim
LONGEST_CLAIM = 1000  # characters
SHORT = 5  # words of a claim that may say nothing without its question: "Margaret Sloane.", "It was in 1905."
LEAST_WORDS = 4  # of a claim without a full stop; "Margaret Sloane." and "In 1905" answer, "Roles of keys" does not

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*(?:[ -]?(?:%|percent|hundred|thousand|million|billion|trillion))?")
_NAME = re.compile(r"\b[A-Z][\w'-]*\b")
_QUOTED = re.compile(r"[\"“]([^\"“”]{2,})[\"”]")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+|\w+://\S*\w|[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?:/\S*\w)?")
_REFERENCE = re.compile(r"\s*\[\d+\]")  # "[2]": a passage number the model copied; our own citation takes its place
_LEAD = re.compile(  # what small models put before what they say
    r"^(?:according to the passages?,? |the passages? (?:says?|states?|mentions?) that |"
    r"the (?:correct )?answer(?: to (?:the|this|your) question)? is(?: that)?:? )",
    re.IGNORECASE,
)
_ENDED = re.compile(r"[.!?…。！？｡।؟۔][\"'”’»)\]]*$")
_DIGIT = re.compile(r"\d")
_PRONOUN = re.compile(r"\b(?:he|she|it|they|his|her|its|their|him|them|this|that|these|those|such)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Support:
    """What claims are checked against: the sentences of the prompt's passages, in order, and their words."""

    question: str
    sentences: Sequence[Sentence]
    own: Sequence[Sequence[str]]  # the content words of each sentence, as stems
    around: Sequence[frozenset[str]]  # those that a claim about it may take from elsewhere (see `_around`)
    asked: frozenset[str]  # the content words of the question
    vectors: NDArray[np.float32]  # (n, dimensions)

    @classmethod
    def of(cls, question: str, sentences: Sequence[Sentence]) -> "Support":
        own = [content(item.text) for item in sentences]
        asked = frozenset(content(question))
        around = [_around(sentences, own, index, asked) for index in range(len(sentences))]
        vectors = np.stack([item.vector for item in sentences]) if sentences else np.zeros((0, 0), dtype=np.float32)
        return cls(question, sentences, own, around, asked, vectors)


def check(claim: str, support: Support, embedder: Embedder, citer: Citer) -> Claim | None:
    """The claim with the exact span of the sentence that holds it up; None when nothing does.

    Its numbers, quotations and addresses must stand in that sentence, its names in the passage, at least half of its
    content words in the sentence; where it has others its meaning must be near the sentence's, which must entail it
    word by word (see entail.py). Neither of the two may be a mere heading, and a short claim needs a sentence about the
    question.
    """
    text = _bare(claim)
    said = content(text)
    if not said or len(text) > LONGEST_CLAIM or _is_heading(text, support):
        return None
    cosines = _cosines(text, support, embedder)
    shared = np.array([(Counter(said) & Counter(own)).total() / len(said) for own in support.own])
    for index in map(int, np.argsort(-(cosines + shared), kind="stable")[:TRIED]):
        sentence = support.sentences[index]
        near = shared[index] == 1 or cosines[index] >= LEAST_COSINE
        if sentence.heading or not near or shared[index] < LEAST_OWN or not _facts_stand(text, sentence):
            continue
        if len(words(text)) <= SHORT and not _answers(said, support, index):
            continue
        if not entails(sentence.text, text, support.around[index]):
            continue
        start, end = trimmed(sentence.hit.chunk.text, sentence.start, sentence.end, dict.fromkeys(said, 1.0))
        citation = citer.cite(sentence.hit, start, end)
        if citation is not None:
            return Claim(text, (citation,), supported=True)
    return None


def _bare(claim: str) -> str:
    """Without passage numbers, and without "the answer is:" before it."""
    text = _REFERENCE.sub("", claim).strip()
    rest = _LEAD.sub("", text)
    return text if rest == text else rest[:1].upper() + rest[1:]


def _answers(said: Sequence[str], support: Support, index: int) -> bool:
    """Whether a few words may answer the question: the sentence speaks of what is asked, and they of something else."""
    spoken = support.asked & {*support.own[index], *support.around[index]}
    return len(spoken) >= LEAST_ASKED * len(support.asked) and not support.asked.issuperset(said)


def _is_heading(text: str, support: Support) -> bool:
    """Whether it is a title or a heading of the passages, a path of them, or a fragment that reads like one."""
    own = [word.lower() for word in words(text)]
    ended = _ENDED.search(text) is not None
    if len(own) < LEAST_WORDS and not ended and not _DIGIT.search(text):
        return True
    for title, section in {(item.hit.chunk.title, item.hit.chunk.section) for item in support.sentences}:
        parts = [[word.lower() for word in words(part)] for part in (title, *section.split(" > "))]
        if own in parts or (not ended and set(own) <= {word for part in parts for word in part}):
            return True
    return False


def _neighbours(sentences: Sequence[Sentence], index: int) -> list[int]:
    """The sentence and those right beside it in its passage, as far as they are among the sentences."""
    here, first = sentences[index].hit.chunk.id, sentences[index].position - index
    return [
        near
        for near in (index - 1, index, index + 1)
        if 0 <= near < len(sentences)
        and sentences[near].hit.chunk.id == here
        and sentences[near].position - near == first
    ]


def _around(
    sentences: Sequence[Sentence], own: Sequence[Sequence[str]], index: int, asked: frozenset[str]
) -> frozenset[str]:
    """What a sentence leaves to its surroundings: title and section; of the sentences beside it the words that the
    question has too (small models put the question's words around whatever they have read); and where the sentence has
    a pronoun, what stands before the verb of the sentence before it, as far as one can tell without a grammar.
    """
    chunk = sentences[index].hit.chunk
    near = _neighbours(sentences, index)
    known = set(content(f"{chunk.title} {chunk.section}"))
    known.update(word for at in near for word in own[at] if word in asked)
    if index - 1 in near and _PRONOUN.search(sentences[index].text):
        known.update(map(stem, _subject(sentences[index - 1].text)))
    return frozenset(known)


def _subject(text: str) -> list[str]:
    """The names of a sentence, and its words up to the first comma or SUBJECT_WORDS."""
    return [*words(text.partition(",")[0])[:SUBJECT_WORDS], *(part for name in _names(text) for part in words(name))]


def _cosines(text: str, support: Support, embedder: Embedder) -> NDArray[np.float32]:
    """(n,) The better of the claim alone and the claim behind its question, which a bare "In 1905." needs."""
    alone = support.vectors @ embedder.embed_query(text)
    together = support.vectors @ embedder.embed_query(f"{support.question} {text}")
    best: NDArray[np.float32] = np.maximum(alone, together)
    return best


def _facts_stand(text: str, sentence: Sentence) -> bool:
    """Numbers, quotations and addresses of the claim are in the one sentence, its names in the passage, section, title.

    Numbers from two sentences make a claim that neither of them makes, so one sentence has to have them all.
    """
    own = " ".join(sentence.text.split())
    numbers = set(_NUMBER.findall(own))
    if any(number not in numbers for number in _NUMBER.findall(text)):
        return False
    lowered = own.casefold()
    if any(" ".join(quote.split()).casefold().rstrip(".,") not in lowered for quote in _QUOTED.findall(text)):
        return False
    if any(address.casefold() not in lowered for address in _ADDRESS.findall(text)):
        return False
    chunk = sentence.hit.chunk
    known = {stem(word) for word in words(f"{chunk.title} {chunk.section} {chunk.text}")}
    return all(stem(part) in known for name in _names(text) for part in words(name))


def _names(text: str) -> list[str]:
    """Capitalised words; the first of the claim only when it is no function word."""
    return [word for word in _NAME.findall(text) if word.lower() not in FUNCTION_WORDS]
