"""Rich Text Format 1.9: text with its code pages, headings by outline level or style, lists and table rows."""

import re
from dataclasses import dataclass, replace

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, clean_metadata, words
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.tables import write_table
from appliance.types import ReadDocument

_TOKEN = re.compile(
    rb"\\(?P<word>[a-zA-Z]{1,32})(?P<number>-?\d{1,10})?\x20?|\\'(?P<hex>[0-9a-fA-F]{2})|\\(?P<symbol>[^a-zA-Z])|(?P<brace>[{}])|"
    rb"(?P<text>[^\\{}\r\n]+)|[\r\n]+"
)
# Destinations that hold no running text; any other that is marked as ignorable (\*) is skipped too.
_SKIPPED = words(
    "colortbl stylesheet listtable listoverridetable rsidtbl generator pict object themedata colorschememapping "
    "datastore latentstyles xmlnstbl header headerl headerr headerf footer footerl footerr footerf fldinst "
    "bkmkstart bkmkend shpinst nonshppict revtbl filetbl atnid atnauthor annotation pgptbl mmathPr wgrffmtfilter "
    "listtext pntext info fonttbl"
)
_INFO = {"title": "title", "author": "author", "subject": "subject", "keywords": "keywords", "doccomm": "description"}
_SYMBOLS = {"~": "\u00a0", "_": "\u2011", "-": "", "\n": "\n", "\r": "\n", "\\": "\\", "{": "{", "}": "}"}
_WORDS = {
    "tab": "\t", "line": "\n", "lquote": "‘", "rquote": "’", "ldblquote": "“", "rdblquote": "”", "bullet": "•",
    "endash": "–", "emdash": "—", "emspace": " ", "enspace": " ", "qmspace": " ",
}  # fmt: skip
# \fcharset numbers (RTF 1.9 specification, "Font Table") as Python codecs.
_CHARSETS = {
    128: "cp932", 129: "cp949", 134: "gbk", 136: "big5", 161: "cp1253", 162: "cp1254", 163: "cp1258",
    177: "cp1255", 178: "cp1256",
    186: "cp1257", 204: "cp1251", 222: "cp874", 238: "cp1250", 255: "cp437", 77: "mac_roman", 0: "cp1252",
}  # fmt: skip
_CODEPAGES = {932: "cp932", 936: "gbk", 949: "cp949", 950: "big5", 65001: "utf-8", 10000: "mac_roman"}
_MAX_DEPTH = 1000


@dataclass(frozen=True, slots=True)
class _Group:
    """What a group inherits: whether it is skipped, its destination, font, and how many characters stand in for
    \\u.
    """

    skipped: bool = False
    destination: str = ""
    font: int = -1
    unicode_skip: int = 1


def read_rtf(file: SourceFile) -> ReadDocument:
    """Raises DocumentError torn when the groups are not closed and no text was found."""
    parser = _Parser(file.draft())
    parser.feed(file.data)
    fields = parser.fields
    return parser.draft.build(file.name, file.media_type, clean_metadata(fields), str(fields.get("title", "")))


class _Parser:
    def __init__(self, draft: Draft) -> None:
        self.draft = draft
        self.fields: dict[str, object] = {}
        self._stack: list[_Group] = []
        self._group = _Group()
        self._text: list[str] = []
        self._bytes = bytearray()
        self._codepage = "cp1252"
        self._fonts: dict[int, str] = {}
        self._styles: dict[int, str] = {}
        self._style_text: list[str] = []
        self._level = 0  # of the heading that the paragraph is, 0 for none
        self._listed = False
        self._style = 0
        self._cells: list[str] = []
        self._rows: list[list[str]] = []
        self._in_table = False
        self._ignore = 0  # characters still to be left out after \u

    def feed(self, data: bytes) -> None:
        for match in _TOKEN.finditer(data):
            kind = match.lastgroup
            if kind == "brace":
                self._brace(match["brace"] == b"{")
            elif kind in ("word", "number"):
                self._word(match["word"].decode("ascii"), int(match["number"]) if match["number"] else None)
            elif kind == "hex":
                self._put(bytes([int(match["hex"], 16)]))
            elif kind == "symbol":
                self._symbol(match["symbol"].decode("latin-1"))
            elif kind == "text":
                self._put(match["text"])
        self._end_paragraph()
        self._end_table()

    def _brace(self, opens: bool) -> None:
        self._decode()
        if opens:
            if len(self._stack) >= _MAX_DEPTH:
                raise DocumentError(
                    "the document is nested too deep",
                    code="nested_too_deep",
                    hint="Save it again with its application.",
                )
            self._stack.append(self._group)
        elif self._stack:
            if self._group.destination in _INFO and self._group != self._stack[-1]:
                self.fields[_INFO[self._group.destination]] = "".join(self._style_text)
                self._style_text = []
            self._group = self._stack.pop()

    def _put(self, data: bytes) -> None:
        if self._ignore:
            cut = min(self._ignore, len(data))
            self._ignore -= cut
            data = data[cut:]
        self._bytes += data

    def _decode(self) -> None:
        """Bytes so far become text in the encoding of the current font."""
        if not self._bytes:
            return
        codec = self._fonts.get(self._group.font, "") or self._codepage
        text = bytes(self._bytes).decode(codec, "replace")
        self._bytes.clear()
        self._add(text)

    def _add(self, text: str) -> None:
        if self._group.destination in _INFO or self._group.destination == "stylesheet":
            self._style_text.append(text)
            if self._group.destination == "stylesheet" and text.rstrip().endswith(";"):
                self._styles[self._style] = "".join(self._style_text).strip(" ;").lower()
                self._style_text = []
        elif not self._group.skipped:
            self._text.append(text)

    def _symbol(self, symbol: str) -> None:
        if symbol == "*":
            self._group = replace(self._group, skipped=True)
            return
        self._decode()
        if symbol in "\n\r":
            self._end_paragraph()
        elif symbol in _SYMBOLS:
            self._add(_SYMBOLS[symbol])

    def _word(self, word: str, number: int | None) -> None:
        if word == "u" and number is not None:
            self._decode()
            self._add(chr(number % 65536))
            self._ignore = self._group.unicode_skip
            return
        self._decode()
        self._ignore = 0
        if word in _SKIPPED:
            self._listed = self._listed or word in ("listtext", "pntext")
            self._group = replace(self._group, skipped=True, destination=word)
        elif word in _INFO and self._group.destination == "info":
            self._group = replace(self._group, destination=word)
        elif word in _WORDS:
            self._add(_WORDS[word])
        elif word in ("par", "sect", "page"):
            self._end_paragraph()
        elif word in ("cell", "row", "intbl", "nestcell", "nestrow"):
            self._table_word(word)
        elif number is not None:
            self._numbered(word, number)
        elif word == "pard":
            self._level, self._listed, self._in_table, self._style = 0, False, False, 0
        elif word == "plain" and not self._group.skipped:
            self._group = replace(self._group, font=-1)

    def _numbered(self, word: str, number: int) -> None:
        if word == "f":
            self._group = replace(self._group, font=number)
        elif word == "fcharset" and self._group.destination == "fonttbl":
            self._fonts[self._group.font] = _CHARSETS.get(number, "")
        elif word in ("ansicpg", "cpg"):
            codec = _CODEPAGES.get(number, f"cp{number}")
            try:
                b"".decode(codec)
            except LookupError:
                return
            self._codepage = codec
        elif word == "uc":
            self._group = replace(self._group, unicode_skip=min(max(number, 0), 20))
        elif word == "outlinelevel":
            self._level = number + 1 if 0 <= number < 9 else 0
        elif word in ("ls", "pnlvl"):
            self._listed = True
        elif word == "s":
            self._style = number
            found = re.match(r"(?:heading|title|überschrift|titre)\s*(\d?)", self._styles.get(number, ""))
            if found and self._group.destination != "stylesheet":
                self._level = int(found[1] or 1)

    def _table_word(self, word: str) -> None:
        if self._group.skipped:
            return
        if word == "intbl":
            self._in_table = True
        elif word in ("cell", "nestcell"):
            self._cells.append(self._take())
        elif self._cells:
            self._rows.append(self._cells)
            self._cells = []
            self._in_table = False

    def _take(self) -> str:
        """The text of the paragraph; UTF-16 halves become whole characters."""
        text = "".join(self._text).encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
        self._text = []
        return text

    def _end_paragraph(self) -> None:
        self._decode()
        if self._group.skipped:
            return
        if self._in_table:
            self._text.append(" ")
            return
        text = self._take()
        if not text.strip():
            return
        self._end_table()
        if self._level:
            self.draft.heading(text, self._level)
        elif self._listed:
            self.draft.item(text)
        else:
            self.draft.paragraph(text)

    def _end_table(self) -> None:
        if self._cells:
            self._rows.append(self._cells)
            self._cells = []
        rows, self._rows = self._rows, []
        if rows:
            write_table(self.draft, rows)
