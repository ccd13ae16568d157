"""One transaction for documents and for what the ledger of ingestion says of them: they can never disagree."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import apsw
import numpy as np

from appliance.faults import reached
from appliance.store import collections, job_rows, rows
from appliance.store.collections import Collection
from appliance.store.database import Database
from appliance.store.job_rows import Settled, TaskRow
from appliance.types import Ids, NewDocument


@dataclass(frozen=True, slots=True)
class Intake:
    """A file that was dealt with: what to say of it, its documents, and the ids of those it no longer holds."""

    settled: Settled
    documents: Sequence[NewDocument] = ()
    stale: Sequence[int] = ()


@dataclass(frozen=True, slots=True)
class IntakeResult:
    """What an index must learn: chunk ids, ascending, in the order of the documents given; and those that are gone."""

    added: Ids
    removed: Ids


def take_in(database: Database, task: TaskRow, intakes: Sequence[Intake], embedder: str) -> IntakeResult:
    """Store the documents of `intakes`, drop the stale ones and settle the files: all of it durable, or none.

    `embedder` is the fingerprint of the model that made their vectors. Raises StorageError, DiskFull, NotFound
    (collection), Conflict (its vectors are of another model), InvalidRequest (a document that does not fit together).
    """
    with database.write() as connection:
        collection = collections.require(connection, task.collection)
        collections.check_embedder(collection, embedder, collection.dimensions)
        added, removed = _store(connection, collection, intakes)
        gone = [document_id for intake in intakes for document_id in intake.stale]
        removed.append(rows.remove_documents(connection, collection.id, gone))
        result = IntakeResult(_joined(added), np.sort(_joined(removed)))
        if added or gone:
            collections.changed(connection, collection.id)
        settled = [intake.settled for intake in intakes]
        job_rows.settle(connection, task, settled, time.time())
        reached("ingest.rows_written")
    return result


def take_out(database: Database, task: TaskRow, documents: Sequence[tuple[str, int]]) -> Ids:
    """Remove documents (source, id) whose files are gone; returns their chunk ids.

    Raises StorageError, DiskFull, NotFound (collection).
    """
    with database.write() as connection:
        collection = collections.require(connection, task.collection)
        removed = rows.remove_documents(connection, collection.id, [document_id for _, document_id in documents])
        collections.changed(connection, collection.id)
        job_rows.count_removed(connection, task, [source for source, _ in documents])
    return removed


def unchanged(database: Database, collection: str, source: str, sha256: str, version: str) -> bool:
    """Whether this very file was taken in by this very version and all its documents are still there."""
    with database.read() as connection:
        expected = connection.execute(
            "SELECT documents FROM ingested_files WHERE collection = ? AND source = ? AND sha256 = ? AND version = ?",
            (collection, source, sha256, version),
        ).get
    return expected is not None and expected == len(documents_of(database, collection, source))


def documents_of(database: Database, collection: str, source: str) -> dict[str, int]:
    """source -> id of the documents made of one file: itself, or its members when it is an archive."""
    with database.read() as connection:
        found: list[Any] = connection.execute(
            "SELECT d.source, d.id FROM documents d JOIN collections c ON c.id = d.collection_id WHERE c.name = ?1 "
            "AND (d.source = ?2 OR (d.source >= ?2 || '!/' AND d.source < ?2 || '!0'))",
            (collection, source),
        ).fetchall()
    return dict(found)


def _store(
    connection: apsw.Connection, collection: Collection, intakes: Sequence[Intake]
) -> tuple[list[Ids], list[Ids]]:
    """-> (chunk ids of each document, chunk ids each replaced)."""
    added: list[Ids] = []
    removed: list[Ids] = []
    for intake in intakes:
        for new in intake.documents:
            _, chunks, replaced = rows.put_document(connection, collection, new)
            added.append(chunks)
            removed.append(replaced)
    return added, removed


def _joined(parts: Sequence[Ids]) -> Ids:
    return np.concatenate([np.empty(0, dtype=np.int64), *parts])
