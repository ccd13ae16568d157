"""Scores every sentence of the best passages as an answer to the question, from what was stored at ingestion."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from appliance.evidence.question import Question, Wanted, offers
from appliance.store import Store
from appliance.types import Context, Hit, Piece, Vector
from appliance.words import place, stems

PASSAGES = 5  # hits whose sentences are looked at
MOST_SENTENCES = 400  # in all; a passage has some ten

# Softmax regression (the right sentence among all that were looked at) on the answerable questions of the articles with
# an odd number in SQuAD 2.0 dev, right paragraph given and retrieved; every article one document. Reported on the
# others by `bench answers`. The reasons' own weight (1.9) is halved: the other half of the articles would give it none.
# Their sentences stand under no headings: those have the weight of the sentence before.
WEIGHTS = {
    "cosine": 10.5,  # of question and sentence vector
    "words": 8.8,  # share of the question's weighted words in the sentence
    "words_before": 5.6,  # of those left, in the sentence before and in the heading it stands under
    "words_around": 2.8,  # of those left, in the passage, its section and title
    "pairs": 1.7,  # share of the question's adjacent words that are adjacent in the sentence
    "passage": 0.8,  # fused score of the passage
    Wanted.WHO: 1.6,
    Wanted.WHEN: 2.1,
    Wanted.AMOUNT: 2.1,
    Wanted.WHERE: 1.4,
    Wanted.VERSION: 1.4,
    Wanted.WHY: 1.0,
}
FEATURES = tuple(WEIGHTS)
_VALUES = np.array(list(WEIGHTS.values()))
_WANTED = tuple(wanted for wanted in Wanted if wanted in WEIGHTS)

_FULL_STOP = re.compile(r"[.!?:;…。！？｡।؟۔][\"'”’»)\]]*$")
_LIST_MARK = re.compile(r"\s*(?:[-*•‣▪◦–]|\(?\w{1,3}[.)])\s")
_RULE = re.compile(r"\n\s*([=\-~^*_+#])\1{2,}[^\S\n]*(?=\n|$)|^([=\-~^*_+#])\2{2,}$")  # a line of marks under a heading
_RELEASE = re.compile(  # "Fixes since v1.8.0", "2.1 - 2020-01-01", "sed (4.9-1) unstable; urgency=medium"
    r"\S+ \(\S+\) [\w .-]+; urgency=\w+|v?\d+(?:\.\d+)+(?:\W+\d{4}-\d\d-\d\d)?\W*|"
    r"(?:\w+ )?(?:changes|fixes|updates|bugfixes|news|release|version)\b[^.]*\d[\w.]*\W*",
    re.IGNORECASE,
)
HEADING_WORDS = 10


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence of a passage: `hit.chunk.text[start:end]`, the `position`-th of its chunk; `vector` as stored."""

    hit: Hit
    position: int
    start: int
    end: int
    vector: Vector
    heading: bool

    @property
    def text(self) -> str:
        return self.hit.chunk.text[self.start : self.end]


@dataclass(frozen=True, slots=True)
class Scored:
    """A sentence with its features (in the order of FEATURES) and its score, a log-odds scale."""

    sentence: Sentence
    features: NDArray[np.float64]
    score: float


def sentences_of(
    hits: Sequence[Hit], store: Store, embedder: str | None = None, *, most: int = MOST_SENTENCES
) -> list[Sentence]:
    """All sentences of the hits' chunks, in the order of the hits; the first `most`.

    Their vectors are those of `embedder` (a fingerprint), by default of the one that serves. Raises StorageError.
    """
    stored = store.documents.sentences([hit.chunk.id for hit in hits], embedder)
    found: list[Sentence] = []
    for hit in hits:
        if (kept := stored.get(hit.chunk.id)) is None:
            continue
        for position, (start, end) in enumerate(kept.spans.tolist()):
            heading = is_heading(hit, start, end)
            found.append(Sentence(hit, position, start, end, kept.vectors[position], heading))
    return found[:most]


def sentences_in(context: Context, store: Store, embedder: str | None = None) -> list[Sentence]:
    """The sentences of a context's passages, passage by passage, with those that compression left out.

    A chunk that a passage grew into counts as a hit with the score of the passage's best (see `sentences_of`). Raises
    StorageError.
    """
    hits: list[Hit] = []
    for passage in context.passages:
        own = {hit.chunk.id: hit for hit in passage.hits}
        hits += [own.get(chunk.id) or replace(passage.hits[0], chunk=chunk) for chunk in passage.chunks]
    return sentences_of(hits, store, embedder)


def kept(sentences: Sequence[Sentence], context: Context) -> list[Sentence]:
    """Those that begin in a piece of the context."""
    pieces: dict[int, tuple[Piece, ...]] = {}  # by chunk: no two passages share one
    for passage in context.passages:
        pieces |= dict.fromkeys([chunk.id for chunk in passage.chunks], passage.pieces)
    places = ((item, item.hit.chunk.start + item.start) for item in sentences)
    return [item for item, at in places if any(one.start <= at < one.end for one in pieces[item.hit.chunk.id])]


def rank_sentences(question: Question, vector: Vector, found: Sequence[Sentence]) -> list[Scored]:
    """Every sentence scored, best first; headings behind all others."""
    if not found:
        return []
    rows = np.array(_features(question, vector, found))
    scores = rows @ _VALUES
    scored = [Scored(item, row, float(score)) for item, row, score in zip(found, rows, scores, strict=True)]
    return sorted(scored, key=lambda item: (item.sentence.heading, -item.score))


def is_heading(hit: Hit, start: int, end: int) -> bool:
    """A span that is a title, a heading or a rule under one: short, no end mark, no list mark, alone on its line."""
    text, rest = hit.chunk.text[start:end].strip(), hit.chunk.text[end:]
    plain = _RULE.sub("", text).strip()
    if not plain or plain.lstrip("# ") in (hit.chunk.title, *hit.chunk.section.split(" > ")) or text.startswith("#"):
        return True
    if len(plain.split()) > HEADING_WORDS or "\n" in plain or (rest and not rest.startswith("\n")):
        return False
    if plain != text or _RULE.match(rest) or _RELEASE.fullmatch(plain):
        return True
    marked = _FULL_STOP.search(plain) or _LIST_MARK.match(plain) or ":" in plain or "|" in plain
    return bool(rest) and not marked and not any(map(str.isdigit, plain))


def _features(question: Question, vector: Vector, found: Sequence[Sentence]) -> list[list[float]]:
    cosines = np.stack([item.vector for item in found]) @ vector
    keys = [stems(item.text) for item in found]
    own = frozenset(question.weights)
    sets = [own.intersection(row) for row in keys]  # other stems count for nothing
    around = _around(found, sets)
    headings = _headings(found, sets)
    covered = cache(question.covered)  # few sets differ
    asked = [float(question.wanted is wanted) for wanted in _WANTED]
    unasked, most_pairs = [0.0] * len(_WANTED), max(1, len(question.pairs))
    rows = []
    for index, item in enumerate(found):
        here = sets[index]
        before = headings[index] | (sets[index - 1] if item.position and index else frozenset())
        words = covered(here)
        with_before = covered(own & (here | before))
        rows.append(
            [
                float(cosines[index]),
                words,
                with_before - words,
                covered(own & (here | before | around[item.hit.chunk.id])) - with_before,
                len(question.pairs.intersection(pairwise(keys[index]))) / most_pairs,
                min(1.0, item.hit.score),
                *(asked if offers(item.text, question) else unasked),
            ]
        )
    return rows


def _headings(found: Sequence[Sentence], sets: Sequence[frozenset[str]]) -> list[frozenset[str]]:
    """The stems of the nearest heading above each sentence in its chunk, else of the chunk's section."""
    rows: list[frozenset[str]] = []
    chunk, stemmed = 0, frozenset[str]()
    for item, here in zip(found, sets, strict=True):
        if item.hit.chunk.id != chunk:
            chunk, stemmed = item.hit.chunk.id, frozenset(stems(item.hit.chunk.section.rpartition(" > ")[2]))
        rows.append(frozenset() if item.heading else stemmed)
        if item.heading:
            stemmed = here
    return rows


def _around(found: Sequence[Sentence], sets: Sequence[frozenset[str]]) -> dict[int, frozenset[str]]:
    """Chunk id -> stems of the chunk, its section, its title and its place."""
    gathered: dict[int, set[str]] = {}
    for item, here in zip(found, sets, strict=True):
        chunk = item.hit.chunk
        if chunk.id not in gathered:
            gathered[chunk.id] = set(stems(f"{chunk.title} {chunk.section} {place(chunk.source)}"))
        gathered[chunk.id] |= here
    return {number: frozenset(stemmed) for number, stemmed in gathered.items()}
