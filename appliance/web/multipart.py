"""multipart/form-data (RFC 7578), file by file into the spool, never whole in memory."""

from collections.abc import Iterable, Iterator
from typing import Any

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from appliance.ingest.spool import UploadSpool
from appliance.web.endpoint import InvalidField

MAX_PARTS = 10_000
FIELD_BYTES = 256 * 1024
FIELDS = ("collection", "metadata")


def boundary_of(content_type: bytes) -> str:
    """The boundary of a multipart Content-Type. Raises InvalidField."""
    _, options = parse_options_header(content_type.decode("latin-1"))
    boundary = options.get("boundary", "")
    if not 1 <= len(boundary) <= 200:
        raise InvalidField("The Content-Type names no boundary.", "", hint="Let your HTTP client make the form.")
    return str(boundary)


def read_multipart(boundary: str, body: Iterable[bytes], upload: UploadSpool) -> dict[str, str]:
    """Give every file to `upload.add` as it comes; the text fields by name.

    Raises InvalidField for what is not such a form, and what `body` and `upload.add` raise.
    """
    fields: dict[str, str] = {}
    try:
        with PushMultipartParser(boundary, max_segment_count=MAX_PARTS) as parser:
            events = _events(parser, body)
            for segment in events:
                _take(segment, events, fields, upload)
    except ParserLimitReached:
        raise InvalidField(f"The form has more than {MAX_PARTS} parts or too long a header.", "") from None
    except MultipartError as error:
        raise InvalidField(f"The form is broken: {error}", "", code="invalid_form") from None
    return fields


def _events(parser: Any, body: Iterable[bytes]) -> Iterator[Any]:
    for piece in body:
        yield from parser.parse(piece)


def _take(segment: MultipartSegment, events: Iterator[Any], fields: dict[str, str], upload: UploadSpool) -> None:
    if segment.filename:
        upload.add(segment.filename, _payload(events))
        return
    if segment.filename == "":  # a file field that was left empty in a browser
        for _ in _payload(events):
            pass
        return
    if segment.name not in FIELDS:
        hint = f"Fields are {', '.join(FIELDS)}; a file needs a file name."
        raise InvalidField(f"There is no such field `{segment.name[:80]}`.", segment.name[:80], hint=hint)
    if segment.name in fields:
        raise InvalidField(f"The field `{segment.name}` is there twice.", segment.name)
    fields[segment.name] = _text(segment.name, _payload(events))


def _payload(events: Iterator[Any]) -> Iterator[bytes]:
    """The pieces of one part, up to its end."""
    for piece in events:
        if piece is None:
            return
        yield bytes(piece)


def _text(name: str, pieces: Iterator[bytes]) -> str:
    found = bytearray()
    for piece in pieces:
        found += piece
        if len(found) > FIELD_BYTES:
            raise InvalidField(f"The field `{name}` is longer than {FIELD_BYTES} bytes.", name)
    try:
        return found.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise InvalidField(f"The field `{name}` is not UTF-8.", name) from None
