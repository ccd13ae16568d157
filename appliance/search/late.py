"""The reranker that reads the best passages token by token: each token of the question beside its nearest in a passage.

Late interaction: Khattab, Zaharia 2020, "ColBERT" (arXiv:2004.12832), with the tokens of the embedding model itself.
"""

import time
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from appliance.errors import DeadlineExceeded
from appliance.search.terms import feedback
from appliance.types import RerankRequest, TokenEmbedder, TokenVectors
from appliance.words import FUNCTION_WORDS

NAME = "late-interaction"
MOST = 20  # candidates: about .2 s on two cores; 30 give .0015 more on SciFact train and CISI, nothing elsewhere
BATCH = 8  # passages encoded between two looks at the clock

# What is added to the fused score. nDCG@10 on every second question of SciFact train, CACM, Cranfield and CISI (the
# first, the third, ...): fused alone .7685 .522 .485 .526, reranked by words .7701 .536 .494 .538, with both of these
# .7787 .548 .490 .535; .3 to 1.4 of the tokens' similarity with .1 to .3 of the feedback: .7729 to .7819 on SciFact.
WEIGHTS = {"tokens": 0.7, "feedback": 0.2}


class LateInteraction:
    """Fused score, weighted mean similarity of the question's tokens, and dense feedback, added up. Thread-safe.

    The embedder is the caller's, who closes it.
    """

    name = NAME
    most = MOST
    cheap = False

    def __init__(self, embedder: TokenEmbedder) -> None:
        self._embedder = embedder
        self.fingerprint = f"{NAME}-1 {embedder.fingerprint}"

    def scores(self, request: RerankRequest) -> Sequence[float]:
        """0..1 for each candidate. Raises DeadlineExceeded before it is too late, ModelError."""
        if not request.candidates:
            return []
        asked = self._embedder.embed_tokens([request.question])[0]
        weights = token_weights(request.question, asked.spans, request.idf)
        similar = [float(weights @ _nearest(asked, passage)) for passage in self._passages(request)]
        fused = np.array([candidate.score for candidate in request.candidates])
        added = WEIGHTS["tokens"] * np.array(similar) + WEIGHTS["feedback"] * feedback(request.vectors)
        scores: list[float] = ((fused + added) / (1 + sum(WEIGHTS.values()))).tolist()
        return scores

    def close(self) -> None:
        """Nothing of our own is held."""

    def _passages(self, request: RerankRequest) -> Iterator[TokenVectors]:
        texts = [one.whole for one in request.candidates]
        slowest = 0.0
        for start in range(0, len(texts), BATCH):
            began = time.monotonic()
            if began + slowest >= request.deadline:
                raise DeadlineExceeded("There is no time left to rerank.")
            yield from self._embedder.embed_tokens(texts[start : start + BATCH])
            slowest = max(slowest, time.monotonic() - began)


def token_weights(question: str, spans: NDArray[np.int64], idf: Mapping[str, float]) -> NDArray[np.float64]:
    """(n,) summing to 1: a word's idf, shared among its tokens; nothing for function words and signs.

    A word that `idf` does not name weighs as much as the median one; tokens weigh the same where no word weighs.
    """
    known = {word.lower(): weight for word, weight in idf.items()}
    median = float(np.median(list(known.values()))) if known else 1.0
    weights = np.zeros(len(spans))
    for tokens in _words(question, spans):
        word = question[spans[tokens[0], 0] : spans[tokens[-1], 1]].lower()
        weights[tokens] = 0.0 if word in FUNCTION_WORDS else known.get(word, median) / len(tokens)
    total = float(weights.sum())
    return weights / total if total else np.full(len(spans), 1 / max(1, len(spans)))


def _words(question: str, spans: NDArray[np.int64]) -> Iterator[list[int]]:
    """The places of the tokens of each word: those of letters and digits that follow each other without a gap."""
    tokens: list[int] = []
    for place, (start, end) in enumerate(spans.tolist()):
        if tokens and (start != spans[tokens[-1], 1] or not question[start:end].isalnum()):
            yield tokens
            tokens = []
        if question[start:end].isalnum():
            tokens.append(place)
    if tokens:
        yield tokens


def _nearest(asked: TokenVectors, passage: TokenVectors) -> NDArray[np.float64]:
    """(n,) cosines of the question's tokens with the passage's nearest ones; 0 for a passage without tokens."""
    if not len(passage.vectors):
        return np.zeros(len(asked.vectors))
    return np.asarray((asked.vectors @ passage.vectors.T).max(axis=1), dtype=np.float64)
