"""Word, Excel and the older Office formats, RTF and Outlook messages, through kreuzberg's document structure."""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, clean_metadata
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.tables import write_table
from appliance.types import MetadataValue, ReadDocument

Node = Mapping[str, Any]

_METADATA = {
    "authors": "author", "created_at": "created", "modified_at": "modified", "subject": "subject",
    "keywords": "keywords", "language": "language", "description": "description", "page_count": "page_count",
    "from_email": "from", "to_emails": "to", "cc_emails": "cc", "message_id": "message_id",
    "attachments": "attachments", "sheet_names": "sheets", "organization": "organization", "category": "category",
}  # fmt: skip
_MARKS = re.compile(r"\*{1,3}(?=\S)([^*\n]+?)(?<=\S)\*{1,3}|~~([^~\n]+)~~|</?u>")
_TORN = re.compile(
    r"(?i)zip|eocd|formaterror|invalid pdf|truncat|unexpected e(nd|of)|cfb|ole|corrupt|malformed|xml|parsing failed"
)
_ENCRYPTED = re.compile(r"(?i)password|encrypt")
_TABLE_MAX_COLUMNS = 2000


def read_office(file: SourceFile) -> ReadDocument:
    """Raises DocumentError encrypted, torn or unreadable as kreuzberg reports it, no_text when nothing was found."""
    result = extract(file, output_format="plain")
    draft = file.draft()
    nodes = list((result.document or {}).get("nodes", ()))
    write_nodes(draft, [node for node in nodes if node.get("content_layer") not in ("header", "footer")])
    if not len(draft):
        draft.paragraph(result.content)
    seen: set[str] = set()
    for node in nodes:
        text = (node["content"].get("text") or "").strip()
        if node.get("content_layer") in ("header", "footer") and text not in seen and not text.isdigit():
            seen.add(text)
            draft.paragraph(text)
    fields = metadata_of(result.metadata)
    title = str(result.metadata.get("title") or "")
    if "from" in fields:
        title = str(fields.get("subject", ""))
    return draft.build(file.name, file.media_type, fields, title)


def extract(file: SourceFile, output_format: str, *, pages: bool = False) -> Any:
    """kreuzberg's result for one file, without OCR, cache or network. Raises DocumentError."""
    import kreuzberg

    config = kreuzberg.ExtractionConfig(
        use_cache=False,
        enable_quality_processing=False,
        include_document_structure=True,
        pages=kreuzberg.PageConfig(extract_pages=True) if pages else None,
        concurrency=kreuzberg.ConcurrencyConfig(max_threads=1),
        output_format=output_format,
    )
    try:
        return kreuzberg.extract_bytes_sync(file.data, file.media_type, config=config)
    except kreuzberg.KreuzbergError as error:
        raise _document_error(str(error)) from error


def _document_error(message: str) -> DocumentError:
    message = message.partition(": ")[2][:300] or message[:300]
    if _ENCRYPTED.search(message):
        return DocumentError("the document is encrypted", code="encrypted", hint="Save it without a password first.")
    if _TORN.search(message):
        return DocumentError(
            f"the document is cut off or damaged: {message}", code="torn", hint="Copy it again from its origin."
        )
    return DocumentError(
        f"the document cannot be read: {message}", hint="Save it again with its application, or as PDF."
    )


def metadata_of(found: Mapping[str, Any]) -> dict[str, MetadataValue]:
    """kreuzberg's metadata under the appliance's names."""
    fields = {name: found[key] for key, name in _METADATA.items() if found.get(key)}
    if "from" in fields and "created" in fields:
        fields["date"] = fields.pop("created")
    return clean_metadata(fields)


def write_nodes(draft: Draft, nodes: Iterable[Node]) -> None:
    """Appends the nodes of a document structure; containers are passed over, their children follow in the list."""
    for node in nodes:
        content = node["content"]
        kind = content["node_type"]
        text = content.get("text") or ""
        if kind in ("heading", "title"):
            draft.heading(text, int(content.get("level") or 1))
        elif kind == "list_item":
            draft.item(text)
        elif kind == "code":
            draft.code(text)
        elif kind == "table":
            write_table(draft, grid_rows(content.get("grid") or {}))
        elif kind == "image":
            draft.paragraph(content.get("description") or "")
        elif kind == "metadata_block":
            entries = [(key, value) for key, value in content.get("entries") or () if value]
            draft.paragraph("\n".join(f"{key}: {value}" for key, value in entries))
        elif text:
            for part in re.split(r"(?:\r?\n[^\S\n]*){2,}", text):
                draft.paragraph(part)


def grid_rows(grid: Mapping[str, Any]) -> Iterator[list[str]]:
    """Rows of a table grid, without the marks of emphasis that kreuzberg leaves in cells."""
    row: list[str] = []
    current = 0
    for cell in sorted(grid.get("cells", ()), key=lambda cell: (cell["row"], cell["col"])):
        while current < cell["row"]:
            yield row
            row, current = [], current + 1
        row.extend([""] * (min(cell["col"], _TABLE_MAX_COLUMNS) - len(row)))
        row.append(_MARKS.sub(lambda match: match[1] or match[2] or "", cell["content"]).strip(" |"))
    yield row
