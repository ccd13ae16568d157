"""Grows a canonical text block by block, so that every offset holds by construction.

Canonical text: line ends are `\\n`; NUL,
other control characters and soft hyphens are gone; lone surrogates are U+FFFD.
Characters are not normalised further (no NFC), so that a quote is what the document says.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

from appliance.dates import iso_date, written_date
from appliance.errors import DocumentError
from appliance.types import Block, BlockKind, MetadataValue, Page, ReadDocument
from appliance.words import folder_and_file

_BREAKS = re.compile(r"\r\n?|[\x0b\x0c\x85\u2028\u2029]")
_UNWANTED = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x84\x86-\x9f\u00ad\ufeff\ufffe\uffff]")
_SURROGATES = re.compile("[\ud800-\udfff]")
_SPACES = re.compile(r"\s+")
_SEPARATORS = re.compile("[,;\n]")
_TIGHT = (BlockKind.LIST_ITEM, BlockKind.TABLE_ROW)  # follow each other without a blank line
_DATES = ("created", "modified", "date")
_POOR_TITLES = re.compile(
    r"(?i)^(untitled.*|microsoft (word|powerpoint|excel) - .*|(document|slide|sheet|title)\s*\d*|[\W\d_]*)$"
)
_SHARED_NAMES = re.compile(
    r"(?i)(readme|change(log|s)|news|todo|authors|thanks|copyright|licen[cs]e|install|history|notes?|index|main|"
    r"about|faq|contributing|release[-_ ]?notes|notice|hacking|overview|__init__|setup|makefile)([._-].*)?$"
)
MAX_TITLE = 300
MAX_VALUE = 2000
MAX_VALUES = 100


def words(text: str) -> frozenset[str]:
    """The words of `text`: easier to read than a list of them."""
    return frozenset(text.split())


def canonical(text: str) -> str:
    """The text as the appliance keeps it."""
    text = _UNWANTED.sub("", _BREAKS.sub("\n", text))
    return _SURROGATES.sub("\ufffd", text)


def one_line(text: str, limit: int = MAX_TITLE) -> str:
    """Canonical text on one line, shortened with an ellipsis."""
    line = _SPACES.sub(" ", canonical(text[: limit * 8])).strip()
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


class Draft:
    """A document being written. `limit` is in characters; beyond it every call raises DocumentError output_limit."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._parts: list[str] = []
        self._length = 0
        self._blocks: list[Block] = []
        self._pages: list[Page] = []
        self._open_page: tuple[int, int] | None = None  # number, index of its first block
        self._first_heading = ""

    def __len__(self) -> int:
        return self._length

    def heading(self, text: str, level: int) -> None:
        line = one_line(text, 400)
        if line:
            self._first_heading = self._first_heading or line
            self._add(BlockKind.HEADING, line, min(max(level, 1), 6))

    def paragraph(self, text: str) -> None:
        self._add(BlockKind.PARAGRAPH, canonical(text).strip())

    def item(self, text: str) -> None:
        self._add(BlockKind.LIST_ITEM, canonical(text).strip())

    def row(self, text: str) -> None:
        self._add(BlockKind.TABLE_ROW, one_line(text, self._limit))

    def code(self, text: str) -> None:
        self._add(BlockKind.CODE, re.sub(r"^(?:[^\S\n]*\n)+", "", canonical(text)).rstrip())

    def page(self, number: int) -> None:
        """What follows is on page `number`."""
        self._close_page()
        self._open_page = (number, len(self._blocks))

    def build(
        self, name: str, media_type: str, metadata: Mapping[str, MetadataValue] | None = None, title: str = ""
    ) -> ReadDocument:
        """Raises DocumentError no_text when nothing was written."""
        self._close_page()
        text = "".join(self._parts)
        if not text:
            raise no_text(media_type)
        return ReadDocument(
            title=choose_title(title, self._first_heading, name),
            media_type=media_type,
            text=text,
            blocks=tuple(self._blocks),
            pages=tuple(self._pages),
            metadata=dict(metadata or {}),
        )

    def _add(self, kind: BlockKind, text: str, level: int = 0) -> None:
        if not text or text.isspace():
            return
        separator = ""
        if self._blocks:
            tight = kind in _TIGHT and self._blocks[-1].kind is kind
            separator = "\n" if tight else "\n\n"
        start = self._length + len(separator)
        if start + len(text) > self._limit:
            raise DocumentError(
                f"the text is longer than {self._limit:,} characters",
                code="output_limit",
                hint="Split the document, or raise the limit on text per document.",
            )
        self._parts += (separator, text)
        self._length = start + len(text)
        self._blocks.append(Block(kind, start, self._length, level))

    def _close_page(self) -> None:
        if self._open_page is None:
            return
        number, first = self._open_page
        if first < len(self._blocks):
            self._pages.append(Page(number, self._blocks[first].start, self._length))
        self._open_page = None


def no_text(media_type: str) -> DocumentError:
    """The error for a document that was read but says nothing."""
    scanned = media_type == "application/pdf" or media_type.startswith("image/")
    hint = (
        "It looks like a scan: run it through OCR first."
        if scanned
        else "Check that the file has text, not only pictures."
    )
    return DocumentError("the document has no text", code="no_text", hint=hint)


def choose_title(title: str, heading: str, name: str) -> str:
    """The document's own title unless it says nothing, else its first heading, else the name of its file."""
    line = one_line(title)
    if line and not _POOR_TITLES.match(line):
        return line
    return one_line(heading) or file_title(name)


def file_title(name: str) -> str:
    """The name of a file; one that many files share (README, changelog) together with its folder's."""
    folder, file = folder_and_file(name)
    line = one_line(file)
    if _SHARED_NAMES.match(line) and folder:
        line = f"{one_line(folder)}/{line}"
    return line or "untitled"


def clean_metadata(fields: Mapping[str, object]) -> dict[str, MetadataValue]:
    """Keeps what says something, in bounded size: str, int, float, bool, list[str].

    A list of one becomes a string, except keywords; a date in a common written form becomes ISO.
    """
    kept: dict[str, MetadataValue] = {}
    for name, value in fields.items():
        if name == "keywords" and isinstance(value, str):
            value = _SEPARATORS.split(value)
        if isinstance(value, bool | int | float):
            kept[name] = value
        elif isinstance(value, str):
            if line := one_line(value, MAX_VALUE):
                kept[name] = _date(line) if name in _DATES else line
        elif isinstance(value, Sequence) and (lines := _lines(value)):
            kept[name] = lines[0] if len(lines) == 1 and name != "keywords" else lines
    return kept


def _date(text: str) -> str:
    """ISO dates stay as they are, with their zone."""
    return text if iso_date(text) else (written_date(text) or text)


def _lines(values: Iterable[object]) -> list[str]:
    lines = (one_line(str(value), MAX_VALUE) for value in list(values)[:MAX_VALUES] if value is not None)
    return [line for line in lines if line]
