"""An embedder of hashed words: no model, deterministic, for tests and for load tests of everything but the model."""

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from appliance.inference.pooling import normalise
from appliance.types import Matrix, Passage, PassageVectors, Vector

WORD = re.compile(r"\w+|[^\w\s]")


class HashEmbedder:
    """A bag of words: each word owns a fixed random direction, a text is the normalised sum of its words'.

    Texts that share words have a cosine near the share of words in common (random projections).
    """

    def __init__(self, dimensions: int = 64, max_tokens: int = 256) -> None:
        self._dimensions = dimensions
        self._max_tokens = max_tokens
        self._direction = lru_cache(maxsize=65_536)(self._make_direction)

    @property
    def name(self) -> str:
        return "hash"

    @property
    def fingerprint(self) -> str:
        return f"hash-1-{self._dimensions}-{self._max_tokens}"

    @property
    def dimensions(self) -> int:
        return self._dimensions

    @property
    def max_tokens(self) -> int:
        return self._max_tokens

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Words and punctuation marks."""
        return [match.span() for match in WORD.finditer(text)]

    def embed_query(self, text: str) -> Vector:
        """(dimensions,) float32 of length 1, also for a text without words."""
        vector: Vector = self._embed([text])[0]
        return vector

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        """(n, dimensions), each as `embed_query` gives it."""
        return self._embed(texts)

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        """A sentence's vector is that of its own words."""
        return [self._embed_passage(passage) for passage in passages]

    def close(self) -> None:
        """Nothing to free."""

    def _embed_passage(self, passage: Passage) -> PassageVectors:
        vector = self._embed([passage.whole])[0]
        if not passage.sentences:
            return PassageVectors(vector, np.zeros((0, self._dimensions), dtype=np.float32))
        return PassageVectors(vector, self._embed([passage.text[start:end] for start, end in passage.sentences]))

    def _embed(self, texts: Sequence[str]) -> Matrix:
        sums = np.zeros((len(texts), self._dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            for word in WORD.findall(text.lower())[: self._max_tokens] or [""]:
                sums[row] += self._direction(word)
        return normalise(sums)

    def _make_direction(self, word: str) -> Vector:
        seed = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "replace"), digest_size=8).digest(), "little")
        direction: Vector = np.random.default_rng(seed).standard_normal(self._dimensions).astype(np.float32)
        return direction
