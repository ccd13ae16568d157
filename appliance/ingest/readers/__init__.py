"""From bytes to ReadDocument, one file per format family.

Runs in the reading child only: see `appliance.ingest.sandbox`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from appliance.errors import DocumentError
from appliance.ingest import media_type as kinds
from appliance.ingest.readers.archive import Budget, Member, gzip_member, tar_members, zip_members
from appliance.ingest.readers.limits import ReaderLimits
from appliance.ingest.readers.source import SourceFile
from appliance.types import ReadDocument

# Media type -> module of this package and its function; loaded when first needed, so that text costs no more than text.
_READERS = {
    "text/plain": "text:read_plain",
    "text/markdown": "text:read_markdown",
    "text/html": "html:read_html",
    "text/csv": "tables:read_csv",
    "text/tab-separated-values": "tables:read_csv",
    "application/json": "structured:read_json",
    "application/x-ndjson": "structured:read_json",
    "application/xml": "structured:read_xml",
    "message/rfc822": "mail:read_message",
    "application/pdf": "pdf:read_pdf",
    "application/rtf": "rtf:read_rtf",
    kinds.EPUB: "epub:read_epub",
    kinds.PPTX: "presentation:read_pptx",
    kinds.ODT: "opendocument:read_opendocument",
    kinds.ODS: "opendocument:read_opendocument",
    kinds.ODP: "opendocument:read_opendocument",
    **dict.fromkeys((kinds.DOCX, kinds.XLSX, kinds.DOC, kinds.XLS, kinds.PPT, kinds.MSG), "office:read_office"),
}
_ARCHIVES = ("application/zip", "application/gzip", "application/x-tar", "application/mbox")


@dataclass(frozen=True, slots=True)
class Piece:
    """One document to be read, or the reason why one cannot be."""

    source: str
    data: bytes
    media_type: str
    error: DocumentError | None = None


def read(
    data: bytes | Path, source: str, media_type: str | None = None, limits: ReaderLimits | None = None
) -> ReadDocument:
    """One document. `source` is its name as the operator knows it; `media_type` overrides detection.

    Raises DocumentError.
    """
    limits = limits or ReaderLimits()
    data = load(data, limits) if isinstance(data, Path) else data
    kind = media_type or kinds.detect(data, source)
    return _reader(kind)(SourceFile(data, source, kind, limits))


def load(path: Path, limits: ReaderLimits) -> bytes:
    """Bytes of a regular file. Raises DocumentError too_large, unsupported (a device, a pipe) or unreadable."""
    try:
        if not path.is_file():
            raise DocumentError("not a regular file", code="unsupported", hint="Give a path to a file.")
        with path.open("rb") as stream:
            data = stream.read(limits.input_bytes + 1)
    except OSError as error:
        raise DocumentError(
            f"the file cannot be opened: {error.strerror}", hint="Check that it exists and may be read."
        ) from error
    if len(data) > limits.input_bytes:
        raise DocumentError(
            f"the file is larger than {limits.input_bytes:,} bytes",
            code="too_large",
            hint="Split it, or raise the limit on input.",
        )
    return data


def pieces(data: bytes, source: str, limits: ReaderLimits) -> Iterator[Piece]:
    """The documents in a file: itself, or the members of an archive, a mailbox or a message, at every depth."""
    yield from _pieces(data, source, limits, Budget.of(limits), 0)


def _pieces(data: bytes, source: str, limits: ReaderLimits, budget: Budget, depth: int) -> Iterator[Piece]:
    try:
        kind = kinds.detect(data, source)
    except DocumentError as error:
        yield Piece(source, b"", "", error)
        return
    if kind not in _ARCHIVES:
        yield Piece(source, data, kind)
        if kind != "message/rfc822":
            return
    try:
        if kind in _ARCHIVES and depth >= limits.depth:
            raise DocumentError(
                f"archives are nested deeper than {limits.depth}",
                code="nested_too_deep",
                hint="Unpack the inner archive on its own.",
            )
        for member in _members(data, source, kind, budget):
            inner = f"{source}!/{member.name}"
            if member.error:
                yield Piece(inner, b"", "", member.error)
            else:
                yield from _pieces(member.data, inner, limits, budget, depth + 1)
    except DocumentError as error:
        yield Piece(source, b"", kind, error)


def _members(data: bytes, source: str, kind: str, budget: Budget) -> Iterator[Member]:
    if kind == "application/zip":
        yield from zip_members(data, budget)
    elif kind == "application/gzip":
        budget.take_member()
        yield gzip_member(data, source, budget)
    elif kind == "application/x-tar":
        yield from tar_members(data, budget)
    else:
        from appliance.ingest.readers import mail

        parts = mail.mbox_messages(data) if kind == "application/mbox" else mail.attachments(data)
        for name, part in parts:
            budget.take_member()
            budget.take_bytes(len(part))
            yield Member(name, part)


def _reader(media_type: str) -> Callable[[SourceFile], ReadDocument]:
    if media_type.startswith("text/x-"):
        target = "text:read_code"
    elif media_type in _READERS:
        target = _READERS[media_type]
    else:
        raise DocumentError(f"no reader for {media_type}", code="unsupported", hint="Convert it to a supported format.")
    module, function = target.split(":")
    reader: Callable[[SourceFile], ReadDocument] = getattr(import_module(f"{__name__}.{module}"), function)
    return reader
