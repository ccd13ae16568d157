"""POST /ingest: files as multipart, a folder of this host, or a text. Files go to the spool as they come."""

import asyncio
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any

import msgspec
from litestar import Request, post
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.config import Settings
from appliance.errors import Forbidden, InvalidRequest
from appliance.ingest.spec import IngestSpec, TaskStatus
from appliance.types import MetadataValue, Principal, Role
from appliance.web.endpoint import (
    ClientGone,
    InvalidField,
    Receive,
    Reply,
    UnsupportedMediaType,
    body_too_large,
    endpoint,
    header,
    invalid_field,
    read_json,
)
from appliance.web.guards import principal_of
from appliance.web.multipart import boundary_of, read_multipart
from appliance.web.rooms import Rooms, rooms

TEXT_BODY = 32 * 1024**2  # bytes of a JSON body; larger texts come as files
FORM_BYTES = 4 * 1024**2  # what the form itself may add to its files
IDLE_S = 60.0  # an upload that sends nothing for this long is given up

MetadataBody = dict[Annotated[str, Meta(min_length=1, max_length=100)], MetadataValue]
Name = Annotated[str, Meta(min_length=1, max_length=1000)]


class IngestDirectory(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A folder (or file) of this host.

    `sync` removes documents whose files are gone; `label` replaces the folder's path in the names of its documents.
    """

    directory: Name
    collection: str = "default"
    sync: bool = False
    metadata: MetadataBody = {}
    label: Annotated[str, Meta(min_length=1, max_length=200)] | None = None


class IngestText(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A text and the name it is to be known by; the same `source` again replaces it."""

    text: str
    source: Name
    collection: str = "default"
    metadata: MetadataBody = {}


class IngestFiles(msgspec.Struct, frozen=True):
    """multipart/form-data: any number of files in parts of any name, and these two parts."""

    collection: str = "default"
    metadata: Annotated[str, Meta(description="A JSON object.")] = "{}"


class Accepted(msgspec.Struct, frozen=True):
    """The task is durable; `status_url` tells how it goes."""

    task_id: str
    status: str
    status_url: str


class _Either(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """All fields of both JSON forms, to say which one is meant."""

    directory: Any = None
    text: Any = None
    source: Any = None
    collection: Any = None
    sync: Any = None
    metadata: Any = None
    label: Any = None


@post(
    "/ingest",
    status_code=202,
    opt=endpoint(
        Role.EDITOR,
        "ingestion",
        body=(IngestDirectory, IngestText),
        returns=Accepted,
        status=202,
        accepts=("application/json", "multipart/form-data"),
    ),
)
async def ingest(request: Request[Any, Any, Any]) -> ASGIApp:
    """Take documents in: 202 as soon as the task is durable.

    Folders are for admins, or for editors below the setting ingest_roots.
    """
    web = rooms(request)
    kind = header(request.scope, b"content-type")
    if kind.lower().startswith(b"multipart/form-data"):
        accepted = await _from_upload(request, web, kind)
    elif kind.lower().startswith(b"application/json"):
        accepted = await _from_json(request, web)
    else:
        raise UnsupportedMediaType(
            "This route takes application/json or multipart/form-data.",
            hint="Send files as a form (curl -F file=@name), or JSON with `directory`, or with `text` and `source`.",
        )
    body = Accepted(accepted.id, accepted.state.value, f"/tasks/{accepted.id}")
    return Reply(msgspec.json.encode(body), 202, headers=[(b"location", body.status_url.encode())])


async def _from_json(request: Request[Any, Any, Any], web: Rooms) -> TaskStatus:
    raw: msgspec.Raw = await read_json(request, msgspec.Raw, TEXT_BODY)
    either = _decoded(raw, _Either)
    if (either.directory is None) == (either.text is None):
        raise InvalidField("Send `directory`, or `text` with `source`; one of the two.", "directory")
    if either.directory is not None:
        wanted = _decoded(raw, IngestDirectory)
        principal = principal_of(request.scope)
        return await web.desk.run(lambda: web.appliance.ingestion.submit(_folder_spec(wanted, principal, web)))
    text = _decoded(raw, IngestText)
    return await web.desk.run(lambda: _submit_text(text, web))


def _decoded(raw: msgspec.Raw, wanted: type[msgspec.Struct]) -> Any:
    try:
        return msgspec.json.decode(raw, type=wanted)
    except msgspec.ValidationError as error:
        raise invalid_field(error, wanted) from None


def _folder_spec(wanted: IngestDirectory, principal: Principal, web: Rooms) -> IngestSpec:
    folder = _allowed_folder(wanted.directory, principal, web.appliance.settings)
    return IngestSpec(
        collection=wanted.collection,
        directory=folder,
        sync=wanted.sync,
        metadata=wanted.metadata,
        label=wanted.label,
    )


def _allowed_folder(directory: str, principal: Principal, settings: Settings) -> Path:
    """The folder as an absolute path.

    Raises InvalidRequest, Forbidden: an editor may name only what lies, links followed, below a configured root.
    """
    if "\0" in directory or not os.path.isabs(directory):  # noqa: PTH117 - before it is made a Path
        raise InvalidField("`directory` must be an absolute path on the appliance's host.", "directory")
    path = Path(os.path.normpath(directory))
    if principal.role is not Role.ADMIN:
        real = path.resolve()
        if not any(real.is_relative_to(root.expanduser().resolve()) for root in settings.ingest_roots):
            raise Forbidden(
                "Editors may ingest folders only below the setting ingest_roots.",
                code="folder_not_allowed",
                hint="Upload the files, use a folder below ingest_roots, or ask an admin.",
            )
    return path


def _submit_text(wanted: IngestText, web: Rooms) -> TaskStatus:
    upload = web.appliance.ingestion.new_upload()
    try:
        upload.add(wanted.source, [wanted.text.encode("utf-8")])
        spec = IngestSpec(collection=wanted.collection, files=upload.files, metadata=wanted.metadata)
        return web.appliance.ingestion.submit(spec)
    except BaseException:
        upload.discard()
        raise


async def _from_upload(request: Request[Any, Any, Any], web: Rooms, kind: bytes) -> TaskStatus:
    limit = web.appliance.settings.upload_bytes + FORM_BYTES
    length = header(request.scope, b"content-length")
    if length.isdigit() and int(length) > limit:
        raise body_too_large(limit)
    boundary = boundary_of(kind)
    loop = asyncio.get_running_loop()
    return await web.uploads.run(lambda: _spooled(web, boundary, _parts_of_body(request, loop), limit))


def _parts_of_body(request: Request[Any, Any, Any], loop: asyncio.AbstractEventLoop) -> Callable[[], bytes]:
    """A function for the spooling thread: the next piece of the body, empty at its end. The sender waits for us."""
    ended = False

    def following() -> bytes:
        nonlocal ended
        if ended:
            return b""
        future = asyncio.run_coroutine_threadsafe(_received(request.receive), loop)
        try:
            message = future.result(IDLE_S)
        except TimeoutError:
            future.cancel()
            raise InvalidRequest(
                f"Nothing came for {IDLE_S:g} s.", code="upload_stalled", hint="Send it again."
            ) from None
        if message["type"] == "http.disconnect":
            raise ClientGone("The caller left before the upload was complete.")
        ended = not message.get("more_body", False)
        body: bytes = message.get("body", b"")
        return body if body or ended else following()

    return following


async def _received(receive: Receive) -> Any:
    return await receive()


def _spooled(web: Rooms, boundary: str, following: Callable[[], bytes], limit: int) -> TaskStatus:
    """Spool every file of the form, then submit; what was spooled goes away when anything fails."""
    ingestion = web.appliance.ingestion
    upload = ingestion.new_upload()
    try:
        fields = read_multipart(boundary, _bounded(following, limit), upload)
        if not upload.files:
            raise InvalidField("The form has no file.", "file", hint="Send each file as a part with a file name.")
        collection = fields.get("collection") or "default"
        metadata = _metadata(fields.get("metadata", ""))
        return ingestion.submit(IngestSpec(collection=collection, files=upload.files, metadata=metadata))
    except BaseException:
        upload.discard()
        raise


def _bounded(following: Callable[[], bytes], limit: int) -> Iterator[bytes]:
    size = 0
    while piece := following():
        size += len(piece)
        if size > limit:
            raise body_too_large(limit)
        yield piece


def _metadata(given: str) -> dict[str, MetadataValue]:
    if not given:
        return {}
    try:
        found: dict[str, MetadataValue] = msgspec.convert(json.loads(given), MetadataBody)
    except msgspec.ValidationError as error:
        inner = invalid_field(error, MetadataBody)
        raise InvalidField(f"metadata: {inner}", ".".join(part for part in ("metadata", inner.field) if part)) from None
    except (ValueError, RecursionError) as error:
        raise InvalidField(f"`metadata` is not a JSON object: {error}", "metadata") from None
    return found
