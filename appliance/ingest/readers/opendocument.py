"""OpenDocument (ISO/IEC 26300): text, spreadsheets and presentations."""

from collections.abc import Iterator
from xml.etree import ElementTree

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, clean_metadata
from appliance.ingest.readers.package import Package
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.structured import inner_text, local
from appliance.ingest.readers.tables import write_table
from appliance.types import MetadataValue, ReadDocument

_SKIPPED = frozenset({
    "tracked-changes", "annotation", "annotation-end", "sequence-decls", "forms", "variable-decls",
    "user-field-decls", "settings", "desc", "table-template", "named-expressions", "database-ranges", "shapes",
})  # fmt: skip
_PROPERTIES = {
    "title": "title", "creator": "author", "initial-creator": "author", "subject": "subject",
    "description": "description", "creation-date": "created", "date": "modified", "language": "language",
}  # fmt: skip
_FURNITURE = ("page", "header", "footer", "date-time", "page-number")  # classes of frames
_MAX_REPEAT = 100  # of one cell or row that is written once in the file
_MAX_DEPTH = 100


def read_opendocument(file: SourceFile) -> ReadDocument:
    """Sheets become headings, slides become pages with their notes."""
    draft = file.draft()
    with Package(file.data, file.limits) as package:
        if package.has("META-INF/manifest.xml") and b"encryption-data" in package.read("META-INF/manifest.xml"):
            raise DocumentError("the document is encrypted", code="encrypted", hint="Save it without a password first.")
        metadata = _metadata(package)
        _Body(draft).write(package.xml("content.xml"))
    return draft.build(file.name, file.media_type, metadata, str(metadata.get("title", "")))


def _metadata(package: Package) -> dict[str, MetadataValue]:
    if not package.has("meta.xml"):
        return {}
    fields: dict[str, object] = {}
    keywords: list[str] = []
    for element in package.xml("meta.xml").iter():
        tag = local(element.tag)
        if tag == "keyword":
            keywords.append(inner_text(element))
        elif tag in _PROPERTIES:
            fields.setdefault(_PROPERTIES[tag], inner_text(element))
    return clean_metadata({**fields, "keywords": keywords})


class _Body:
    """Walks the body and writes blocks; `_slide` counts the drawing pages of a presentation."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._slide = 0

    def write(self, element: ElementTree.Element, depth: int = 0, in_list: bool = False) -> None:
        if depth > _MAX_DEPTH:
            raise DocumentError(
                "the document is nested too deep", code="nested_too_deep", hint="Flatten its lists and frames."
            )
        for child in element:
            tag = local(child.tag)
            if tag == "h":
                self._heading(child)
            elif tag == "p":
                self._paragraph(child, depth, in_list)
            elif tag in ("list", "list-item"):
                self.write(child, depth + 1, in_list=True)
            elif tag == "table":
                self._table(child)
            elif tag == "page":
                self._page(child, depth)
            elif tag == "frame":
                self._frame(child, depth)
            elif tag and tag not in _SKIPPED:
                self.write(child, depth + 1, in_list)

    def _frame(self, element: ElementTree.Element, depth: int) -> None:
        kind = _attribute(element, "class")
        if kind == "title":
            self._draft.heading(" ".join(_text(element).split()), 1)
        elif kind not in _FURNITURE:
            self.write(element, depth + 1)

    def _heading(self, element: ElementTree.Element) -> None:
        level = _attribute(element, "outline-level")
        self._draft.heading(_text(element), int(level) if level.isdigit() else 1)

    def _paragraph(self, element: ElementTree.Element, depth: int, in_list: bool) -> None:
        text = _text(element)
        style = _attribute(element, "style-name")
        if style == "Title":
            self._draft.heading(text, 1)
        elif in_list:
            self._draft.item(text)
        else:
            self._draft.paragraph(text)
        for frame in element.iter():
            if local(frame.tag) in ("text-box", "note-body"):
                self.write(frame, depth + 1)

    def _page(self, element: ElementTree.Element, depth: int) -> None:
        self._slide += 1
        self._draft.page(self._slide)
        self.write(element, depth + 1)

    def _table(self, element: ElementTree.Element) -> None:
        name = _attribute(element, "name")
        rows = list(_rows(element))
        if any(map(any, rows)) and local(element.tag) == "table" and self._is_sheet(element):
            self._draft.heading(name, 1)
        header = any(local(child.tag) == "table-header-rows" for child in element)
        write_table(self._draft, rows, header_known=header)

    def _is_sheet(self, element: ElementTree.Element) -> bool:
        """Sheets carry print settings or column styles by name.

        Tables in text are named Table1 and say nothing by it.
        """
        return bool(_attribute(element, "name")) and not _attribute(element, "name").lower().startswith(
            ("table", "tabelle", "tableau", "tabla")
        )


def _rows(table: ElementTree.Element) -> Iterator[list[str]]:
    for child in table:
        tag = local(child.tag)
        if tag in ("table-header-rows", "table-rows", "table-row-group"):
            yield from _rows(child)
        elif tag == "table-row":
            row = list(_cells(child))
            yield from [row] * (_repeat(child, "number-rows-repeated") if any(row) else 1)


def _cells(row: ElementTree.Element) -> Iterator[str]:
    pending = 0  # empty cells, written only when a filled one follows
    for cell in row:
        if local(cell.tag) not in ("table-cell", "covered-table-cell"):
            continue
        count = _repeat(cell, "number-columns-repeated")
        text = " ".join(" ".join(_cell_lines(cell)).split())
        if not text:
            pending = min(pending + count, _MAX_REPEAT * 10)
            continue
        yield from [""] * pending
        pending = 0
        yield from [text] * count


def _cell_lines(cell: ElementTree.Element) -> Iterator[str]:
    for element in cell:
        if local(element.tag) in ("p", "h"):
            yield _text(element)
        elif local(element.tag) not in _SKIPPED:
            yield from _cell_lines(element)


def _text(element: ElementTree.Element) -> str:
    """Text of a paragraph with its spaces, tabs and line breaks.

    Notes and text boxes in it are left to the caller.
    """
    parts = [element.text or ""]
    for child in element:
        tag = local(child.tag)
        if tag == "s":
            count = _attribute(child, "c")
            parts.append(" " * min(int(count) if count.isdigit() else 1, _MAX_REPEAT))
        elif tag == "tab":
            parts.append("\t")
        elif tag == "line-break":
            parts.append("\n")
        elif tag == "note":
            parts.extend(_text(part) for part in child if local(part.tag) == "note-citation")
        elif tag == "text-box" and local(element.tag) == "frame":
            parts.extend(f"{_text(part)}\n" for part in child)
        elif tag not in _SKIPPED and tag not in ("text-box", "binary-data"):
            parts.append(_text(child))
        parts.append(child.tail or "")
    return "".join(parts)


def _repeat(element: ElementTree.Element, name: str) -> int:
    value = _attribute(element, name)
    return min(int(value), _MAX_REPEAT) if value.isdigit() else 1


def _attribute(element: ElementTree.Element, name: str) -> str:
    return next((value for key, value in element.attrib.items() if local(key) == name), "")
