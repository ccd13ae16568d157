"""Contextual compression: of several texts, the sentences that matter for the question, within a budget of tokens."""

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field

from appliance.types import GAP, Embedder, Piece

_LEANS = re.compile(r"(?:it|its|he|she|his|her|they|their|this|that|these|those|such|here|there)\b", re.IGNORECASE)
_WORD_END = re.compile(r"\S(?=\s|$)")


@dataclass(frozen=True, slots=True)
class Line:
    """A sentence or heading of a text, `text[start:end]`, and its worth for the question on a scale of log-odds."""

    start: int
    end: int
    worth: float
    heading: bool


@dataclass(frozen=True, slots=True)
class Source:
    """A text with its lines in order, `offset` characters into its document."""

    text: str
    offset: int
    lines: Sequence[Line]


@dataclass(slots=True)
class _Kept:
    """What is kept of one source while the budget is being spent."""

    source: Source
    tokens: Sequence[int]  # of each line
    chosen: set[int] = field(default_factory=set)

    def cost(self, wanted: Sequence[int], gap: int) -> int:
        """The tokens that adding the lines takes, gap marks included."""
        new = self.chosen.union(wanted)
        return sum(self.tokens[at] for at in new - self.chosen) + gap * (_gaps(new) - _gaps(self.chosen))


def compress(sources: Sequence[Source], budget: int, embedder: Embedder) -> list[tuple[Piece, ...]]:
    """The pieces kept of each source, in its order; none of a source that was not needed.

    The best lines of all sources are taken, best first, as long as the texts of the pieces joined by GAP have at most
    `budget` of the embedder's tokens. A line brings the heading above it, and the line before it when it begins with
    a word that points back ("It was …"), where there is room for them. When not even the best line fits, its beginning
    is kept.
    """
    gap = len(embedder.token_spans(GAP))
    kept = [_Kept(source, _tokens(source, embedder)) for source in sources]
    ranked = sorted(
        (
            (place, at)
            for place, item in enumerate(kept)
            for at, line in enumerate(item.source.lines)
            if not line.heading
        ),
        key=lambda pair: -kept[pair[0]].source.lines[pair[1]].worth,
    )
    left = budget
    for place, at in ranked:
        item = kept[place]
        for wanted in _companies(item.source, at):
            cost = item.cost(wanted, gap)
            if cost <= left:
                item.chosen.update(wanted)
                left -= cost
                break
    if ranked and left == budget:
        place, at = ranked[0]
        return [_beginning(item.source, at, budget, embedder) if item is kept[place] else () for item in kept]
    return [_pieces(item.source, sorted(item.chosen)) for item in kept]


def count(text: str, embedder: Embedder) -> int:
    """The tokens of a text by the embedder's tokeniser."""
    return len(embedder.token_spans(text))


def _tokens(source: Source, embedder: Embedder) -> list[int]:
    starts = [start for start, _ in embedder.token_spans(source.text)]
    return [bisect_left(starts, line.end) - bisect_left(starts, line.start) for line in source.lines]


def _companies(source: Source, at: int) -> list[list[int]]:
    """The line with all that it needs, then with less, then alone."""
    lines = source.lines
    before = [at - 1] if at and not lines[at - 1].heading and _LEANS.match(source.text, lines[at].start) else []
    heading = [above] if (above := _heading_above(source, at)) is not None else []
    return [[*heading, *before, at], [*before, at], [at]]


def _heading_above(source: Source, at: int) -> int | None:
    return next((above for above in range(at - 1, -1, -1) if source.lines[above].heading), None)


def _gaps(chosen: set[int]) -> int:
    """Gaps between runs of neighbours."""
    return max(0, sum(at - 1 not in chosen for at in chosen) - 1)


def _pieces(source: Source, chosen: Sequence[int]) -> tuple[Piece, ...]:
    """Neighbours as one piece, with the white space between them."""
    runs: list[tuple[int, int]] = []
    last = -2
    for at in chosen:
        line = source.lines[at]
        start = runs.pop()[0] if at == last + 1 else line.start
        runs.append((start, line.end))
        last = at
    return tuple(_piece(source, start, end) for start, end in runs)


def _beginning(source: Source, at: int, budget: int, embedder: Embedder) -> tuple[Piece, ...]:
    """As many whole words of a line as there is room for."""
    line = source.lines[at]
    text = source.text[line.start : line.end]
    spans = embedder.token_spans(text)
    ends = [match.end() for match in _WORD_END.finditer(text) if match.end() <= spans[budget - 1][1]]
    return (_piece(source, line.start, line.start + ends[-1]),) if ends else ()


def _piece(source: Source, start: int, end: int) -> Piece:
    return Piece(source.offset + start, source.offset + end, source.text[start:end])
