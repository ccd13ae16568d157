"""The vectors of questions, by model: they outlive every change of a collection, since no document is part of them."""

import hashlib
import math
from collections.abc import Sequence

from appliance.cache.expected import ExpectedQuestions
from appliance.cache.memory import MemoryLayer
from appliance.cache.stats import LayerStats
from appliance.types import Embedder, Matrix, Passage, PassageVectors, Vector

LAYER = "embedding"


class EmbeddingCache:
    """Question vectors in memory, keyed by a hash: the text of a question is not kept. Thread-safe."""

    def __init__(self, bound: int) -> None:
        self._kept: MemoryLayer[Vector] = MemoryLayer(LAYER, bound)
        self.expected = ExpectedQuestions()

    def over(self, embedder: Embedder, collection: str) -> Embedder:
        """The same model, with its questions looked up here first, and among those that were encoded ahead."""
        return _Remembering(embedder, self._kept, self.expected, collection)

    def known(self, fingerprint: str, text: str) -> Vector | None:
        """The vector of a question, if it is kept."""
        return self._kept.get(_key(fingerprint, text))

    def clear(self, tag: str | None = None) -> int:
        return self._kept.clear(tag)

    def stats(self) -> LayerStats:
        return self._kept.stats()


class _Remembering:
    def __init__(
        self,
        embedder: Embedder,
        kept: MemoryLayer[Vector],
        expected: ExpectedQuestions,
        collection: str,
    ) -> None:
        self._embedder, self._kept, self._expected, self._collection = embedder, kept, expected, collection

    @property
    def name(self) -> str:
        return self._embedder.name

    @property
    def fingerprint(self) -> str:
        return self._embedder.fingerprint

    @property
    def dimensions(self) -> int:
        return self._embedder.dimensions

    @property
    def max_tokens(self) -> int:
        return self._embedder.max_tokens

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        return self._embedder.token_spans(text)

    def embed_query(self, text: str) -> Vector:
        """As the model gives it; read-only, since others get the same array."""
        key = _key(self.fingerprint, text)
        found = self._kept.get(key)
        if found is not None:
            return found
        ahead = self._expected.vector(self._collection, text, self.fingerprint)
        return self._keep(key, self._embedder.embed_query(text) if ahead is None else ahead)

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        return self._embedder.embed_queries(texts)

    def _keep(self, key: str, vector: Vector) -> Vector:
        vector.setflags(write=False)
        tags = frozenset({f"model:{self.name}"})
        self._kept.put(key, vector, size=vector.nbytes, until=math.inf, tags=tags)
        return vector

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        return self._embedder.embed_passages(passages)

    def close(self) -> None:
        """The model belongs to somebody else."""


def _key(fingerprint: str, text: str) -> str:
    return hashlib.blake2b(f"{fingerprint}\n{text}".encode(errors="surrogatepass"), digest_size=20).hexdigest()
