"""JSON, JSON lines and XML (articles in JATS, and any other) as readable lines."""

import json
import re
from collections.abc import Iterator
from typing import Any
from xml.etree import ElementTree

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, canonical, clean_metadata, words
from appliance.ingest.readers.encoding import text_or_refuse
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.tables import write_table
from appliance.types import MetadataValue, ReadDocument

_SPACES = re.compile(r"\s+")
_TITLES = ("title", "name", "heading", "subject", "headline")
_MAX_NESTING = 200
# JATS (Journal Article Tag Suite, NISO Z39.96) and DocBook: elements that hold running text, and those to skip.
_PROSE = words(
    "p para simpara title subtitle article-title label caption abstract td th entry list-item listitem disp-quote "
    "verse-line term def mixed-citation element-citation"
)
_SKIPPED = words(
    "journal-meta article-id article-categories permissions counts custom-meta-group ref-list pub-date history "
    "tex-math object-id contrib-group author-notes aff funding-group volume issue elocation-id fpage lpage "
    "alt-title"
)


def read_json(file: SourceFile) -> ReadDocument:
    """Scalars as `key: value` lines; a list of flat objects becomes table rows.

    `title`-like keys of objects become headings.
    """
    text = canonical(text_or_refuse(file.data, file.name))
    draft = file.draft()
    try:
        if file.media_type == "application/x-ndjson":
            records = [json.loads(line) for line in text.split("\n") if line.strip()]
            _write_json(draft, records, "", 0)
        else:
            value = json.loads(text)
            if isinstance(value, dict) and isinstance(value.get("cells"), list) and "nbformat" in value:
                return _read_notebook(file, value)
            _write_json(draft, value, "", 0)
    except json.JSONDecodeError as error:
        raise DocumentError(
            f"not valid JSON: {error}", code="torn", hint="Correct the file; the position is in the message."
        ) from error
    except RecursionError as error:
        raise DocumentError("the JSON is nested too deep", code="nested_too_deep", hint="Flatten the file.") from error
    return draft.build(file.name, file.media_type)


def _write_json(draft: Draft, value: Any, path: str, depth: int) -> None:
    if depth > _MAX_NESTING:
        raise DocumentError("the JSON is nested too deep", code="nested_too_deep", hint="Flatten the file.")
    if isinstance(value, dict):
        _write_object(draft, value, path, depth)
    elif isinstance(value, list):
        if value and all(isinstance(item, dict) for item in value) and all(map(_flat, value)):
            for item in value:
                draft.row("; ".join(f"{key}: {_scalar(part)}" for key, part in item.items() if _scalar(part)))
        else:
            for item in value:
                _write_json(draft, item, path, depth + 1)
    elif text := _scalar(value):
        draft.item(f"{path}: {text}" if path else text)


def _write_object(draft: Draft, value: dict[str, Any], path: str, depth: int) -> None:
    title = next((key for key in _TITLES if isinstance(value.get(key), str) and 0 < len(value[key]) <= 200), "")
    if title and not _flat(value):
        draft.heading(value[title], min(depth + 1, 6))
    elif depth < 3 and not _flat(value) and path:
        draft.heading(path, min(depth + 1, 6))
    for key, part in value.items():
        if key == title and not _flat(value):
            continue
        name = f"{path}.{key}" if path and _flat(value) else str(key)
        if isinstance(part, str) and len(part) > 200:
            draft.paragraph(f"{name}: {part}")
        else:
            _write_json(draft, part, name, depth + 1)


def _flat(value: dict[str, Any]) -> bool:
    return not any(
        isinstance(part, dict) or (isinstance(part, list) and any(map(_nested, part))) for part in value.values()
    )


def _nested(value: Any) -> bool:
    return isinstance(value, dict | list)


def _scalar(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(filter(None, map(_scalar, value)))
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)


def _read_notebook(file: SourceFile, notebook: dict[str, Any]) -> ReadDocument:
    """A Jupyter notebook: Markdown cells as Markdown, code cells as code; outputs are left out."""
    from appliance.ingest.readers.text import write_markdown

    draft = file.draft()
    for cell in notebook["cells"]:
        source = cell.get("source", "") if isinstance(cell, dict) else ""
        text = "".join(map(str, source)) if isinstance(source, list) else str(source)
        if isinstance(cell, dict) and cell.get("cell_type") == "code":
            draft.code(text)
        else:
            write_markdown(draft, text)
    return draft.build(file.name, file.media_type)


def read_xml(file: SourceFile) -> ReadDocument:
    """XML as its running text.

    External entities are never fetched; declared entities are not expanded beyond expat's own limit.
    """
    root = parse_xml(file.data, file.name)
    draft = file.draft()
    fields = _jats_fields(root) if local(root.tag) == "article" else {}
    title = _own_title(root)
    if title and fields:
        draft.heading(title, 1)
        draft.paragraph(", ".join(_authors(root)))
    _XmlWriter(draft, title if fields else "").write(root, 0)
    return draft.build(file.name, file.media_type, clean_metadata(fields), title)


def parse_xml(data: bytes, name: str) -> ElementTree.Element:
    """Raises DocumentError torn when it is not well-formed, unsupported when it declares entities of its own."""
    if b"<!ENTITY" in data[:100_000] or "<!ENTITY".encode("utf-16-le") in data[:100_000]:
        raise DocumentError(
            f"{name} declares XML entities",
            code="unsupported",
            hint="Save it without a document type that defines entities.",
        )
    try:
        return ElementTree.fromstring(data)
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise DocumentError(
            f"{name} is not well-formed XML: {error}", code="torn", hint="Check that the file is complete."
        ) from error


def local(tag: object) -> str:
    """A tag without its namespace; comments and instructions have none."""
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""


def inner_text(element: ElementTree.Element) -> str:
    """All text inside, on one line."""
    return _SPACES.sub(" ", "".join(element.itertext())).strip()


class _XmlWriter:
    """Depth-first over elements.

    An element with text of its own, or that is known to hold prose, becomes one block.
    """

    def __init__(self, draft: Draft, title: str) -> None:
        self._draft = draft
        self._title = title

    def write(self, element: ElementTree.Element, depth: int) -> None:
        tag = local(element.tag)
        if not tag or tag in _SKIPPED:
            return
        if depth > _MAX_NESTING:
            raise DocumentError("the XML is nested too deep", code="nested_too_deep", hint="Flatten the file.")
        if tag in ("table", "informaltable") and (rows := list(_rows(element))):
            write_table(
                self._draft, rows, header_known=any(local(cell.tag) in ("th", "thead") for cell in element.iter())
            )
        elif tag == "caption":
            self._draft.paragraph(" ".join(filter(None, map(inner_text, element))) or inner_text(element))
        elif _is_prose(element, tag):
            self._prose(element, tag, depth)
        else:
            for child in element:
                self.write(child, depth + (tag in ("sec", "section", "chapter", "app", "body")))

    def _prose(self, element: ElementTree.Element, tag: str, depth: int) -> None:
        text = inner_text(element)
        if tag in ("title", "article-title") and text:
            if text != self._title:
                self._draft.heading(text, min(depth + 1, 6))
        elif tag in ("list-item", "listitem"):
            self._draft.item(text)
        elif tag in _PROSE or len(element):
            self._draft.paragraph(text)
        else:
            self._draft.item(f"{tag}: {text}" if text else "")


def _is_prose(element: ElementTree.Element, tag: str) -> bool:
    if tag in ("caption", "abstract", "td", "entry", "list-item", "listitem", "disp-quote"):
        return not any(local(child.tag) in ("p", "para", "sec", "title", "list") for child in element)
    if tag in _PROSE:
        return not any(local(child.tag) in ("table", "table-wrap", "list", "fig") for child in element)
    own = (element.text or "") + "".join(child.tail or "" for child in element)
    return bool(own.strip()) or not len(element)


def _rows(table: ElementTree.Element) -> Iterator[list[str]]:
    for row in table.iter():
        if local(row.tag) in ("tr", "row"):
            yield [inner_text(cell) for cell in row if local(cell.tag) in ("td", "th", "entry")]


def _own_title(root: ElementTree.Element) -> str:
    for wanted in ("article-title", "title"):
        for element in root.iter():
            if local(element.tag) == wanted and (text := inner_text(element)):
                return text
    return ""


def _jats_fields(root: ElementTree.Element) -> dict[str, MetadataValue | list[str]]:
    fields: dict[str, MetadataValue | list[str]] = {}
    for element in root.iter():
        tag = local(element.tag)
        if tag == "article-id" and element.get("pub-id-type") == "doi":
            fields.setdefault("doi", inner_text(element))
        elif tag == "journal-title":
            fields.setdefault("journal", inner_text(element))
        elif tag == "pub-date" and "created" not in fields:
            parts = {local(part.tag): inner_text(part) for part in element}
            fields["created"] = "-".join(
                parts[key].zfill(2) for key in ("year", "month", "day") if parts.get(key, "").isdigit()
            )
        elif tag == "kwd":
            keywords = fields.setdefault("keywords", [])
            if isinstance(keywords, list):
                keywords.append(inner_text(element))
        elif tag in ("body", "back"):
            break
    return {**fields, "author": _authors(root), "language": root.get("{http://www.w3.org/XML/1998/namespace}lang", "")}


def _authors(root: ElementTree.Element) -> list[str]:
    people = (e for e in root.iter() if local(e.tag) == "contrib" and e.get("contrib-type") == "author")
    names = ({local(part.tag): inner_text(part) for part in person.iter()} for person in people)
    return [f"{name.get('given-names', '')} {name.get('surname', '')}".strip() for name in names]
