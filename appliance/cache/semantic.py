"""Earlier questions by meaning, for those who want that: a question that says the same gets the same answer.

Only within one scope: everything that an answer depends on but the words of the question is equal, the version of the
collection and the flags with it. And only where the words tell no difference that a vector hides (`distinct.py`).
"""

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from appliance.cache.distinct import may_differ
from appliance.cache.stats import Counts, LayerStats
from appliance.types import Vector

LAYER = "semantic"
MOST = 4096  # questions in all scopes together
NEAREST = 5  # looked at, from the nearest on


class Similar(NamedTuple):
    """An earlier question, the cosine of its vector, and the key of its answer."""

    key: str
    question: str
    similarity: float


@dataclass(slots=True)
class _Scope:
    collection: str
    keys: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    vectors: list[Vector] = field(default_factory=list)


class SemanticIndex:
    """Questions whose answers are kept, by scope, in memory alone. Thread-safe; the oldest scope goes first."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._scopes: OrderedDict[str, _Scope] = OrderedDict()
        self._entries = 0
        self._lock = threading.Lock()
        self._counts = Counts(LAYER)

    def find(self, scope: str, text: str, vector: Vector, least: float) -> Similar | None:
        """The nearest earlier question that is at least `least` (a cosine) like this one and asks the same."""
        with self._lock:
            kept = self._scopes.get(scope)
            found = None
            if kept is not None and kept.keys:
                self._scopes.move_to_end(scope)
                found = _nearest(kept, text, vector, least)
            self._counts.asked(found is not None)
            return found

    def add(self, scope: str, collection: str, text: str, vector: Vector, key: str) -> None:
        """A question whose answer was kept under `key`."""
        with self._lock:
            kept = self._scopes.setdefault(scope, _Scope(collection))
            self._scopes.move_to_end(scope)
            if key in kept.keys:
                return
            if len(kept.keys) >= self._most // 2:
                del kept.keys[0], kept.questions[0], kept.vectors[0]
                self._entries -= 1
                self._counts.evicted(1)
            kept.keys.append(key)
            kept.questions.append(text)
            kept.vectors.append(vector)
            self._entries += 1
            while self._entries > self._most:
                gone = len(self._scopes.popitem(last=False)[1].keys)
                self._entries -= gone
                self._counts.evicted(gone)

    def clear(self, collection: str | None = None) -> int:
        """Forget the questions to a collection, or all; returns how many."""
        with self._lock:
            gone = [name for name, scope in self._scopes.items() if collection in {None, scope.collection}]
            removed = sum(len(self._scopes.pop(name).keys) for name in gone)
            self._entries -= removed
            return removed

    def stats(self) -> LayerStats:
        """`bytes` and `bound` are of the vectors."""
        with self._lock:
            size = next((v.nbytes for scope in self._scopes.values() for v in scope.vectors), 1536)
            held = (self._entries, self._entries * size, self._most * size)
            return LayerStats(LAYER, self._counts.hits, self._counts.misses, self._counts.evictions, *held)


def _nearest(kept: _Scope, text: str, vector: Vector, least: float) -> Similar | None:
    cosines = np.stack(kept.vectors) @ vector
    for at in np.argsort(-cosines)[:NEAREST]:
        if cosines[at] < least:
            return None
        if not may_differ(kept.questions[at], text):
            return Similar(kept.keys[at], kept.questions[at], float(cosines[at]))
    return None
