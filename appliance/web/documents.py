"""/documents and /collections: list, show, read, delete."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.errors import NotFound
from appliance.types import DocumentInfo, FieldInfo, MetadataValue, Role
from appliance.web.endpoint import Reply, endpoint, read_parameters, reply
from appliance.web.rooms import rooms


class DocumentsParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which documents: of one collection or of all, `limit` from the id `after` on."""

    collection: str | None = None
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100
    after: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0


class TextParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Characters `[start, end)` of the text; all of it when left out."""

    start: Annotated[int, Meta(ge=0)] = 0
    end: Annotated[int, Meta(ge=0)] | None = None


class DocumentBody(msgspec.Struct, frozen=True):
    """A document without its text. `added_at` in seconds since the epoch; pages, chunks, characters are counts."""

    id: int
    collection: str
    source: str
    title: str
    media_type: str
    sha256: str
    characters: int
    chunks: int
    pages: int
    metadata: dict[str, MetadataValue]
    added_at: float


class DocumentsBody(msgspec.Struct, frozen=True):
    """Documents by id; `next` is the value of `after` for those that follow, null at the end."""

    documents: list[DocumentBody]
    next: int | None


class TextBody(msgspec.Struct, frozen=True):
    """The canonical text that all offsets refer to: `text` is `[start, end)` of its `characters` characters."""

    id: int
    source: str
    title: str
    text: str
    start: int
    end: int
    characters: int


class DeletedBody(msgspec.Struct, frozen=True):
    """Ids of the documents that are gone."""

    deleted: list[int]


class CollectionBody(msgspec.Struct, frozen=True):
    """A collection and its counts; `version` grows with every change."""

    name: str
    version: int
    embedder: str
    dimensions: int
    documents: int
    chunks: int


class CollectionsBody(msgspec.Struct, frozen=True):
    """All collections."""

    collections: list[CollectionBody]


class FieldBody(msgspec.Struct, frozen=True):
    """A field of the metadata. `type` is text, number, date, boolean or list; `of` is the type of a list's elements.

    `documents` have it; `distinct`, `least` and `greatest` are of its values; `examples` are frequent ones.
    """

    name: str
    type: str
    of: str | None
    documents: int
    distinct: int
    least: str | float
    greatest: str | float
    examples: list[str]


class FieldsBody(msgspec.Struct, frozen=True):
    """The fields of one collection by name."""

    collection: str
    fields: list[FieldBody]


class DroppedBody(msgspec.Struct, frozen=True):
    """The collection that is gone."""

    dropped: str


def _document_body(info: DocumentInfo) -> DocumentBody:
    return DocumentBody(
        id=info.id,
        collection=info.collection,
        source=info.source,
        title=info.title,
        media_type=info.media_type,
        sha256=info.sha256,
        characters=info.characters,
        chunks=info.chunks,
        pages=info.pages,
        metadata=dict(info.metadata),
        added_at=info.added_at,
    )


def _known(document_id: int) -> int:
    """Raises NotFound for a number that no document can have."""
    if not 0 < document_id < 2**63:
        raise _unknown(document_id)
    return document_id


def _unknown(document_id: int) -> NotFound:
    shown = str(document_id)[:40]
    return NotFound(f"There is no document {shown}.", code="unknown_document", hint="GET /documents lists them.")


@get("/documents", opt=endpoint(Role.READER, "documents", parameters=DocumentsParameters, returns=DocumentsBody))
async def list_documents(request: Request[Any, Any, Any]) -> ASGIApp:
    """The documents, oldest first, a page at a time."""
    web = rooms(request)
    wanted = read_parameters(request, DocumentsParameters)
    documents = web.appliance.store.documents
    found = await web.desk.run(lambda: documents.list(wanted.collection, limit=wanted.limit, after=wanted.after))
    following = found[-1].id if len(found) == wanted.limit else None
    return reply(DocumentsBody([_document_body(info) for info in found], following))


@get("/documents/{document_id:int}", opt=endpoint(Role.READER, "documents", returns=DocumentBody))
async def show_document(request: Request[Any, Any, Any], document_id: FromPath[int]) -> ASGIApp:
    """One document, without its text."""
    web = rooms(request)
    wanted = _known(document_id)
    return reply(_document_body(await web.desk.run(lambda: web.appliance.store.documents.info(wanted))))


@get(
    "/documents/{document_id:int}/text",
    opt=endpoint(Role.READER, "documents", parameters=TextParameters, returns=TextBody),
)
async def document_text(request: Request[Any, Any, Any], document_id: FromPath[int]) -> ASGIApp:
    """The canonical text of a document, or characters `[start, end)` of it: where a citation points."""
    web = rooms(request)
    wanted = read_parameters(request, TextParameters)

    def encoded() -> bytes:
        document = web.appliance.store.documents.get(_known(document_id))
        size = len(document.text)
        start = min(wanted.start, size)
        end = size if wanted.end is None else max(start, min(wanted.end, size))
        text = document.text[start:end]
        return msgspec.json.encode(TextBody(document.id, document.source, document.title, text, start, end, size))

    return Reply(await web.desk.run(encoded))


@delete(
    "/documents/{document_id:int}",
    status_code=200,
    opt=endpoint(Role.EDITOR, "documents", returns=DeletedBody),
)
async def delete_document(request: Request[Any, Any, Any], document_id: FromPath[int]) -> ASGIApp:
    """Delete a document at once from the texts, both indexes and the answers."""
    web = rooms(request)
    gone = await web.desk.run(lambda: web.appliance.delete_documents([_known(document_id)]))
    if not gone:
        raise _unknown(document_id)
    return reply(DeletedBody(gone))


@get("/collections", opt=endpoint(Role.READER, "documents", returns=CollectionsBody))
async def list_collections(request: Request[Any, Any, Any]) -> ASGIApp:
    """The collections and how much is in them."""
    web = rooms(request)
    found = await web.desk.run(web.appliance.collections.all)
    return reply(
        CollectionsBody(
            [CollectionBody(c.name, c.version, c.embedder, c.dimensions, c.documents, c.chunks) for c in found]
        )
    )


@get("/collections/{name:str}/fields", opt=endpoint(Role.READER, "documents", returns=FieldsBody))
async def list_fields(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """What a filter can ask for: the fields of the documents' metadata, their types and values."""
    web = rooms(request)
    found = await web.upkeep.run(lambda: web.appliance.fields(name))
    return reply(FieldsBody(name, [_field_body(field) for field in found]))


def _field_body(field: FieldInfo) -> FieldBody:
    return FieldBody(
        name=field.name,
        type="list" if field.listed else field.type.value,
        of=field.type.value if field.listed else None,
        documents=field.documents,
        distinct=field.distinct,
        least=field.least,
        greatest=field.greatest,
        examples=list(field.examples),
    )


@delete("/collections/{name:str}", status_code=200, opt=endpoint(Role.ADMIN, "documents", returns=DroppedBody))
async def drop_collection(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """Delete a collection with everything in it."""
    web = rooms(request)
    await web.upkeep.run(lambda: web.appliance.drop_collection(name))
    return reply(DroppedBody(name))
