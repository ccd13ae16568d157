"""The vectors of questions, by model: they outlive every change of a collection, since no document is part of them."""

import hashlib
import math
from collections.abc import Callable, Sequence

from appliance.cache.expected import ExpectedQuestions
from appliance.cache.memory import MemoryLayer
from appliance.cache.stats import LayerStats
from appliance.types import Embedder, Matrix, Passage, PassageVectors, Vector

LAYER = "embedding"
Prepare = Callable[[Matrix], None]

AT_ONCE = 8  # questions encoded together; 16 take hardly less each, and the first of them waits twice as long


class EmbeddingCache:
    """Question vectors in memory, keyed by a hash: the text of a question is not kept. Thread-safe."""

    def __init__(self, bound: int) -> None:
        self._kept: MemoryLayer[Vector] = MemoryLayer(LAYER, bound)
        self._expected = ExpectedQuestions()

    def expect(self, collection: str, text: str) -> None:
        """This question waits for its turn: it may be encoded together with one that has it."""
        self._expected.add(collection, text)

    def over(self, embedder: Embedder, collection: str, prepare: Prepare = lambda _: None) -> Embedder:
        """The same model, with its questions looked up here first; `prepare` learns of questions encoded together."""
        return _Remembering(embedder, self._kept, self._expected, collection, prepare)

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
        prepare: Prepare,
    ) -> None:
        self._embedder, self._kept, self._expected = embedder, kept, expected
        self._collection, self._prepare = collection, prepare

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
        key = self._key(text)
        found = self._kept.get(key)
        ahead = self._expected.given(key)
        if found is None and ahead is not None:
            found = self._keep(key, ahead)
        if found is not None:
            self._expected.take(self._collection, text, 0)
            return found
        others = self._expected.take(self._collection, text, AT_ONCE - 1)
        if not others:
            return self._keep(key, self._embedder.embed_query(text))
        vectors = self._embedder.embed_queries([text, *others])
        self._prepare(vectors)
        for other, vector in zip(others, vectors[1:], strict=True):
            self._expected.give(self._key(other), vector.copy())
        return self._keep(key, vectors[0].copy())

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        return self._embedder.embed_queries(texts)

    def _key(self, text: str) -> str:
        text = f"{self.fingerprint}\n{text}"
        return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=20).hexdigest()

    def _keep(self, key: str, vector: Vector) -> Vector:
        vector.setflags(write=False)
        tags = frozenset({f"model:{self.name}"})
        self._kept.put(key, vector, size=vector.nbytes, until=math.inf, tags=tags)
        return vector

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        return self._embedder.embed_passages(passages)

    def close(self) -> None:
        """The model belongs to somebody else."""
