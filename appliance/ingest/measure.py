"""Counts the model's tokens between any two positions of a text that is tokenised once."""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence

TokenSpans = Callable[[str], Sequence[tuple[int, int]]]

_SLICE = 16_384  # characters given to the tokeniser at once
_LONG_TOKEN = 24  # WordPiece makes one unknown token of a long word: beyond this, count it as if it were split
_PSEUDO_TOKEN = 6  # characters of a split piece of such a word


class TokenMeasure:
    """Counts tokens between two positions of a text that was tokenised once, slice by slice."""

    def __init__(self, text: str, token_spans: TokenSpans) -> None:
        self._starts = array("q")  # of tokens, and of the pieces that long ones count as
        self._long_starts = array("q")
        self._long_ends = array("q")
        self._extra = array("q", [0])  # pieces beyond one in all long tokens before the n-th
        self._token_spans = token_spans
        self._text = text
        for low, high in _slices(text):
            for start, end in token_spans(text[low:high]):
                if end - start <= _LONG_TOKEN:
                    self._starts.append(low + start)
                else:
                    self._long_starts.append(low + start)
                    self._long_ends.append(low + end)
                    pieces = range(low + start, low + end, _PSEUDO_TOKEN)
                    self._starts.extend(pieces)
                    self._extra.append(self._extra[-1] + len(pieces) - 1)

    def count(self, start: int, end: int) -> int:
        """Tokens that begin in `[start, end)`; at least one for text that the tokeniser ignores."""
        return max(1, bisect_left(self._starts, end) - bisect_left(self._starts, start))

    def exact(self, start: int, end: int) -> int:
        """What the tokeniser says of this piece; asked again only where the piece begins or ends in a long token."""
        first, last = bisect_right(self._long_ends, start), bisect_left(self._long_starts, end)
        if first < last and (self._long_starts[first] < start or self._long_ends[last - 1] > end):
            return len(self._token_spans(self._text[start:end]))
        pieces = bisect_left(self._starts, end) - bisect_left(self._starts, start)
        return pieces - (self._extra[last] - self._extra[first]) if first < last else pieces

    def advance(self, start: int, tokens: int, end: int) -> int:
        """The position `tokens` tokens after `start`, at most `end`, always beyond `start`."""
        index = bisect_left(self._starts, start) + tokens
        position = self._starts[index] if index < len(self._starts) else end
        return min(end, max(position, start + 1))


def _slices(text: str) -> Iterator[tuple[int, int]]:
    """Pieces of about `_SLICE` characters, parted at white space where there is any."""
    low, size = 0, len(text)
    while low < size:
        high = min(low + _SLICE, size)
        if high < size:
            cut = max(text.rfind("\n", low + _SLICE // 2, high), text.rfind(" ", low + _SLICE // 2, high))
            high = cut + 1 if cut > low else high
        yield low, high
        low = high
