"""Holds a generated sentence against the passages: it stands on one of their sentences, or it is not shown."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from appliance.answer.cite import Citer, trimmed
from appliance.evidence.rank import Sentence
from appliance.types import Claim, Embedder
from appliance.words import FUNCTION_WORDS, denies, stem, words

# Shares of the claim's content words, each occurrence counted. Small models put the question's words around whatever
# they have read, so words of the question count only where the passage has them too.
MOST_NEW = 0.1  # in neither the sentence it stands on, nor beside it, nor in its title and section
LEAST_OWN = 0.5  # in that sentence itself
LEAST_ORDER = 0.5  # of those, in the sentence's order: "A beat B" does not hold up "B beat A", but "B was beaten by A"
LEAST_COSINE = 0.5  # of the claim (or of question and claim together) with that sentence
TRIED = 4  # best sentences that are looked at for one claim
LONGEST_CLAIM = 1000  # characters
LEAST_WORDS = 4  # of a claim without a full stop; "Margaret Sloane." and "In 1905" answer, "Roles of keys" does not

_NUMBER = re.compile(r"\d+(?:[.,:/]\d+)*")
_NAME = re.compile(r"\b[A-Z][\w'-]*\b")
_QUOTED = re.compile(r"[\"“]([^\"“”]{2,})[\"”]")
_ADDRESS = re.compile(r"[\w.+-]+@[\w-]+\.\w+|\w+://\S*\w|[\w-]+(?:\.[\w-]+)*\.[a-z]{2,}(?:/\S*\w)?")
_REFERENCE = re.compile(r"\s*\[\d+\]")  # "[2]": a passage number the model copied; our own citation takes its place
_ENDED = re.compile(r"[.!?…。！？｡।؟۔][\"'”’»)\]]*$")
_DIGIT = re.compile(r"\d")
_HEDGE = re.compile(r"\b(?:may|might|could|possibly|perhaps|probably|allegedly|reportedly)\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Support:
    """What claims are checked against: the sentences of the prompt's passages, in order, and their words."""

    question: str
    sentences: Sequence[Sentence]
    own: Sequence[Sequence[str]]  # the content words of each sentence, as stems
    around: Sequence[frozenset[str]]  # those of its neighbours in the same passage, of its title and section
    vectors: NDArray[np.float32]  # (n, dimensions)

    @classmethod
    def of(cls, question: str, sentences: Sequence[Sentence]) -> "Support":
        own = [_content(item.text) for item in sentences]
        around = [
            frozenset(_content(f"{item.hit.chunk.title} {item.hit.chunk.section}")).union(
                *(own[near] for near in _neighbours(sentences, index))
            )
            for index, item in enumerate(sentences)
        ]
        vectors = np.stack([item.vector for item in sentences]) if sentences else np.zeros((0, 0), dtype=np.float32)
        return cls(question, sentences, own, around, vectors)


def check(claim: str, support: Support, embedder: Embedder, citer: Citer) -> Claim | None:
    """The claim with the exact span of the sentence that holds it up; None when nothing does.

    Its numbers, quotations and addresses must stand in that sentence, its names in the passage, nearly all of its
    content words in the sentence or beside it and in no other order, its meaning must be near the sentence's, it must
    not deny what the sentence says nor say for certain what that leaves open, and it must not be a mere heading.
    """
    text = _REFERENCE.sub("", claim).strip()
    content = _content(text)
    if not content or len(text) > LONGEST_CLAIM or _is_heading(text, support):
        return None
    cosines = _cosines(text, support, embedder)
    shared = np.array([(Counter(content) & Counter(own)).total() / len(content) for own in support.own])
    for index in map(int, np.argsort(-(cosines + shared), kind="stable")[:TRIED]):
        sentence = support.sentences[index]
        if cosines[index] < LEAST_COSINE or not _words_stand(content, support.own[index], support.around[index]):
            continue
        if not _facts_stand(text, sentence) or _denies(text, support, index) or _overstates(text, sentence):
            continue
        start, end = trimmed(sentence.hit.chunk.text, sentence.start, sentence.end, dict.fromkeys(content, 1.0))
        citation = citer.cite(sentence.hit, start, end)
        if citation is not None:
            return Claim(text, (citation,), supported=True)
    return None


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


def _content(text: str) -> list[str]:
    return [stem(word) for word in words(text) if word.lower() not in FUNCTION_WORDS]


def _words_stand(content: Sequence[str], own: Sequence[str], around: frozenset[str]) -> bool:
    """Whether the sentence says what the claim says, as far as words and their order tell."""
    matched = Counter(content) & Counter(own)
    new = [word for word in (Counter(content) - matched).elements() if word not in around or word in matched]
    if len(new) > MOST_NEW * len(content) or matched.total() < LEAST_OWN * len(content):
        return False
    mine, theirs = ([word for word in text if word in matched] for text in (content, own))
    return _common_order(mine, theirs) >= LEAST_ORDER * matched.total()


def _common_order(one: Sequence[str], other: Sequence[str]) -> int:
    """Length of the longest common subsequence."""
    row = [0] * (len(other) + 1)
    for word in one:
        before = 0
        for at, mate in enumerate(other, start=1):
            before, row[at] = row[at], before + 1 if word == mate else max(row[at], row[at - 1])
    return row[-1]


def _overstates(text: str, sentence: Sentence) -> bool:
    """Whether the sentence only says that something may be so, and the claim that it is."""
    return _HEDGE.search(sentence.text) is not None and _HEDGE.search(text) is None


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


def _denies(text: str, support: Support, index: int) -> bool:
    """Whether one of claim and sentence has a negation and the other has none."""
    near = " ".join(support.sentences[at].text for at in _neighbours(support.sentences, index))
    own = support.sentences[index].text
    if denies(text):
        return not denies(near)
    return denies(own) and not denies(text)
