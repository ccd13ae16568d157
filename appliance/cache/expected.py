"""Questions that wait for their turn, and the vectors that are made for them meanwhile."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from appliance.types import Vector

MOST = 256  # that are remembered; of more the oldest are forgotten, and encoded when they are asked
LONGEST = 400  # characters; a longer question keeps the model busy by itself
ALIKE = 0.25  # share of its length by which a question may differ from the one it is encoded with
AT_ONCE = 8  # questions encoded together; 16 take hardly less each, and the first of them waits twice as long
ENOUGH = 32  # that wait, of which AT_ONCE are of like length; few vectors are needed sooner

Asked = tuple[str, str]  # collection, text
Encoded = tuple[str, Vector]  # fingerprint of the model, what it made


@dataclass(frozen=True, slots=True)
class Batch:
    """Questions of one collection that somebody has begun to encode; each future takes what becomes of its text."""

    collection: str
    texts: Sequence[str]
    vectors: Sequence[Future[Encoded]]


class ExpectedQuestions:
    """By collection, each text once. Thread-safe."""

    def __init__(self) -> None:
        self._waiting: OrderedDict[Asked, Future[Encoded]] = OrderedDict()
        self._begun: OrderedDict[Asked, Future[Encoded]] = OrderedDict()
        self._changed = threading.Condition()
        self._closed = False

    def add(self, collection: str, text: str) -> None:
        """It will be asked soon."""
        asked = (collection, text)
        if len(text) > LONGEST:
            return
        with self._changed:
            if asked in self._waiting or asked in self._begun:
                return
            self._waiting[asked] = Future()
            if len(self._waiting) > MOST:
                self._waiting.popitem(last=False)
            self._tell()

    def vector(self, collection: str, text: str, fingerprint: str) -> Vector | None:
        """What was made for a question whose turn it is, which is expected no more. Where it is being made, this waits.

        None where nobody has begun it, where it failed, and where another model made it.
        """
        with self._changed:
            future = self._take(collection, text)
        if future is None or future.exception() is not None:
            return None
        made_by, vector = future.result()
        return vector if made_by == fingerprint else None

    def discard(self, collection: str, text: str) -> None:
        """It is expected no more."""
        asked = (collection, text)
        if asked in self._waiting or asked in self._begun:  # mostly its turn has come, and `vector` has taken it
            with self._changed:
                self._take(collection, text)

    def batch(self, within_s: float) -> Batch | None:
        """The next to encode together: those that came first, of like length. None when that long there were none.

        A few vectors are kept ready. With as many, it is worth waiting until ENOUGH wait: a short text costs less in
        the company of its like.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: self._closed or self._is_due(), within_s) or self._closed:
                return None
            collection, text = next(iter(self._waiting))
            near = [
                asked
                for asked in self._waiting
                if asked[0] == collection and abs(len(asked[1]) - len(text)) <= ALIKE * len(text)
            ][:AT_ONCE]
            futures = [self._waiting.pop(asked) for asked in near]
            self._begun.update(zip(near, futures, strict=True))
            while len(self._begun) > MOST:
                self._begun.popitem(last=False)
        return Batch(collection, [text for _, text in near], futures)

    def close(self) -> None:
        """No batch is given any more; whoever waits for one learns it at once."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def _take(self, collection: str, text: str) -> Future[Encoded] | None:
        """The future of what was begun; nothing of what was not."""
        asked = (collection, text)
        self._waiting.pop(asked, None)
        future = self._begun.pop(asked, None)
        self._tell()
        return future

    def _is_due(self) -> bool:
        return bool(self._waiting) and (len(self._begun) < AT_ONCE or len(self._waiting) >= ENOUGH)

    def _tell(self) -> None:
        if self._is_due():
            self._changed.notify()
