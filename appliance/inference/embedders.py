"""The embedding models of this host, found by name or by the fingerprint that a collection remembers."""

import threading
from collections import OrderedDict

from appliance.errors import Conflict, ModelError
from appliance.inference.embed import MAX_TOKENS, OnnxEmbedder, fingerprint
from appliance.inference.hash_embed import HashEmbedder
from appliance.inference.registry import ModelRegistry
from appliance.types import Embedder

KEPT_OPEN = 3  # one that serves, one of a change of model, one for a collection of its own
HASH = "hash"  # the built-in embedder without a model file


class Embedders:
    """Opens models when they are used. Thread-safe.

    The least recently used beyond KEPT_OPEN is let go: whoever still computes with it keeps it alive, and its memory is
    free when the last one is done.
    """

    def __init__(self, registry: ModelRegistry, *, threads: int) -> None:
        self._registry = registry
        self._threads = threads
        self._open: OrderedDict[str, Embedder] = OrderedDict()
        self._lock = threading.Lock()
        self._opening = threading.Lock()  # one at a time, while the open ones go on being handed out

    def named(self, name: str) -> Embedder:
        """Raises ModelError naming the file that is missing, torn or foreign."""
        return self._kept(self._fingerprint(name), name)

    def of(self, fingerprint: str) -> Embedder:
        """The embedder that made a collection's vectors.

        Raises Conflict when this host has no such model, ModelError when its files cannot be used.
        """
        with self._lock:
            if fingerprint in self._open:
                self._open.move_to_end(fingerprint)
                return self._open[fingerprint]
        name = self.name_of(fingerprint)
        if name is None:
            raise Conflict(
                f"The vectors were made with an embedding model that this host does not have ({fingerprint}).",
                code="embedder_missing",
                hint="Add that model again with `models add`, or change to another with `models use NAME --force`.",
            )
        return self._kept(fingerprint, name)

    def name_of(self, fingerprint: str) -> str | None:
        """The model of that fingerprint among those of this host; opens nothing. Raises ModelError."""
        names = [HASH, *(model.name for model in self._registry.list() if model.kind == "embedder")]
        return next((name for name in names if self._fingerprint(name) == fingerprint), None)

    def close(self) -> None:
        """Close all that are open. Calls after this one are the caller's mistake."""
        with self._lock:
            while self._open:
                self._open.popitem()[1].close()

    def _kept(self, fingerprint: str, name: str) -> Embedder:
        with self._opening:
            with self._lock:
                found = self._open.get(fingerprint)
            embedder = found or open_embedder(self._registry, name, threads=self._threads)
            with self._lock:
                self._open[fingerprint] = embedder
                self._open.move_to_end(fingerprint)
                while len(self._open) > KEPT_OPEN:
                    self._open.popitem(last=False)
            return embedder

    def _fingerprint(self, name: str) -> str:
        if name == HASH:
            return HashEmbedder().fingerprint
        model = next((m for m in self._registry.list() if m.name == name and m.kind == "embedder"), None)
        if model is None:
            model = self._registry.resolve(name, "embedder")  # raises, saying which there are
        return fingerprint(model.sha256, model.tokenizer_sha256, MAX_TOKENS)


def open_embedder(registry: ModelRegistry, name: str, *, threads: int) -> Embedder:
    """The embedder of that name, its files checked; `hash` is the built-in one for tests and load figures.

    Raises ModelError naming the file that is missing, torn or foreign.
    """
    if name == HASH:
        return HashEmbedder()
    model = registry.resolve(name, "embedder")
    if model.tokenizer is None:
        raise ModelError(f"{name}: its tokenizer is not recorded", code="model_torn")
    return OnnxEmbedder.open(model.path, model.tokenizer, threads=threads)
