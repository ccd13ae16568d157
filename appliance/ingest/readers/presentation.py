"""PowerPoint (PresentationML, ECMA-376): slides as pages with their titles, text, tables and notes."""

import re
from collections.abc import Iterator
from xml.etree import ElementTree

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, clean_metadata
from appliance.ingest.readers.package import Package
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.structured import inner_text, local
from appliance.ingest.readers.tables import write_table
from appliance.types import MetadataValue, ReadDocument

_RELATION_ID = re.compile(r"\{http://[^}]*/relationships\}id$")
_FURNITURE = frozenset({"sldNum", "dt", "ftr", "hdr", "sldImg"})
_PROPERTIES = {
    "title": "title", "creator": "author", "subject": "subject", "keywords": "keywords", "created": "created",
    "modified": "modified", "language": "language", "description": "description", "category": "category",
}  # fmt: skip


def read_pptx(file: SourceFile) -> ReadDocument:
    """One page a slide. Charts and diagrams give the text they hold."""
    draft = file.draft()
    with Package(file.data, file.limits) as package:
        metadata = core_properties(package)
        slides = _slides(package)
        for number, slide in enumerate(slides, 1):
            draft.page(number)
            _Slide(package, draft).write(slide)
    metadata["slides"] = len(slides)
    return draft.build(file.name, file.media_type, metadata, str(metadata.get("title", "")))


def core_properties(package: Package) -> dict[str, MetadataValue]:
    """Dublin Core properties of an OOXML package."""
    if not package.has("docProps/core.xml"):
        return {}
    fields: dict[str, object] = {}
    for element in package.xml("docProps/core.xml"):
        if name := _PROPERTIES.get(local(element.tag)):
            fields[name] = inner_text(element)
    return clean_metadata(fields)


def _slides(package: Package) -> list[str]:
    """Parts of the visible slides, in order."""
    main = next(
        (target for kind, target in package.relations("").values() if kind == "officeDocument"), "ppt/presentation.xml"
    )
    relations = package.relations(main)
    found: list[str] = []
    for element in package.xml(main).iter():
        if local(element.tag) == "sldId":
            wanted = next((value for key, value in element.attrib.items() if _RELATION_ID.search(key)), "")
            if wanted in relations and package.has(relations[wanted][1]):
                found.append(relations[wanted][1])
    if not found:
        raise DocumentError("the presentation has no slides", code="no_text", hint="Check that the file is complete.")
    return found


class _Slide:
    """Writes one slide: its title as heading, then shapes from top to bottom as they stand in the file, then
    notes.
    """

    def __init__(self, package: Package, draft: Draft) -> None:
        self._package = package
        self._draft = draft

    def write(self, part: str) -> None:
        root = self._package.xml(part)
        shapes = list(_shapes(root))
        titles = [shape for shape in shapes if _placeholder(shape) in ("title", "ctrTitle")]
        for shape in titles[:1]:
            self._draft.heading(" ".join(text for text, _ in _paragraphs(shape)), 1)
        for shape in shapes:
            if shape not in titles[:1]:
                self._shape(shape)
        for kind, target in self._package.relations(part).values():
            if kind in ("chart", "diagramData", "notesSlide") and self._package.has(target):
                self._related(kind, target)

    def _shape(self, shape: ElementTree.Element) -> None:
        if _placeholder(shape) in _FURNITURE:
            return
        if local(shape.tag) == "tbl":
            rows = [_cells(row) for row in shape if local(row.tag) == "tr"]
            first = any(local(e.tag) == "tblPr" and e.get("firstRow") == "1" for e in shape)
            write_table(self._draft, rows, header_known=first and len(rows) > 1)
            return
        body = _placeholder(shape) not in ("subTitle", "none")
        paragraphs = [(text, level) for text, level in _paragraphs(shape) if text]
        for text, level in paragraphs:
            if level > 0 or (body and len(paragraphs) > 1):
                self._draft.item(text)
            else:
                self._draft.paragraph(text)

    def _related(self, kind: str, target: str) -> None:
        root = self._package.xml(target)
        if kind == "notesSlide":
            for shape in _shapes(root):
                if _placeholder(shape) == "body":
                    self._draft.paragraph("\n".join(text for text, _ in _paragraphs(shape) if text))
        elif kind == "chart":
            self._draft.paragraph("\n".join(_chart_lines(root)))
        else:
            for element in root.iter():
                if local(element.tag) == "t" and any(True for _ in _paragraphs(element)):
                    self._draft.item(" ".join(text for text, _ in _paragraphs(element)))


def _shapes(root: ElementTree.Element) -> Iterator[ElementTree.Element]:
    """Shapes and tables in document order, out of their groups."""
    for element in root.iter():
        if local(element.tag) in ("sp", "tbl"):
            yield element


def _cells(row: ElementTree.Element) -> list[str]:
    """Texts of a row; what is merged into the cell to its left repeats that cell."""
    cells: list[str] = []
    for cell in row:
        if local(cell.tag) == "tc":
            merged = cell.get("hMerge") == "1" and cells
            cells.append(cells[-1] if merged else " ".join(text for text, _ in _paragraphs(cell)))
    return cells


def _placeholder(shape: ElementTree.Element) -> str:
    """Type of the placeholder a shape fills: "body" is the type left unsaid; "none" means an ordinary text box."""
    for element in shape.iter():
        if local(element.tag) == "ph":
            return element.get("type", "body")
        if local(element.tag) == "txBody":
            break
    return "none"


def _paragraphs(shape: ElementTree.Element) -> Iterator[tuple[str, int]]:
    """Text and level (0 is the outermost) of each paragraph."""
    for element in shape.iter():
        if local(element.tag) != "p":
            continue
        pieces = []
        level = 0
        for part in element.iter():
            tag = local(part.tag)
            if tag == "t":
                pieces.append(part.text or "")
            elif tag == "br":
                pieces.append(" ")
            elif tag == "pPr" and part.get("lvl", "0").isdigit():
                level = int(part.get("lvl", "0"))
        yield " ".join("".join(pieces).split()), level


def _chart_lines(root: ElementTree.Element) -> Iterator[str]:
    """Title, then one line a series: its name with `category: value` pairs."""
    for element in root.iter():
        if local(element.tag) == "title":
            yield " ".join("".join(part.text or "" for part in element.iter() if local(part.tag) == "t").split())
        if local(element.tag) == "ser":
            parts = {local(part.tag): [inner_text(v) for v in part.iter() if local(v.tag) == "v"] for part in element}
            values = parts.get("val", parts.get("yVal", []))
            labels = parts.get("cat", parts.get("xVal", []))
            pairs = [f"{labels[i]}: {value}" if i < len(labels) else value for i, value in enumerate(values[:500])]
            yield "; ".join([*parts.get("tx", [])[:1], *pairs])
