"""Cuts a document into chunks that follow its structure, sized in the model's own tokens, exact to the character."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from appliance.ingest.measure import TokenMeasure, TokenSpans
from appliance.sentences import split_sentences
from appliance.types import Block, BlockKind, ChunkSpan, ReadDocument

_MAX_LABEL = 120  # characters of a heading in a section path
_CODE_SENTENCE = 240  # characters: lines of code are cited together up to here


@dataclass(frozen=True, slots=True)
class _Unit:
    """The smallest piece that a chunk is put together from: a block, or a part of one that is too large."""

    start: int
    end: int
    tokens: int


@dataclass(slots=True)
class _Section:
    """A heading with what follows until the next heading.

    `path` ends with its own heading; level 0 is before the first.
    """

    level: int
    path: tuple[str, ...]
    units: list[_Unit] = field(default_factory=list)
    tokens: int = 0


def chunk_document(
    document: ReadDocument,
    token_spans: TokenSpans,
    *,
    max_tokens: int = 220,
    min_tokens: int = 40,
    overlap_tokens: int = 0,
) -> list[ChunkSpan]:
    """Chunks in order, each of at most `max_tokens` tokens; together they hold every character that is no white space.

    A document that fits stays whole. A chunk crosses a heading only into deeper sections,
    or to take in sections of fewer than
    `min_tokens`. What must be cut is cut into parts of similar size, at blocks, then sentences, then lines,
    then tokens.
    With `overlap_tokens`, a chunk also begins with the last whole sentences of the one before it in the same section.
    """
    if max_tokens < 8 or not 0 <= overlap_tokens <= max_tokens // 2:
        raise ValueError("max_tokens must be at least 8, overlap_tokens at most half of it")
    measure = TokenMeasure(document.text, token_spans)
    kinds = _Kinds(document)
    sections = _sections(document, measure, kinds, max_tokens)
    chunks: list[ChunkSpan] = []
    for group in _groups(sections, max_tokens, min_tokens):
        path = _shared_path(group)
        previous: tuple[int, int] | None = None
        for start, end in _cut([unit for section in group for unit in section.units], max_tokens - overlap_tokens):
            first = (
                _overlapped(document.text, measure, previous, start, end, overlap_tokens, max_tokens)
                if previous
                else start
            )
            previous = (start, end)
            chunks.append(_chunk(document, measure, kinds, path, first, end))
    return chunks


class _Kinds:
    """The blocks of a document with the text between them, for looking up what lies in a span."""

    def __init__(self, document: ReadDocument) -> None:
        self.blocks = list(_all_blocks(document))
        self._starts = [block.start for block in self.blocks]

    def within(self, start: int, end: int) -> Iterator[Block]:
        """Blocks that touch `[start, end)`, in order."""
        for index in range(max(0, bisect_right(self._starts, start) - 1), len(self.blocks)):
            block = self.blocks[index]
            if block.start >= end:
                return
            if block.end > start:
                yield block


def _all_blocks(document: ReadDocument) -> Iterator[Block]:
    """The document's blocks, and a paragraph for any text that none of them covers."""
    last = 0
    for block in document.blocks:
        if document.text[last : block.start].strip():
            yield Block(BlockKind.PARAGRAPH, last, block.start)
        yield block
        last = block.end
    if document.text[last:].strip():
        yield Block(BlockKind.PARAGRAPH, last, len(document.text))


def _sections(document: ReadDocument, measure: TokenMeasure, kinds: _Kinds, max_tokens: int) -> list[_Section]:
    sections = [_Section(0, ())]
    open_headings: list[tuple[int, str]] = []
    for block in kinds.blocks:
        if block.kind is BlockKind.HEADING:
            while open_headings and open_headings[-1][0] >= block.level:
                open_headings.pop()
            open_headings.append((block.level, _label(document.text[block.start : block.end])))
            sections.append(_Section(block.level, tuple(label for _, label in open_headings)))
        section = sections[-1]
        for unit in _units(document.text, measure, block.kind, block.start, block.end, max_tokens):
            section.units.append(unit)
            section.tokens += unit.tokens
    return [section for section in sections if section.units]


def _label(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _MAX_LABEL else line[: _MAX_LABEL - 1].rstrip() + "…"


def _units(text: str, measure: TokenMeasure, kind: BlockKind, start: int, end: int, max_tokens: int) -> Iterator[_Unit]:
    """The block as one unit, or its sentences (lines of code), or runs of tokens where even these are too large."""
    start, end = _trim(text, start, end)
    if start >= end:
        return
    tokens = measure.count(start, end)
    if tokens <= max_tokens:
        yield _Unit(start, end, tokens)
        return
    split = _split_lines if kind is BlockKind.CODE else split_sentences
    for low, high in split(text[start:end]):
        yield from _parts(text, measure, start + low, start + high, max_tokens)


def _parts(text: str, measure: TokenMeasure, start: int, end: int, max_tokens: int) -> Iterator[_Unit]:
    """A sentence as one unit, or cut into the fewest parts of equal size, at spaces where there are any."""
    tokens = measure.count(start, end)
    parts = -(-tokens // max_tokens)
    while start < end:
        if parts <= 1 and tokens <= max_tokens:
            cut = end
        else:
            cut = measure.advance(start, min(max_tokens, -(-tokens // max(parts, 1))), end)
            space = text.rfind(" ", start + (cut - start) // 2, cut)
            cut = space if space > start and cut < end else cut
        low, high = _trim(text, start, cut)
        if low < high:
            yield _Unit(low, high, measure.count(low, high))
        start = cut
        tokens = measure.count(start, end) if start < end else 0
        parts -= 1


def _split_lines(text: str) -> list[tuple[int, int]]:
    """Lines that are not blank, without the white space around them."""
    spans: list[tuple[int, int]] = []
    start = 0
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        low, high = _trim(text, start, end)
        if low < high:
            spans.append((low, high))
        start = end + 1
    return spans


def _trim(text: str, start: int, end: int) -> tuple[int, int]:
    piece = text[start:end]
    return end - len(piece.lstrip()), start + len(piece.rstrip())


def _groups(sections: Sequence[_Section], max_tokens: int, min_tokens: int) -> Iterator[list[_Section]]:
    """Runs of sections that share chunks.

    Everything when it fits; else a section takes in deeper ones and tiny neighbours.
    """
    group: list[_Section] = []
    tokens = 0
    whole = sum(section.tokens for section in sections) <= max_tokens
    for section in sections:
        deeper = bool(group) and section.level > group[0].level
        tiny = tokens < min_tokens or section.tokens < min_tokens
        bare = (
            bool(group) and len(group[-1].units) == 1 and group[-1].level > 0
        )  # a heading goes with what it announces
        fits = tokens + section.tokens <= max_tokens
        joins = whole or (fits and (deeper or tiny)) or (bare and deeper and tokens < min_tokens)
        if group and not joins:
            yield group
            group, tokens = [], 0
        group.append(section)
        tokens += section.tokens
    if group:
        yield group


def _shared_path(group: Sequence[_Section]) -> str:
    """The path of the first section where the others lie inside it, else what all paths have in common, else the
    first.
    """
    first = group[0].path
    shared = len(first)
    for section in group[1:]:
        while shared and section.path[:shared] != first[:shared]:
            shared -= 1
    return " > ".join(first[:shared] or first)


def _cut(units: Sequence[_Unit], max_tokens: int) -> Iterator[tuple[int, int]]:
    """Spans of at most `max_tokens`, of similar size, that end where units end."""
    left = sum(unit.tokens for unit in units)
    index = 0
    while index < len(units):
        target = left / -(-left // max_tokens)
        size = 0
        first = index
        while index < len(units):
            more = size + units[index].tokens
            if index > first and (more > max_tokens or more - target > target - size):
                break
            size = more
            index += 1
        left -= size
        yield units[first].start, units[index - 1].end


def _overlapped(
    text: str, measure: TokenMeasure, previous: tuple[int, int], start: int, end: int, overlap: int, max_tokens: int
) -> int:
    """Where the chunk begins that takes in the last sentences of the one before it, within `overlap` tokens."""
    first = start
    room = min(overlap, max_tokens - measure.count(start, end))
    for low, _ in reversed(split_sentences(text[previous[0] : previous[1]]) if room > 0 else []):
        if measure.count(previous[0] + low, start) > room:
            break
        first = previous[0] + low
    return first if first > previous[0] else start


def _chunk(document: ReadDocument, measure: TokenMeasure, kinds: _Kinds, path: str, start: int, end: int) -> ChunkSpan:
    sentences: list[tuple[int, int]] = []
    for block in kinds.within(start, end):
        low, high = max(start, block.start), min(end, block.end)
        sentences += [
            (low - start + s, low - start + e) for s, e in _block_sentences(block.kind, document.text[low:high])
        ]
    page = _page(document, start)
    text = document.text[start:end]
    return ChunkSpan(path, page, start, end, text, measure.exact(start, end), tuple(sentences))


def _block_sentences(kind: BlockKind, text: str) -> list[tuple[int, int]]:
    """What can be cited on its own: a heading or a row as a whole, lines of code together, sentences of prose."""
    if kind is BlockKind.CODE:
        return _join_lines(_split_lines(text))
    if kind in (BlockKind.HEADING, BlockKind.TABLE_ROW):
        low, high = _trim(text, 0, len(text))
        return [(low, high)] if low < high else []
    return split_sentences(text)


def _join_lines(lines: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    joined: list[tuple[int, int]] = []
    for start, end in lines:
        if joined and end - joined[-1][0] <= _CODE_SENTENCE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((start, end))
    return joined


def _page(document: ReadDocument, position: int) -> int | None:
    index = bisect_right(document.pages, position, key=lambda page: page.start) - 1
    return document.pages[index].number if index >= 0 else None
