"""Questions that wait are encoded on a thread of its own, while those whose turn it is are worked on.

Encoding is most of what a question costs outside the interpreter's lock, so it goes on beside the rest, which is not.
"""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager

import numpy as np

from appliance.cache.embeddings import EmbeddingCache
from appliance.cache.expected import Batch
from appliance.collections import Serving
from appliance.pulse import IDLE_S, Pulse
from appliance.types import Embedder, Matrix

Serve = Callable[[str], AbstractContextManager[Serving]]


class EncodingAhead:
    """Gives the cache's expected questions their vectors, and has the index compare them. One thread."""

    def __init__(self, cache: EmbeddingCache, serving: Serve, pulse: Pulse | None = None) -> None:
        self._cache, self._serving = cache, serving
        self._pulse = pulse or Pulse("encoding")
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="encoding", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the batch under way."""
        self._stopped.set()
        self._cache.expected.close()
        if self._thread.is_alive():
            self._thread.join()
        self._pulse.end()

    def _run(self) -> None:
        while not self._stopped.is_set():
            self._pulse.beat()
            batch = self._cache.expected.batch(IDLE_S)
            if batch is not None:
                self.encode(batch)

    def encode(self, batch: Batch) -> None:
        """Whatever fails is left to those who ask: they encode their question themselves and get the error."""
        try:
            with self._serving(batch.collection) as serving:
                vectors = self._vectors(serving.embedder, batch)
                serving.index.prepare(vectors)
                made_by = serving.embedder.fingerprint
        except Exception as error:  # noqa: BLE001 - nobody may be left waiting
            for future in batch.vectors:
                future.set_exception(error)
            return
        for future, vector in zip(batch.vectors, vectors, strict=True):
            future.set_result((made_by, vector.copy()))

    def _vectors(self, embedder: Embedder, batch: Batch) -> Matrix:
        """(n, dimensions); those that are kept are not made again."""
        kept = [self._cache.known(embedder.fingerprint, text) for text in batch.texts]
        new = [text for text, vector in zip(batch.texts, kept, strict=True) if vector is None]
        made = iter(embedder.embed_queries(new) if new else ())
        return np.stack([next(made) if vector is None else vector for vector in kept])
