"""The first step of an erasure: one transaction after which the documents are gone for good, whatever happens."""

import secrets
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from appliance.erasure.needles import NeedleMaker
from appliance.erasure.plan import ErasedDocument, Plan, encode_plan, salted
from appliance.errors import InvalidRequest, NotFound
from appliance.faults import reached
from appliance.ingest.forgetting import without
from appliance.store import Store, collections, erasures
from appliance.store.compaction import check_room
from appliance.store.erasures import Connection, ErasureRow, Target
from appliance.store.stored_content import StoredDocument, stored_document

MOST_DOCUMENTS = 10_000  # of one erasure


@dataclass(frozen=True, slots=True)
class EraseRequest:
    """What to erase: documents by id, those of a `source` (in one `collection` or all), and with `leftovers` whatever
    earlier deletions and replaced versions left behind. `backups`: also remove the data directory's own backups.
    """

    ids: tuple[int, ...] = ()
    source: str | None = None
    collection: str | None = None
    leftovers: bool = False
    backups: bool = False


def begin(store: Store, request: EraseRequest) -> tuple[ErasureRow, Plan]:
    """Remove the documents durably and note what is left to do.

    Raises InvalidRequest (nothing_to_erase, too_many_documents), NotFound, Conflict (being_ingested), DiskFull
    (erase_needs_room; then nothing was changed), StorageError.
    """
    if not request.ids and not request.source and not request.leftovers:
        raise InvalidRequest(
            "There is nothing to erase.",
            code="nothing_to_erase",
            hint="Name documents by id, a source, or ask for what earlier deletions left.",
        )
    check_room(store.database.path)
    with store.database.write() as connection:
        wanted = _targets(connection, request)
        ids = sorted({target.document_id for target in wanted if target.document_id is not None})
        salt = secrets.token_hex(16)
        maker, erased = _needles(connection, ids, request, salt)
        removed = erasures.remove(connection, wanted, without)
        plan = Plan(
            salt=salt,
            leftovers=request.leftovers,
            documents=tuple(erased),
            missing=tuple(sorted(set(request.ids) - set(ids))),
            source_digest=salted(salt, request.source) if request.source else None,
            collections=_collections(connection, request, wanted),
            chunk_ids={name: ids.tolist() for name, ids in removed.chunk_ids.items()},
            spooled=removed.spooled,
            removed=removed.counts,
            backups=request.backups,
        )
        row = ErasureRow(
            0, uuid.uuid4().hex, time.time(), None, "removed", encode_plan(plan), maker.made().encode(), None, None
        )
        erasures.insert(connection, row)
        reached("erase.rows_removed")
    reached("erase.committed")
    return row, plan


def _targets(connection: Connection, request: EraseRequest) -> list[Target]:
    if request.collection is not None:
        collections.require(connection, request.collection)
    wanted = erasures.targets(connection, request.ids)
    if request.ids and not wanted:
        raise NotFound(
            f"There is no document {request.ids[0]}.",
            code="unknown_document",
            hint="It may have been deleted: erase its source, or what earlier deletions left.",
        )
    if request.source:
        wanted += erasures.targets_of_source(connection, request.source, request.collection)
    if len(wanted) > MOST_DOCUMENTS:
        raise InvalidRequest(
            f"{len(wanted):,} documents are more than one erasure takes ({MOST_DOCUMENTS:,}).",
            code="too_many_documents",
            hint="Erase some of them first.",
        )
    return wanted


def _needles(
    connection: Connection, ids: Sequence[int], request: EraseRequest, salt: str
) -> tuple[NeedleMaker, list[ErasedDocument]]:
    sizes = [_size(connection, document_id) for document_id in ids]
    maker = NeedleMaker(secrets.token_bytes(32), sum(size for size, _ in sizes), sum(chunks for _, chunks in sizes))
    if request.source:
        maker.add_name(request.source)
    erased = []
    for document_id, (_, chunks) in zip(ids, sizes, strict=True):
        document = stored_document(connection, document_id)
        maker.add(document)
        maker.add_terms(document.terms())
        erased.append(_erased(document, chunks, salt))
    return maker, erased


def _size(connection: Connection, document_id: int) -> tuple[int, int]:
    """(bytes of its text at most, chunks)."""
    sql = "SELECT length(CAST(text AS BLOB)), chunks FROM documents WHERE id = ?"
    size, chunks = connection.execute(sql, (document_id,)).fetchall()[0]
    return int(str(size)), int(str(chunks))


def _erased(document: StoredDocument, chunks: int, salt: str) -> ErasedDocument:
    return ErasedDocument(
        document.id,
        document.collection,
        salted(salt, document.source),
        salted(salt, document.sha256),
        len(document.text),
        chunks,
    )


def _collections(connection: Connection, request: EraseRequest, wanted: Sequence[Target]) -> tuple[str, ...]:
    """Whose indexes and cached answers are to be cleaned."""
    if request.leftovers and request.collection is None:
        return tuple(collection.name for collection in collections.find_all(connection))
    named = {request.collection} if request.collection is not None else set()
    return tuple(sorted(named | {target.collection for target in wanted}))
