"""Scores every sentence of the best passages as an answer to the question, from what was stored at ingestion."""

from collections.abc import Iterable, Sequence
from itertools import count, repeat
from operator import attrgetter

import msgspec
import numpy as np
from msgspec.structs import replace
from numpy.typing import NDArray

from appliance.evidence import matching
from appliance.evidence.passages import ReadPassage, read_passage
from appliance.evidence.question import Question, Wanted, offers
from appliance.store import Store
from appliance.types import Context, Hit, Piece, Vector

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
_WANTED = frozenset(wanted for wanted in Wanted if wanted in WEIGHTS)


class Sentence(msgspec.Struct, frozen=True, eq=False):
    """A sentence of a passage: `hit.chunk.text[start:end]`, the `position`-th of its chunk; `vector` as stored, `line`
    its stems (see `words.stem_line`).
    """

    hit: Hit
    position: int
    start: int
    end: int
    vector: Vector
    heading: bool
    line: str
    passage: ReadPassage

    @property
    def document(self) -> int:
        return self.hit.chunk.document_id

    @property
    def text(self) -> str:
        return self.hit.chunk.text[self.start : self.end]


class Scored(msgspec.Struct, frozen=True, eq=False):
    """A sentence with its features (in the order of FEATURES) and its score, a log-odds scale."""

    sentence: Sentence
    features: Sequence[float]
    score: float


def sentences_of(
    hits: Sequence[Hit], store: Store, embedder: str | None = None, *, most: int = MOST_SENTENCES
) -> list[Sentence]:
    """All sentences of the hits' chunks, in the order of the hits; the first `most`.

    Their vectors are those of `embedder` (a fingerprint), by default of the one that serves. Raises StorageError.
    """
    if not hits:
        return []
    stored = store.documents.sentences(hits[0].chunk.collection, [hit.chunk.id for hit in hits], embedder)
    found: list[Sentence] = []
    for hit in hits:
        if (kept := stored.get(hit.chunk.id)) is None:
            continue
        passage = read_passage(hit.chunk, kept.spans)
        starts, ends = kept.spans.T.tolist()
        own = (count(), starts, ends, kept.vectors, passage.headings, passage.lines)
        found += map(Sentence, repeat(hit), *own, repeat(passage))
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
    rows = _features(question, vector, found)
    scores = (rows @ _VALUES).tolist()
    return best_first(map(Scored, found, rows.tolist(), scores))


def best_first(scored: Iterable[Scored]) -> list[Scored]:
    """By their scores; headings behind all others."""
    ordered = sorted(scored, key=attrgetter("score"), reverse=True)
    ordered.sort(key=attrgetter("sentence.heading"))
    return ordered


def _features(question: Question, vector: Vector, found: Sequence[Sentence]) -> NDArray[np.float64]:
    """(n, features) in the order of FEATURES."""
    numbers: dict[int, int] = {}  # chunk -> the number of the passage
    lines = [
        (item.line, numbers.setdefault(item.hit.chunk.id, len(numbers)), item.position, item.heading) for item in found
    ]
    passages = list({item.hit.chunk.id: item.passage for item in found}.values())
    above, about = [passage.above for passage in passages], [passage.about for passage in passages]
    rows = np.zeros((len(found), len(FEATURES)))
    rows[:, 0] = np.concatenate([item.vector for item in found]).reshape(len(found), -1) @ vector
    rows[:, 1:5] = matching.coverage(dict(question.weights), question.pairs, lines, above, about)
    rows[:, 5] = [min(1.0, item.hit.score) for item in found]
    if question.wanted in _WANTED:
        rows[:, FEATURES.index(question.wanted)] = [offers(item.text, question) for item in found]
    return rows
