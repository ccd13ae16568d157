"""The values that flow through the appliance: frozen, slotted, without behaviour beyond what derives from them.

Offsets are character positions (Python `str` indices) into the canonical text of a document, `[start, end)`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float32]  # (dimensions,), L2-normalised
Matrix = NDArray[np.float32]  # (n, dimensions), rows L2-normalised
Ids = NDArray[np.int64]  # (n,), ascending chunk ids

MetadataValue = str | int | float | bool | list[str]
Metadata = Mapping[str, MetadataValue]


# --- documents -------------------------------------------------------------------------------------------------------


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


@dataclass(frozen=True, slots=True)
class Chunk:
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


@dataclass(frozen=True, slots=True)
class SentenceVectors:
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


# --- questions -------------------------------------------------------------------------------------------------------


class Mode(StrEnum):
    AUTO = "auto"
    EXTRACTIVE = "extractive"
    GENERATIVE = "generative"


class Role(StrEnum):
    """What a key may do; each role includes the ones after it in `reader < editor < admin`."""

    READER = "reader"
    EDITOR = "editor"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Principal:
    """Who asks: `id` is stable and free of secrets."""

    id: str
    name: str
    role: Role


@dataclass(frozen=True, slots=True)
class Comparison:
    """One condition on a document's metadata: `op` is one of = != < <= > >= in contains exists."""

    field: str
    op: str
    value: MetadataValue


@dataclass(frozen=True, slots=True)
class AllOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    parts: tuple["Filter", ...]


@dataclass(frozen=True, slots=True)
class Not:
    part: "Filter"


Filter = Comparison | AllOf | AnyOf | Not


@dataclass(frozen=True, slots=True)
class Query:
    """A question as asked. `alpha` 0 = keywords only, 1 = meaning only, None = chosen by the shape of the text."""

    text: str
    collection: str = "default"
    k: int = 10
    filters: Filter | None = None
    alpha: float | None = None
    mode: Mode = Mode.AUTO
    principal: str = ""


class QueryShape(StrEnum):
    """What a question looks like; it decides the default `alpha`."""

    IDENTIFIER = "identifier"
    KEYWORDS = "keywords"
    SENTENCE = "sentence"


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk and why it is here: ranks count from 1, None = not found by that part; scores are that part's own."""

    chunk: Chunk
    score: float
    dense_rank: int | None = None
    lexical_rank: int | None = None
    dense_score: float | None = None  # cosine
    lexical_score: float | None = None  # BM25, larger is better
    rerank_score: float | None = None


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Hits, best first, and how they were found. `timings` are milliseconds by stage."""

    hits: tuple[Hit, ...]
    shape: QueryShape
    alpha: float
    lexical_exact: bool
    query_vector: Vector
    timings: Mapping[str, float]


# --- answers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Citation:
    """An exact place: `document.text[start:end] == quote`, checked before it leaves."""

    document_id: int
    source: str
    title: str
    page: int | None
    start: int
    end: int
    quote: str


@dataclass(frozen=True, slots=True)
class Claim:
    """One sentence of an answer and the places that hold it up."""

    text: str
    citations: tuple[Citation, ...]
    supported: bool


class AbstainReason(StrEnum):
    NO_PASSAGE = "no_passage"
    WEAK_EVIDENCE = "weak_evidence"
    FILTERED_OUT = "filtered_out"
    EMPTY_COLLECTION = "empty_collection"


@dataclass(frozen=True, slots=True)
class Usage:
    prompt_tokens: int = 0
    completion_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Answer:
    """Claims with citations, or an abstention with its reason. `mode` is the one that was used, not the one asked for.

    `notice` says in a sentence when less was done than asked for (generator busy, nothing generated was supported).
    """

    claims: tuple[Claim, ...]
    mode: Mode
    abstained: bool
    reason: AbstainReason | None
    hits: tuple[Hit, ...]  # the passages it rests on or, when it abstains, the nearest ones
    usage: Usage
    timings: Mapping[str, float]  # ms by stage
    notice: str = ""

    @property
    def text(self) -> str:
        """The answer as one string, derived from its claims."""
        return " ".join(claim.text for claim in self.claims)


# --- models ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Passage:
    """What an embedder encodes: `context` (title and section) is read before `text` but owns no sentence."""

    context: str
    text: str
    sentences: Sequence[tuple[int, int]] = ()


@dataclass(frozen=True, slots=True)
class PassageVectors:
    """`vector` (dimensions,); `sentences` (s, dimensions): mean of the token outputs over each span, normalised."""

    vector: Vector
    sentences: Matrix


class Embedder(Protocol):
    """Turns text into unit vectors. `fingerprint` changes when vectors may; `max_tokens` includes special tokens."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def dimensions(self) -> int: ...
    @property
    def max_tokens(self) -> int: ...

    def token_spans(self, text: str) -> Sequence[tuple[int, int]]:
        """Character spans of the model's tokens of `text`, without special tokens and without truncation."""
        ...

    def embed_query(self, text: str) -> Vector: ...

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        """In the order given; long ones are truncated at `max_tokens`; batch results equal single results."""
        ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """`messages` are {"role", "content"}; `deadline` is a `time.monotonic()` value."""

    messages: Sequence[Mapping[str, str]]
    max_tokens: int
    deadline: float
    temperature: float = 0.0
    stop: tuple[str, ...] = ()


class CancelToken(Protocol):
    """Anything like `threading.Event`: the generator stops soon after it is set."""

    def is_set(self) -> bool: ...


class TokenSink(Protocol):
    """Receives text as it is generated, on the generator's thread."""

    def __call__(self, text: str, /) -> Any: ...


@dataclass(frozen=True, slots=True)
class Generated:
    text: str
    usage: Usage
    finish_reason: str  # stop | length | cancelled | deadline


class Generator(Protocol):
    """Writes text. Raises Overloaded at once when its queue is full, ModelError when the model cannot be used."""

    @property
    def name(self) -> str: ...
    @property
    def fingerprint(self) -> str: ...
    @property
    def context_tokens(self) -> int: ...

    def count_tokens(self, text: str) -> int: ...
    def generate(
        self, request: GenerationRequest, cancel: CancelToken, on_text: TokenSink | None = None
    ) -> Generated: ...
    def close(self) -> None: ...
