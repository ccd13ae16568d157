"""PDF through kreuzberg (pdfium): text and its pages, headings and lists where the layout shows them."""

import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, canonical
from appliance.ingest.readers.office import extract, grid_rows, metadata_of, write_nodes
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.tables import write_table
from appliance.types import ReadDocument

_WORDS = re.compile(r"\w+")
_SPACES = re.compile(r"\s+")
_NUMBERED = re.compile(
    r"^(?:(\d{1,2}(?:\.\d{1,2}){0,4})\.?|[IVX]{1,5}\.|(?:Chapter|Section|Item|Part|Appendix) [\dA-Z.]+)\s+[A-Z]"
)
_SENTENCE_END = re.compile(r"[.!?:;。！？][\"')\]”’]*$")
_HYPHEN_END = re.compile(r"(?<=[a-z])[-\u2010\u0002]$")
# Layout analysis costs 10 to 100 ms a page; longer files are read page by page without it.
_MAX_LAYOUT_PAGES = 100
_MAX_LAYOUT_CHARACTERS = 500_000
_FAITHFUL = 0.9  # share of the characters of the plain text that the structured one must keep


def read_pdf(file: SourceFile) -> ReadDocument:
    """Raises DocumentError no_text for scans, encrypted, torn."""
    plain = extract(file, "plain", pages=True)
    pages: list[Mapping[str, Any]] = list(plain.pages or [])
    texts = [(int(page["page_number"]), canonical(page["content"] or "")) for page in pages]
    if not any(text.strip() for _, text in texts):
        raise DocumentError(
            "the pages hold no text, only pictures",
            code="no_text",
            hint="It looks like a scan: run it through OCR first.",
        )
    draft = file.draft()
    structured = _structured(file, texts)
    if structured:
        _write_structured(draft, structured)
    else:
        for number, text in texts:
            draft.page(number)
            _write_lines(draft, text.split("\n"))
    fields = metadata_of(plain.metadata)
    fields["page_count"] = len(texts)
    return draft.build(file.name, file.media_type, fields, str(plain.metadata.get("title") or ""))


def _structured(file: SourceFile, texts: Sequence[tuple[int, str]]) -> list[Mapping[str, Any]]:
    """Nodes with headings and lists.

    None when the file is long, written right to left, or when text would be lost.
    """
    characters = sum(len(text) for _, text in texts)
    if len(texts) > _MAX_LAYOUT_PAGES or characters > _MAX_LAYOUT_CHARACTERS or _right_to_left(texts):
        return []
    try:
        result = extract(file, "markdown", pages=True)
    except DocumentError:
        return []
    nodes: list[Mapping[str, Any]] = [
        node for node in (result.document or {}).get("nodes", ()) if node.get("page") or _is_list(node)
    ]
    kept = sum(len(_SPACES.sub("", node["content"].get("text") or "")) for node in nodes)
    wanted = sum(len(_SPACES.sub("", text)) for _, text in texts)
    return nodes if kept >= _FAITHFUL * wanted else []


def _is_list(node: Mapping[str, Any]) -> bool:
    return bool(node["content"]["node_type"] == "list")


def _right_to_left(texts: Sequence[tuple[int, str]]) -> bool:
    sample = "".join(text[:2000] for _, text in texts[:20])
    kinds = Counter(unicodedata.bidirectional(character) for character in sample)
    return kinds["R"] + kinds["AL"] > kinds["L"] * 0.3


def _write_structured(draft: Draft, nodes: Sequence[Mapping[str, Any]]) -> None:
    words: dict[int, Counter[str]] = {}
    for node in nodes:
        if node["content"]["node_type"] != "table":
            words.setdefault(node.get("page") or 0, Counter()).update(_WORDS.findall(node["content"].get("text") or ""))
    current = 0
    for node in nodes:
        page = node.get("page") or current
        if page != current:
            draft.page(page)
            current = page
        kind = node["content"]["node_type"]
        if kind == "table":
            rows = list(grid_rows(node["content"].get("grid") or {}))
            if not _repeats(rows, words.get(page, Counter())):
                write_table(draft, rows)
        elif kind in ("paragraph", "list_item") and (text := node["content"].get("text")):
            flowed = reflow(canonical(text).split("\n"))
            draft.item(flowed) if kind == "list_item" else draft.paragraph(flowed)
        else:
            write_nodes(draft, [node])


def _repeats(rows: Sequence[Sequence[str]], words: Counter[str]) -> bool:
    """Whether most words of a table are in the running text of its page too: then it would be said twice."""
    cells = Counter(word for row in rows for cell in row for word in _WORDS.findall(cell))
    return sum((cells & words).values()) > 0.6 * sum(cells.values())


def reflow(lines: Sequence[str]) -> str:
    """Joins lines that were broken for width: those nearly as long as the longest.

    Short ones (addresses, tables) stay apart.
    """
    longest = max((len(line) for line in lines), default=0)
    parts: list[str] = []
    for index, line in enumerate(lines):
        line = line.strip()
        parts.append(line)
        if index == len(lines) - 1 or not line:
            continue
        wrapped = longest >= 40 and len(line) >= 0.7 * longest
        if wrapped and _HYPHEN_END.search(line) and lines[index + 1].strip()[:1].islower():
            parts[-1] = line[:-1]
        else:
            parts.append(" " if wrapped else "\n")
    return "".join(parts)


def _write_lines(draft: Draft, lines: Sequence[str]) -> None:
    """Paragraphs and numbered or capitalised headings out of the lines of a page."""
    longest = max((len(line) for line in lines), default=0)
    pending: list[str] = []
    for line in [*(line.strip() for line in lines), ""]:
        heading = bool(line) and _looks_like_heading(line, pending)
        if heading or not line:
            draft.paragraph(reflow(pending))
            pending = []
        if heading:
            found = _NUMBERED.match(line)
            draft.heading(line, found[1].count(".") + 1 if found and found[1] else 1)
        elif line:
            pending.append(line)
            if len(line) < 0.7 * longest and _SENTENCE_END.search(line):
                draft.paragraph(reflow(pending))
                pending = []


def _looks_like_heading(line: str, pending: Sequence[str]) -> bool:
    if len(line) > 90 or _SENTENCE_END.search(line) or (pending and not _SENTENCE_END.search(pending[-1])):
        return False
    letters = sum(character.isalpha() for character in line)
    return letters >= 4 and (
        bool(_NUMBERED.match(line)) or (line.isupper() and letters > 0.6 * len(line) and " " in line)
    )
