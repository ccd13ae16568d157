"""Questions that wait for their turn: whoever has the model at work has it encode some of them as well."""

import threading
from collections import OrderedDict

from appliance.types import Vector

MOST = 256  # that are remembered; of more the oldest are forgotten, and encoded when they are asked
LONGEST = 400  # characters; a longer question keeps the model busy by itself
ALIKE = 0.25  # share of its length by which a question may differ from the one it is encoded with


class ExpectedQuestions:
    """By collection, each text once. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[str, str], None] = OrderedDict()
        self._ready: OrderedDict[str, Vector] = OrderedDict()
        self._lock = threading.Lock()

    def add(self, collection: str, text: str) -> None:
        """It will be asked soon."""
        if len(text) > LONGEST:
            return
        with self._lock:
            self._waiting[collection, text] = None
            if len(self._waiting) > MOST:
                self._waiting.popitem(last=False)

    def take(self, collection: str, text: str, most: int) -> list[str]:
        """At most so many others of the collection, of about the length of `text`; none of them is expected any more.

        Those that came last, whose turn is furthest away: who comes next may begin before this is done.
        """
        with self._lock:
            self._waiting.pop((collection, text), None)
            near = [
                key
                for key in reversed(self._waiting)
                if key[0] == collection and abs(len(key[1]) - len(text)) <= ALIKE * len(text)
            ][:most]
            for key in near:
                del self._waiting[key]
        return [waiting for _, waiting in near]

    def give(self, key: str, vector: Vector) -> None:
        """Made ahead for a question that waits; whoever computes it takes it, once."""
        with self._lock:
            self._ready[key] = vector
            if len(self._ready) > MOST:
                self._ready.popitem(last=False)

    def given(self, key: str) -> Vector | None:
        """What was made ahead, or None; it is not kept here any more."""
        with self._lock:
            return self._ready.pop(key, None)
