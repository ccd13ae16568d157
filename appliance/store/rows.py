"""How a document becomes rows and goes again. Every function runs inside the caller's transaction."""

import json
import time
from collections.abc import Iterable, Sequence
from itertools import accumulate, pairwise
from typing import TypeAlias

import apsw
import numpy as np

from appliance.errors import InvalidRequest
from appliance.store import collections, filters, fulltext, posting_rows, spaces
from appliance.store.collections import Collection
from appliance.store.database import fetch
from appliance.store.spaces import Space
from appliance.types import Ids, Matrix, NewDocument, SentenceVectors, Vector

# Chunk id, its vector (dimensions,), spans of its sentences, their vectors (s, dimensions).
VectorEntry: TypeAlias = tuple[int, Vector, Sequence[tuple[int, int]], Matrix]

INT8_SCALE = 127.0  # sentence vectors: cosines keep two digits at a quarter of float32's size


def put_document(connection: apsw.Connection, collection: Collection, new: NewDocument) -> tuple[int, Ids, Ids]:
    """Store a document with all that belongs to it in place of the one of the same source, whose id it keeps.

    Returns its id, its chunk ids and those of the version it replaced, all ascending. The caller gives the collection a
    new version. Raises InvalidRequest when values do not fit together.
    """
    _check(collection, new)
    known: int | None = connection.execute(
        "SELECT id FROM documents WHERE collection_id = ? AND source = ?", (collection.id, new.source)
    ).get
    removed = remove_documents(connection, collection.id, [] if known is None else [known])
    document_id = _insert_document(connection, collection, new, known)
    ids = _new_chunk_ids(connection, len(new.chunks))
    _insert_chunks(connection, collection, document_id, ids, new)
    collections.count(connection, collection.id, documents=1, chunks=len(ids))
    return document_id, ids, removed


def _insert_document(
    connection: apsw.Connection, collection: Collection, new: NewDocument, document_id: int | None
) -> int:
    values = (
        document_id,
        collection.id,
        new.source,
        new.read.title,
        new.read.media_type,
        new.sha256,
        len(new.read.text),
        len(new.chunks),
        json.dumps([(page.number, page.start, page.end) for page in new.read.pages]),
        json.dumps(dict(new.metadata), ensure_ascii=False),
        time.time(),
        new.read.text,
    )
    connection.execute(
        "INSERT INTO documents (id, collection_id, source, title, media_type, sha256, characters, chunks, pages, "
        "metadata, added_at, text) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        values,
    )
    stored_id = connection.last_insert_rowid()
    connection.executemany(
        "INSERT INTO metadata (document_id, field, text, number, listed) VALUES (?, ?, ?, ?, ?)",
        [(stored_id, *row) for row in filters.metadata_rows(new.metadata)],
    )
    return stored_id


def _new_chunk_ids(connection: apsw.Connection, count: int) -> Ids:
    """Ids that were never given out before (AUTOINCREMENT remembers the largest)."""
    last = last_chunk_id(connection)
    return np.arange(last + 1, last + 1 + count, dtype=np.int64)


def last_chunk_id(connection: apsw.Connection) -> int:
    """The largest chunk id ever given out, 0 before the first."""
    return int(connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'chunks'").get or 0)


def _insert_chunks(
    connection: apsw.Connection, collection: Collection, document_id: int, ids: Ids, new: NewDocument
) -> None:
    numbered = list(zip(ids.tolist(), new.chunks, strict=True))
    connection.executemany(
        'INSERT INTO chunks (id, document_id, collection_id, section, page, start, "end", tokens, text) '
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            (i, document_id, collection.id, s.section, s.page, s.start, s.end, s.tokens, s.text)
            for i, s in ((i, chunk.span) for i, chunk in numbered)
        ),
    )
    insert_vectors(
        connection,
        spaces.serving(connection, collection),
        ((i, chunk.vector, chunk.span.sentences, chunk.sentence_vectors) for i, chunk in numbered),
    )
    connection.executemany(
        f"INSERT INTO {fulltext.table(collection.id)} (rowid, title, section, text) VALUES (?, ?, ?, ?)",
        ((i, *fulltext.columns(new.read.title, new.source, c.span.section, c.span.text)) for i, c in numbered),
    )


def insert_vectors(connection: apsw.Connection, space: Space, entries: Iterable[VectorEntry]) -> None:
    """Store the vectors of chunks that are there, as the model of `space` made them."""
    stored = [
        (i, vector.astype("<f2").tobytes(), *sentence_blobs(sentences, matrix))
        for i, vector, sentences, matrix in entries
    ]
    connection.executemany(
        f"INSERT INTO {space.vectors} (chunk_id, vector) VALUES (?, ?)", ((i, vector) for i, vector, *_ in stored)
    )
    connection.executemany(
        f"INSERT INTO {space.sentences} (chunk_id, spans, vectors) VALUES (?, ?, ?)",
        ((i, spans, vectors) for i, _, spans, vectors in stored),
    )


def remove_documents(connection: apsw.Connection, collection_id: int, document_ids: Sequence[int]) -> Ids:
    """Delete documents with all that belongs to them; ids that are not in the collection are ignored.

    Returns their chunk ids, ascending. The caller gives the collection a new version.
    """
    removed: list[int] = []
    for document_id in document_ids:
        present = connection.execute(
            "SELECT 1 FROM documents WHERE id = ? AND collection_id = ?", (document_id, collection_id)
        ).get
        if present:
            removed += _remove_document(connection, collection_id, document_id)
    return np.array(sorted(removed), dtype=np.int64)


def _remove_document(connection: apsw.Connection, collection_id: int, document_id: int) -> list[int]:
    chunks = fetch(connection, "SELECT id FROM chunks WHERE document_id = ?", (document_id,))
    for table, column in (
        *((table, "chunk_id") for table in spaces.TABLES),
        (fulltext.table(collection_id), "rowid"),
        ("chunks", "id"),
    ):
        connection.executemany(f"DELETE FROM {table} WHERE {column} = ?", chunks)
    posting_rows.note_deleted(connection, collection_id, [chunk_id for (chunk_id,) in chunks])
    connection.execute("DELETE FROM metadata WHERE document_id = ?", (document_id,))
    connection.execute("DELETE FROM documents WHERE id = ?", (document_id,))
    collections.count(connection, collection_id, documents=-1, chunks=-len(chunks))
    return [chunk_id for (chunk_id,) in chunks]


def sentence_blobs(sentences: Sequence[tuple[int, int]], vectors: Matrix) -> tuple[bytes, bytes]:
    """(int32 spans, int8 vectors) as stored."""
    spans = np.array(sentences, dtype="<i4").reshape(-1, 2)
    return spans.tobytes(), np.clip(np.rint(vectors * INT8_SCALE), -127, 127).astype(np.int8).tobytes()


def read_sentences(spans: Sequence[bytes], vectors: Sequence[bytes]) -> list[SentenceVectors]:
    """The reverse of `sentence_blobs` for several chunks at once; vectors are normalised again."""
    pairs = np.frombuffer(b"".join(spans), dtype="<i4").reshape(-1, 2).astype(np.int32)
    numbers = np.frombuffer(b"".join(vectors), dtype=np.int8).astype(np.float32)
    matrix = normalised(numbers.reshape(len(pairs), -1 if len(pairs) else 0))
    ends = list(accumulate(len(one) // 8 for one in spans))  # two numbers of four bytes
    return [SentenceVectors(pairs[begin:end], matrix[begin:end]) for begin, end in pairwise([0, *ends])]


def read_vectors(blobs: Sequence[bytes], dimensions: int) -> Matrix:
    """(n, dimensions) float32 of stored float16 vectors, normalised."""
    halves = np.frombuffer(b"".join(blobs), dtype="<f2").reshape(len(blobs), dimensions)
    return normalised(halves.astype(np.float32))


def normalised(matrix: Matrix) -> Matrix:
    """Rows scaled to length 1 in place; a zero row stays zero."""
    lengths = np.sqrt(np.einsum("ij,ij->i", matrix, matrix))[:, None]
    np.divide(matrix, lengths, out=matrix, where=lengths > 0)
    return matrix


def _check(collection: Collection, new: NewDocument) -> None:
    """What the schema cannot say: vectors fit the collection, offsets cut the text they claim."""
    for chunk in new.chunks:
        span = chunk.span
        if new.read.text[span.start : span.end] != span.text:
            raise InvalidRequest(f"A chunk of {new.source!r} is not the text at its offsets.", code="invalid_chunk")
        if not _is_unit(chunk.vector, collection.dimensions):
            raise InvalidRequest(
                f"A chunk of {new.source!r} has no unit vector of {collection.dimensions} dimensions.",
                code="invalid_vector",
            )
        if chunk.sentence_vectors.shape != (len(span.sentences), collection.dimensions):
            raise InvalidRequest(f"A chunk of {new.source!r} lacks sentence vectors.", code="invalid_vector")


def _is_unit(vector: Vector, dimensions: int) -> bool:
    return vector.shape == (dimensions,) and abs(float(np.dot(vector, vector)) - 1.0) < 0.02
