"""A document as rows, as a record of a pack, and back again; nothing of a record is believed before it is checked."""

import math
from itertools import pairwise

import numpy as np

from appliance.errors import InvalidRequest
from appliance.packs import form
from appliance.packs.form import PackedChunk, PackedDocument
from appliance.store.exchange import WholeDocument
from appliance.types import ChunkSpan, EmbeddedChunk, Metadata, NewDocument, Page, ReadDocument

SPAN_BYTES = 8  # int32 start and end
INT8_SCALE = 127.0


def packed(document: WholeDocument) -> tuple[PackedDocument, bytes]:
    """A record and its raw part. Raises InvalidRequest for a document that no pack can hold."""
    counts = [len(spans) // SPAN_BYTES for spans in document.spans]
    made = PackedDocument(
        *(document.source, document.sha256, document.title, document.media_type, document.text),
        pages=document.pages,
        metadata=document.metadata,
        chunks=[PackedChunk(*chunk, count) for chunk, count in zip(document.chunks, counts, strict=True)],
    )
    raw = b"".join((document.vectors, *document.spans, *document.sentences))
    if len(raw) > form.MOST_RAW or 4 * len(document.text) > form.MOST_PACKED:
        message = f"{document.source!r} is too large for a pack."
        raise InvalidRequest(message, code="too_large_for_pack", hint="Split it, or delete it from the collection.")
    return made, raw


def unpacked(found: PackedDocument, raw: bytes, dimensions: int) -> NewDocument:
    """The document, ready to be stored. Raises InvalidRequest (pack_damaged) when its parts do not fit together."""
    _check(found)
    counts = [chunk.sentences for chunk in found.chunks]
    chunks, total = len(counts), sum(counts)
    if len(raw) != 2 * chunks * dimensions + total * (SPAN_BYTES + dimensions):
        raise form.damaged(f"the vectors of {found.source!r} are not of their size")
    vectors = np.frombuffer(raw, "<f2", chunks * dimensions).reshape(chunks, dimensions).astype(np.float32)
    at = 2 * chunks * dimensions
    spans = np.frombuffer(raw, "<i4", 2 * total, at).reshape(total, 2).tolist()
    sentences = np.frombuffer(raw, np.int8, total * dimensions, at + SPAN_BYTES * total).reshape(total, dimensions)
    cuts = pairwise(np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]).tolist())
    embedded = tuple(
        EmbeddedChunk(_span(found, chunk, spans[a:b]), vector, sentences[a:b].astype(np.float32) / INT8_SCALE)
        for chunk, vector, (a, b) in zip(found.chunks, vectors, cuts, strict=True)
    )
    pages = tuple(Page(*page) for page in found.pages)
    read = ReadDocument(found.title, found.media_type, found.text, pages=pages)
    return NewDocument(found.source, found.sha256, read, embedded, found.metadata)


def _check(found: PackedDocument) -> None:
    length = len(found.text)
    if any(not 0 <= start <= end <= length for _, start, end in found.pages):
        raise form.damaged(f"a page of {found.source!r} lies outside its text")
    if any(not 0 <= chunk.start <= chunk.end <= length for chunk in found.chunks):
        raise form.damaged(f"a chunk of {found.source!r} lies outside its text")
    if not _is_plain(found.metadata):
        raise form.damaged(f"the metadata of {found.source!r} holds a number that cannot be stored")


def _span(found: PackedDocument, chunk: PackedChunk, spans: list[list[int]]) -> ChunkSpan:
    text = found.text[chunk.start : chunk.end]
    if any(not 0 <= start <= end <= len(text) for start, end in spans):
        raise form.damaged(f"a sentence of {found.source!r} lies outside its chunk")
    sentences = tuple((start, end) for start, end in spans)
    return ChunkSpan(chunk.section, chunk.page, chunk.start, chunk.end, text, chunk.tokens, sentences)


def _is_plain(metadata: Metadata) -> bool:
    """Numbers that SQLite and JSON can hold; their types were checked when the record was read."""
    numbers = [value for value in metadata.values() if isinstance(value, int | float)]
    return all(math.isfinite(n) if isinstance(n, float) else -(2**63) <= n < 2**63 for n in numbers)
