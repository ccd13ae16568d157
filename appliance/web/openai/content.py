"""The text of an answer as a chat shows it: cut where the request says so, and a refusal in words."""

from collections.abc import Callable, Sequence

from appliance.inference.text_stream import TextStream
from appliance.web.openai.wire import Reason
from appliance.web.wire import AnswerCore

NEAREST_NAMED = 3  # sources that a refusal names
DECLINED = "I cannot answer this from the documents."

Spans = Callable[[str], Sequence[tuple[int, int]]]  # of a text's tokens


class Content:
    """Takes the sentences of an answer and gives what may be shown: nothing past a stop text, nor past a bound.

    The bound counts the embedder's tokens: most answers are the documents' own sentences, which no generator wrote.
    """

    def __init__(self, stops: Sequence[str], most_tokens: int | None, spans: Spans) -> None:
        self.cut: Reason | None = None
        self._shown: list[str] = []
        self._stream = TextStream(stops, self._shown.append)
        self._room = most_tokens
        self._spans = spans
        self._begun = False

    def sentence(self, text: str) -> str:
        """What becomes visible with the next sentence; may be empty."""
        if self.cut is None:
            self._add(f" {text}" if self._begun else text)
            self._begun = True
        return self._taken()

    def rest(self) -> str:
        """What was held back as the possible beginning of a stop text."""
        self._stream.finish()
        return self._taken()

    def _add(self, text: str) -> None:
        if self._room is not None:
            spans = self._spans(text)
            if len(spans) > self._room:
                text, self.cut = text[: spans[self._room - 1][1] if self._room else 0], "length"
            self._room -= min(self._room, len(spans))
        if self._stream.add(text.encode()):
            self.cut = "stop"

    def _taken(self) -> str:
        taken = "".join(self._shown)
        self._shown.clear()
        return taken


def sentences(core: AnswerCore) -> list[str]:
    """The sentences of an answer; a refusal as sentences, with the nearest sources."""
    if not core.abstained:
        return [claim.text for claim in core.claims]
    named = dict.fromkeys(f"{hit.source}, page {hit.page}" if hit.page else hit.source for hit in core.nearest)
    nearest = "; ".join(list(named)[:NEAREST_NAMED])
    return [DECLINED, core.notice, *([f"Nearest: {nearest}."] if nearest else [])]
