"""The vectors of questions, by model: they outlive every change of a collection, since no document is part of them."""

import hashlib
import math
from collections.abc import Sequence

from appliance.cache.memory import MemoryLayer
from appliance.cache.stats import LayerStats
from appliance.types import Embedder, Passage, PassageVectors, Vector

LAYER = "embedding"


class EmbeddingCache:
    """Question vectors in memory, keyed by a hash: the text of a question is not kept. Thread-safe."""

    def __init__(self, bound: int) -> None:
        self._kept: MemoryLayer[Vector] = MemoryLayer(LAYER, bound)

    def over(self, embedder: Embedder) -> Embedder:
        """The same model, with its questions looked up here first."""
        return _Remembering(embedder, self._kept)

    def clear(self, tag: str | None = None) -> int:
        return self._kept.clear(tag)

    def stats(self) -> LayerStats:
        return self._kept.stats()


class _Remembering:
    def __init__(self, embedder: Embedder, kept: MemoryLayer[Vector]) -> None:
        self._embedder, self._kept = embedder, kept

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
        key = hashlib.blake2b(f"{self.fingerprint}\n{text}".encode(errors="surrogatepass"), digest_size=20).hexdigest()
        found = self._kept.get(key)
        if found is None:
            found = self._embedder.embed_query(text)
            found.setflags(write=False)
            self._kept.put(key, found, size=found.nbytes, until=math.inf, tags=frozenset({f"model:{self.name}"}))
        return found

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        return self._embedder.embed_passages(passages)

    def close(self) -> None:
        """The model belongs to somebody else."""
