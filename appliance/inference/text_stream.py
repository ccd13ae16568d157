"""Turns a model's bytes into text as they come: whole characters only, nothing past a stop string."""

import codecs
from collections.abc import Sequence

from appliance.types import TokenSink


class TextStream:
    """Collects the answer and passes it on. Text that may be the beginning of a stop string is held back."""

    def __init__(self, stop: Sequence[str], on_text: TokenSink | None) -> None:
        self._stop = tuple(text for text in stop if text)
        self._on_text = on_text
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._text = ""
        self._sent = 0
        self._stopped = False

    def add(self, piece: bytes) -> bool:
        """Take a token's bytes; True when a stop string is complete: the text ends before it."""
        if self._stopped:
            return True
        searched = max(0, len(self._text) - max(map(len, self._stop), default=0))
        self._text += self._decoder.decode(piece)
        found = [at for stop in self._stop if (at := self._text.find(stop, searched)) >= 0]
        if found:
            self._text = self._text[: min(found)]
            self._stopped = True
        self._send(len(self._text) if self._stopped else self._safe_end())
        return self._stopped

    def finish(self) -> str:
        """The whole text; passes on what was held back."""
        if not self._stopped:
            self._text += self._decoder.decode(b"", final=True)
            self._stopped = True
        self._send(len(self._text))
        return self._text

    def _safe_end(self) -> int:
        """Where text ends that can no longer turn out to belong to a stop string."""
        longest = max(
            (size for stop in self._stop for size in range(1, len(stop)) if self._text.endswith(stop[:size])), default=0
        )
        return len(self._text) - longest

    def _send(self, end: int) -> None:
        if self._on_text is not None and end > self._sent:
            self._on_text(self._text[self._sent : end])
        self._sent = max(self._sent, end)
