"""The file: a first line, records, and behind the last of them a signature (`seal`).

    rag-appliance pack 1
    record*         kind (1 byte), lengths of its packed, unpacked and raw part (8 bytes each), then the parts
    seal            text of a signature (see `trust`), its length (4 bytes), "SEALED\\n"

The packed part is msgpack, deflated; the raw part arrays that do not shrink. Records come in this order: one MANIFEST,
LISTING (every document of the state that the pack leads to), DOCUMENT (those that are new or changed), REMOVED, at most
one GRAPH, and one END.
"""

import struct
import zlib
from collections.abc import Iterator
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Protocol, TypeVar

import msgspec
from msgspec import Meta

from appliance.errors import InvalidRequest, NotFound
from appliance.types import Metadata

HEADER = b"rag-appliance pack 1\n"
MOST_PACKED = 256 * 1024**2  # bytes of one record, packed or unpacked
MOST_RAW = 1024**3
LISTED = 5_000  # documents of one LISTING or REMOVED record
_HEAD = struct.Struct("<BQQQ")
T = TypeVar("T")

Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Source = Annotated[str, Meta(min_length=1, max_length=8192)]
State = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class Kind(IntEnum):
    MANIFEST = 1
    LISTING = 2
    DOCUMENT = 3
    REMOVED = 4
    GRAPH = 5
    END = 6


class PackManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a pack is. `base` is the state it must be laid over (None: none), `state` the one it leads to; `documents`,
    `chunks` and `removed` are counts of its records, `indexed` that of the vectors in its graph (0: it has none),
    `made_at` seconds since the epoch.
    """

    collection: Annotated[str, Meta(pattern="^[a-z0-9][a-z0-9_-]{0,62}$")]
    embedder: Annotated[str, Meta(min_length=1, max_length=200)]
    embedder_name: Annotated[str, Meta(max_length=200)]
    dimensions: Annotated[int, Meta(ge=1, le=65_536)]
    base: State | None
    state: State
    documents: Count
    chunks: Count
    removed: Count
    indexed: Count
    program: Annotated[str, Meta(max_length=100)]
    made_at: float


class Listing(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Sources and the digests of their documents, 16 bytes each."""

    sources: Annotated[list[Source], Meta(max_length=LISTED)]
    digests: bytes


class Removed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sources: Annotated[list[Source], Meta(max_length=LISTED)]


class PackedChunk(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """`sentences` counts those of the chunk."""

    section: Annotated[str, Meta(max_length=100_000)]
    page: Count | None
    start: Count
    end: Count
    tokens: Count
    sentences: Count


class PackedDocument(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A document; the text of a chunk is `text[start:end]`. The raw part holds, for n chunks and s sentences,
    float16[n][dimensions] vectors, int32[s][2] spans and int8[s][dimensions] vectors of sentences.
    """

    source: Source
    sha256: Annotated[str, Meta(max_length=64)]
    title: Annotated[str, Meta(max_length=100_000)]
    media_type: Annotated[str, Meta(max_length=1_000)]
    text: str
    pages: list[tuple[Count, Count, Count]]
    metadata: Metadata
    chunks: list[PackedChunk]


class PackedGraph(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The links of an index (see `vectors.links`). The raw part holds, for n = `nodes` and u = `upper`, int32[n] places
    of their chunks among those of the pack, uint8[n] levels, uint32[n][1 + 2 M] and uint32[u][1 + M].
    """

    nodes: Count
    entry: Count
    upper: Count


class Ended(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The counts once more, as they were written."""

    documents: Count
    chunks: Count
    removed: Count


FORMS: dict[Kind, Any] = {
    Kind.MANIFEST: PackManifest,
    Kind.LISTING: Listing,
    Kind.DOCUMENT: PackedDocument,
    Kind.REMOVED: Removed,
    Kind.GRAPH: PackedGraph,
    Kind.END: Ended,
}


class Readable(Protocol):
    def read(self, count: int, /) -> bytes: ...


def write_record(file: BinaryIO, kind: Kind, value: msgspec.Struct, raw: bytes = b"") -> None:
    """Raises OSError."""
    plain = msgspec.msgpack.encode(value)
    packed = zlib.compress(plain, 1)
    file.write(_HEAD.pack(kind, len(packed), len(plain), len(raw)) + packed)
    file.write(raw)


def records(file: Readable) -> Iterator[tuple[msgspec.Struct, bytes]]:
    """(value, raw part) of each record up to END, each checked for its type and size before it is believed.

    Raises InvalidRequest (pack_damaged).
    """
    if file.read(len(HEADER)) != HEADER:
        raise damaged("it does not begin like one, or is of a newer version")
    expected = Kind.MANIFEST
    while True:
        kind, value, raw = _record(file)
        if kind < expected or (kind == Kind.MANIFEST) != (expected == Kind.MANIFEST):
            raise damaged("its records are out of order")
        expected = Kind(max(kind, Kind.LISTING))
        yield value, raw
        if kind == Kind.END:
            return


def _record(file: Readable) -> tuple[Kind, msgspec.Struct, bytes]:
    try:
        number, packed, plain, raw = _HEAD.unpack(file.read(_HEAD.size))
        kind = Kind(number)
    except (struct.error, ValueError) as error:
        raise damaged("it is cut off, or holds a record of an unknown kind") from error
    if max(packed, plain) > MOST_PACKED or raw > MOST_RAW or (raw and kind not in (Kind.DOCUMENT, Kind.GRAPH)):
        raise damaged("a record claims to be larger than any may be")
    value = _unpacked(_exactly(file, packed), plain, FORMS[kind])
    return kind, value, _exactly(file, raw)


def _unpacked(packed: bytes, size: int, form: type[T]) -> T:
    """Never more than `size` bytes are unpacked."""
    inflating = zlib.decompressobj()
    try:
        content = inflating.decompress(packed, size + 1)
        if len(content) != size or inflating.unconsumed_tail or not inflating.eof:
            raise damaged("a record is not of the size that it claims")
        return msgspec.msgpack.decode(content, type=form)
    except (zlib.error, msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeDecodeError) as error:
        raise damaged(f"a record cannot be read ({error})") from error


def _exactly(file: Readable, count: int) -> bytes:
    """In pieces, so that a claim of gigabytes costs no memory before the bytes are there."""
    pieces = []
    while count:
        piece = file.read(min(count, 1 << 20))
        if not piece:
            raise damaged("it is cut off")
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)


def read_manifest(path: Path) -> PackManifest:
    """Without looking at the seal. Raises NotFound (file_not_found), InvalidRequest (pack_damaged)."""
    with opened(path) as file:
        value, _ = next(records(file))
    assert isinstance(value, PackManifest)
    return value


def opened(path: Path) -> BinaryIO:
    """Raises NotFound (file_not_found)."""
    try:
        return path.open("rb")
    except OSError as error:
        hint = "The server reads the file itself: name a path on its host that its user may read."
        raise NotFound(f"{path} cannot be read: {error.strerror}.", code="file_not_found", hint=hint) from error


def damaged(why: str) -> InvalidRequest:
    hint = "Nothing was taken from it. Copy the file again, or let it be made again."
    return InvalidRequest(f"This pack cannot be used: {why}.", code="pack_damaged", hint=hint)
