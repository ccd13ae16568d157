"""Questions that wait are encoded beside those that are worked on, and what fails there fails nobody."""

import contextlib
from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import cast

import numpy as np
import pytest

from appliance.cache.embeddings import EmbeddingCache
from appliance.collections import Serving
from appliance.encoding import EncodingAhead
from appliance.errors import ModelError
from appliance.inference import HashEmbedder
from appliance.types import Matrix
from appliance.vectors import CollectionIndex


class Counting(HashEmbedder):
    def __init__(self) -> None:
        super().__init__()
        self.runs: list[list[str]] = []
        self.broken = False

    def embed_queries(self, texts: Sequence[str]) -> Matrix:
        self.runs.append(list(texts))
        if self.broken:
            raise ModelError("no memory", code="model_failed")
        return super().embed_queries(texts)


class Scene:
    """One collection, whose index remembers what it was to prepare."""

    def __init__(self) -> None:
        self.cache, self.model, self.prepared = EmbeddingCache(1_000_000), Counting(), list[int]()
        self.ahead = EncodingAhead(self.cache, self._serving)

    @contextlib.contextmanager
    def _serving(self, name: str) -> Iterator[Serving]:
        index = SimpleNamespace(prepare=lambda vectors: self.prepared.append(len(vectors)))
        yield Serving(self.model, cast(CollectionIndex, index))

    def ask(self, text: str) -> bool:
        """Whether the vector was there, and is the model's."""
        found = self.cache.expected.vector("default", text, self.model.fingerprint)
        return found is not None and bool((found == HashEmbedder().embed_query(text)).all())


@pytest.fixture
def scene() -> Iterator[Scene]:
    made = Scene()
    made.ahead.start()
    yield made
    made.ahead.stop()


def test_what_waits_is_encoded_and_compared(scene: Scene) -> None:
    for text in ("where is it", "when was it"):
        scene.cache.expected.add("default", text)
    while sum(scene.prepared) < 2:
        scene.ahead._thread.join(0.01)
    assert scene.ask("where is it")
    assert scene.ask("when was it")


def test_what_is_kept_is_not_encoded_again(scene: Scene) -> None:
    scene.cache.over(scene.model, "default").embed_query("where is it")
    scene.cache.expected.add("default", "where is it")
    while not scene.prepared:
        scene.ahead._thread.join(0.01)
    assert scene.ask("where is it")
    assert scene.model.runs == []


def test_a_model_that_fails_leaves_nobody_waiting_and_is_tried_again(scene: Scene) -> None:
    scene.model.broken = True
    scene.cache.expected.add("default", "where is it")
    while not scene.model.runs:
        scene.ahead._thread.join(0.01)
    assert not scene.ask("where is it")
    scene.model.broken = False
    scene.cache.expected.add("default", "where is it")
    while not scene.prepared:
        scene.ahead._thread.join(0.01)
    assert scene.ask("where is it")


def test_it_stops_while_it_has_nothing_to_do() -> None:
    scene = Scene()
    scene.ahead.start()
    scene.ahead.stop()
    assert not scene.ahead._thread.is_alive()
    assert np.isfinite(scene.cache.over(scene.model, "default").embed_query("alone")).all()
