"""Whether the documents hold an answer at all: one number from 0 to 1, and the reasons for saying no."""

import hashlib
import math
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from appliance.evidence import rank
from appliance.evidence.question import Question, read_question
from appliance.evidence.rank import FEATURES, PASSAGES, Scored, rank_sentences, sentences_of
from appliance.store import Store
from appliance.types import AbstainReason, Query, SearchResult
from appliance.words import denies, holds

# Logistic regression: half of SQuAD 2.0 dev's articles stored, its answerable questions against those of the other half
# (mean of the two ways round). At .35, 97 % of the former are answered and 95 % of the latter refused; AUC .992.
WEIGHTS = {
    "passage": 9.8,  # best cosine of question and passage
    "sentence": 9.6,  # cosine of question and the chosen sentence
    "words": 5.5,  # share of the question's weighted words in that sentence
    "words_passage": 4.4,  # and in its passage, section and title
}
BIAS = -12.0
# Of a question that denies something ("which was not …") and a sentence that does not: among SQuAD 2.0's questions of
# the articles with an odd number that is so for 10 % of the unanswerable ones, and for 1.4 % of the others.
UNDENIED = -3.0
NAMED = 0.6  # evidence at least, when everything the question names exactly stands in the best passages
UNNAMED = 0.5  # factor, when nothing of what it names exactly stands there
LETTERS = 0.4  # a sentence with a smaller share of letters is a row of figures, where words meet by chance

_ASCII_LETTERS = string.ascii_letters.encode()
_COSINE, _WORDS = FEATURES.index("cosine"), FEATURES.index("words")
_AROUND = tuple(FEATURES.index(name) for name in ("words", "words_before", "words_around"))


@dataclass(frozen=True, slots=True)
class Evidence:
    """`strength` 0..1: how likely the passages cover the question. `signals` in the order of WEIGHTS."""

    strength: float
    signals: tuple[float, ...]


def weigh(question: Question, found: SearchResult, ranked: Sequence[Scored]) -> Evidence:
    """The evidence that the hits answer the question; 0 without a sentence."""
    if not ranked:
        return Evidence(0.0, (0.0,) * len(WEIGHTS))
    best = ranked[0].features
    passage = max((hit.dense_score for hit in found.hits if hit.dense_score is not None), default=0.0)
    signals = (passage, float(best[_COSINE]), float(best[_WORDS]), float(sum(best[index] for index in _AROUND)))
    sum_ = BIAS + sum(weight * signal for weight, signal in zip(WEIGHTS.values(), signals, strict=True))
    if denies(question.text) and not denies(ranked[0].sentence.text):
        sum_ += UNDENIED
    strength = 1 / (1 + math.exp(-sum_)) * min(1.0, _letters(ranked[0].sentence.text) / LETTERS)
    return Evidence(_with_exact_terms(strength, question, ranked), signals)


def strength(query: Query, found: SearchResult, store: Store, embedder: str) -> float:
    """The strength of the evidence that `answer` would weigh; `embedder` is a fingerprint. Raises StorageError."""
    question = read_question(query, store)
    sentences = sentences_of(found.hits[:PASSAGES], store, embedder)
    return weigh(question, found, rank_sentences(question, found.query_vector, sentences)).strength


@lru_cache(maxsize=8)
def evidence_rules(embedder: str) -> str:
    """What a strength depends on, as a short text: thresholds fitted under other rules say nothing."""
    parts = (embedder, WEIGHTS, BIAS, UNDENIED, NAMED, UNNAMED, LETTERS, PASSAGES, rank.WEIGHTS)
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:32]


def why_nothing(query: Query, store: Store) -> AbstainReason:
    """Why a search without hits had none. Raises StorageError."""
    collection = store.documents.collection(query.collection)
    if collection is None or not collection.chunks:
        return AbstainReason.EMPTY_COLLECTION
    if query.filters is not None and not len(store.documents.eligible(query.collection, query.filters)):
        return AbstainReason.FILTERED_OUT
    return AbstainReason.NO_PASSAGE


def why_no_hits(query: Query, store: Store) -> str:
    """The same as a sentence for a person. Raises StorageError."""
    return notice(why_nothing(query, store), query)


def notice(reason: AbstainReason, query: Query) -> str:
    """The refusal as a sentence for a person."""
    match reason:
        case AbstainReason.EMPTY_COLLECTION:
            return f"Collection {query.collection!r} holds no documents yet."
        case AbstainReason.FILTERED_OUT:
            return "No document passes the filter."
        case AbstainReason.NO_PASSAGE:
            return "No passage has anything to do with this question."
    return "The documents do not seem to hold the answer; the nearest passages are listed."


def _letters(text: str) -> float:
    """The share of letters in what is not white space."""
    visible = "".join(text.split())
    if visible.isascii():
        letters = len(visible) - len(visible.encode().translate(None, _ASCII_LETTERS))
    else:
        letters = sum(map(str.isalpha, visible))
    return letters / max(1, len(visible))


def _with_exact_terms(strength: float, question: Question, ranked: Sequence[Scored]) -> float:
    """An identifier found to the letter is evidence by itself; one that is nowhere is a reason for doubt."""
    if not question.exact:
        return strength
    chunks = {scored.sentence.hit.chunk.id: scored.sentence.hit.chunk for scored in ranked}.values()
    texts = ["\n".join((chunk.text, chunk.title, chunk.section, chunk.source)) for chunk in chunks]
    found = sum(any(holds(text, term, whole=False) for text in texts) for term in question.exact)
    if found == len(question.exact):
        return max(strength, NAMED)
    return strength if found else strength * UNNAMED
