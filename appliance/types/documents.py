"""Documents from the reader's output to the stored chunk."""

from dataclasses import dataclass, field
from enum import StrEnum

import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.types.arrays import Matrix, Metadata, Vector


class BlockKind(StrEnum):
    """What a block of a document is; chunks follow blocks."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    LIST_ITEM = "list_item"
    TABLE_ROW = "table_row"  # its text repeats the column headers: "Name: Ada; Year: 1843"
    CODE = "code"


@dataclass(frozen=True, slots=True)
class Block:
    """A structural span of a canonical text. `level` is 1-6 for headings, 0 otherwise."""

    kind: BlockKind
    start: int
    end: int
    level: int = 0


@dataclass(frozen=True, slots=True)
class Page:
    """Page `number` (from 1) covers `text[start:end]`."""

    number: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ReadDocument:
    """What a reader makes of bytes: canonical text and its structure. Blocks are ordered and do not overlap."""

    title: str
    media_type: str
    text: str
    blocks: tuple[Block, ...] = ()
    pages: tuple[Page, ...] = ()
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """A stored document. `source` (a path, or the name given on upload) is unique within its collection."""

    id: int
    collection: str
    source: str
    title: str
    media_type: str
    sha256: str
    text: str
    pages: tuple[Page, ...]
    metadata: Metadata
    added_at: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class Quoted:
    """Some `text` of a stored document, and what a citation of it tells of the document."""

    source: str
    title: str
    pages: tuple[Page, ...]
    text: str


@dataclass(frozen=True, slots=True)
class DocumentInfo:
    """A row of a document listing: everything but the text."""

    id: int
    collection: str
    source: str
    title: str
    media_type: str
    sha256: str
    characters: int
    chunks: int
    pages: int
    metadata: Metadata
    added_at: float


@dataclass(frozen=True, slots=True)
class ChunkSpan:
    """A chunk before it is stored: `document.text[start:end] == text`. `section` is its heading path, "A > B".

    `sentences` are `(start, end)` spans relative to the chunk's own text.
    """

    section: str
    page: int | None
    start: int
    end: int
    text: str
    tokens: int
    sentences: tuple[tuple[int, int], ...]


class Chunk(msgspec.Struct, frozen=True):
    """A stored chunk. Ids grow and are never used again; `document.text[start:end] == text` always."""

    id: int
    document_id: int
    collection: str
    source: str
    title: str
    section: str
    page: int | None
    start: int
    end: int
    text: str
    tokens: int


class SentenceVectors(msgspec.Struct, frozen=True):
    """The sentences of one chunk: `spans` (s, 2) relative to its text, `vectors` (s, dimensions), normalised."""

    spans: NDArray[np.int32]
    vectors: Matrix


@dataclass(frozen=True, slots=True)
class EmbeddedChunk:
    """A chunk with its vector and its sentences' vectors, ready for the commit."""

    span: ChunkSpan
    vector: Vector
    sentence_vectors: Matrix  # (len(span.sentences), dimensions)


@dataclass(frozen=True, slots=True)
class NewDocument:
    """A document with its embedded chunks, as handed to the store in one piece."""

    source: str
    sha256: str
    read: ReadDocument
    chunks: tuple[EmbeddedChunk, ...]
    metadata: Metadata  # the reader's, overlaid with the caller's
