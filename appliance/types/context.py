"""What a search hands on: spans of documents, after expansion to their surroundings and compression to a budget."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Self

import msgspec

from appliance.types.documents import Chunk

if TYPE_CHECKING:
    from appliance.types.questions import Hit

GAP = " … "  # stands between two pieces of a passage, where sentences were left out


class Piece(msgspec.Struct, frozen=True):
    """What was kept in one stretch: `document.text[start:end] == text`."""

    start: int
    end: int
    text: str


class ContextPassage(msgspec.Struct, frozen=True):
    """A stretch of one document around the hits that led there.

    `hits` are those, best first; `chunks` everything the stretch is made of and `pieces` what was kept of it, both in
    the order of the document.
    """

    hits: "tuple[Hit, ...]"
    chunks: tuple[Chunk, ...]
    pieces: tuple[Piece, ...]

    @property
    def start(self) -> int:
        return self.chunks[0].start

    @property
    def end(self) -> int:
        return self.chunks[-1].end

    @property
    def section(self) -> str:
        """The heading path that all its chunks share; empty where they lie in several sections."""
        sections = {chunk.section for chunk in self.chunks}
        return sections.pop() if len(sections) == 1 else ""

    @property
    def text(self) -> str:
        """The pieces as one text, with GAP between them."""
        return GAP.join(piece.text for piece in self.pieces)


class Context(msgspec.Struct, frozen=True):
    """Passages, best first. `tokens` of their texts and `dropped`, what compression left out: the embedder's tokens."""

    passages: tuple[ContextPassage, ...]
    tokens: int
    dropped: int

    @classmethod
    def of_hits(cls, hits: "Sequence[Hit]") -> Self:
        """Every hit as a passage of its own, whole."""
        chunks = [hit.chunk for hit in hits]
        pieces = [(Piece(chunk.start, chunk.end, chunk.text),) for chunk in chunks]
        rows = zip(hits, chunks, pieces, strict=True)
        passages = tuple(ContextPassage((hit,), (chunk,), kept) for hit, chunk, kept in rows)
        return cls(passages, sum(chunk.tokens for chunk in chunks), 0)
