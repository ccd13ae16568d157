"""HTML and XHTML: what a reader of the page would see, with its headings, lists, tables and code."""

import re
from html.parser import HTMLParser

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, clean_metadata
from appliance.ingest.readers.encoding import text_or_refuse
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.tables import write_table
from appliance.types import MetadataValue, ReadDocument

_CHARSET = re.compile(rb"(?i)(?:charset\s*=|<\?xml[^>]{0,200}encoding\s*=)\s*[\"']?\s*([a-z0-9_:.\-]{1,40})")
_SPACES = re.compile(r"[^\S\n]*\n\s*|[^\S\n]+")
_HIDING = re.compile(r"(?i)(?:display\s*:\s*none|visibility\s*:\s*hidden)")
_UNSEEN = frozenset({
    "script", "style", "template", "noscript", "iframe", "object", "svg", "math", "canvas", "audio", "video",
    "select", "datalist", "head",
})  # fmt: skip
_VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
_BLOCKS = frozenset({
    "address", "article", "aside", "blockquote", "body", "caption", "center", "dd", "details", "dialog", "div", "dl",
    "dt", "fieldset", "figcaption", "figure", "footer", "form", "header", "hgroup", "hr", "html", "legend", "li",
    "main", "menu", "nav", "ol", "optgroup", "p", "pre", "section", "summary", "table", "tbody", "td", "tfoot", "th",
    "thead", "tr", "ul", "h1", "h2", "h3", "h4", "h5", "h6",
})  # fmt: skip
_HEADINGS = {f"h{level}": level for level in range(1, 7)}
_SHAPING = frozenset({"li", "dd", "dt", "pre", *_HEADINGS})
_META = {
    "author": "author", "description": "description", "keywords": "keywords", "date": "created",
    "dc.creator": "author", "dc.date": "created", "dcterms.created": "created", "dcterms.modified": "modified",
    "article:published_time": "created", "article:modified_time": "modified", "last-modified": "modified",
}  # fmt: skip
# Elements whose start ends an open one of the same kind, looked for no further out than the second set.
_IMPLIED = {"li": ({"li"}, {"ul", "ol", "menu"}), "dd": ({"dd", "dt"}, {"dl"}), "dt": ({"dd", "dt"}, {"dl"}),
            "td": ({"td", "th"}, {"tr", "table"}), "th": ({"td", "th"}, {"tr", "table"}), "tr": ({"tr"}, {"table"}),
            "option": ({"option"}, {"select"})}  # fmt: skip
_MAX_DEPTH = 2000


def read_html(file: SourceFile) -> ReadDocument:
    """A whole page with its title and metadata."""
    text = text_or_refuse(file.data, file.name, declared_charset(file.data))
    page = PageParser(file.draft())
    page.feed_all(text)
    return page.draft.build(file.name, file.media_type, page.metadata(), page.title)


def write_html(draft: Draft, markup: str) -> "PageParser":
    """Appends the visible content of `markup` to `draft`; returns the parser for its title and metadata."""
    page = PageParser(draft)
    page.feed_all(markup)
    return page


def declared_charset(data: bytes) -> str:
    """The encoding that the first 2 KiB declare, or an empty string."""
    match = _CHARSET.search(data[:2048])
    return match[1].decode("ascii") if match else ""


class PageParser(HTMLParser):
    """Writes blocks as they end. Inside a table cell everything is text of the cell; nested tables are flattened."""

    def __init__(self, draft: Draft) -> None:
        super().__init__(convert_charrefs=True)
        self.draft = draft
        self.title = ""
        self._meta: dict[str, object] = {}
        self._text: list[str] = []
        self._open: list[str] = []
        self._unseen: list[int] = []  # depths at which something invisible began
        self._rows: list[list[str]] = []
        self._tables = 0
        self._header = False
        self._in_title = False

    def feed_all(self, markup: str) -> None:
        self.feed(markup)
        self.close()
        self._end_table()
        self._flush()

    def metadata(self) -> dict[str, MetadataValue]:
        return clean_metadata(self._meta)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self._read_head(tag, values)
        self._close_implied(tag)
        if tag in _BLOCKS:
            self._begin_block(tag)
        elif tag == "br":
            self._text.append("\n")
        elif tag == "img" and not self._unseen and values.get("alt"):
            self._text.append(f" {values['alt']} ")
        if tag in _VOID:
            return
        if len(self._open) >= _MAX_DEPTH:
            raise DocumentError("the page is nested too deep", code="nested_too_deep", hint="Flatten its elements.")
        self._open.append(tag)
        hidden = "hidden" in values or values.get("aria-hidden") == "true" or _HIDING.search(values.get("style", ""))
        if tag in _UNSEEN or (hidden and tag not in ("html", "body")):
            self._unseen.append(len(self._open))

    def handle_endtag(self, tag: str) -> None:
        if tag == "title":
            self._in_title = False
        if tag in _BLOCKS:
            self._end_block(tag)
        if tag in self._open:
            self._pop(tag)

    def handle_data(self, data: str) -> None:
        if self._in_title:
            self.title += data
        elif not self._unseen:
            self._text.append(data if "pre" in self._open else data.replace("\n", " "))

    def _read_head(self, tag: str, values: dict[str, str]) -> None:
        if tag == "html" and values.get("lang"):
            self._meta.setdefault("language", values["lang"])
        elif tag == "title" and not self.title and "svg" not in self._open:
            self._in_title = True
        elif tag == "body":
            self._unseen = []
        if tag != "meta":
            return
        name = (values.get("name") or values.get("property") or values.get("http-equiv") or "").lower()
        if name in _META and values.get("content"):
            self._meta.setdefault(_META[name], values["content"])

    def _begin_block(self, tag: str) -> None:
        if tag == "table":
            if not self._tables:
                self._flush()
                self._rows = []
                self._header = False
            self._tables += 1
        elif self._tables == 1 and tag == "tr":
            self._end_cell()
            self._rows.append([])
        elif self._tables == 1 and tag in ("td", "th"):
            self._end_cell()
            if not self._rows:
                self._rows.append([])
            self._header = self._header or (tag == "th" and len(self._rows) == 1)
            self._rows[-1].append("")
        elif self._tables:
            self._text.append(" ")
        else:
            self._flush()

    def _close_implied(self, tag: str) -> None:
        if tag in _BLOCKS and self._open and self._open[-1] == "p":
            if not self._tables:
                self._flush()
            self._pop("p")
        ends, stops = _IMPLIED.get(tag, (set(), set()))
        for open_tag in reversed(self._open) if ends else ():
            if open_tag in stops:
                break
            if open_tag in ends:
                if not self._tables:
                    self._flush()
                self._pop(open_tag)
                break

    def _pop(self, tag: str) -> None:
        while self._open.pop() != tag:
            pass
        while self._unseen and self._unseen[-1] > len(self._open):
            self._unseen.pop()

    def _end_block(self, tag: str) -> None:
        if self._tables:
            if tag == "table":
                self._tables -= 1
                if not self._tables:
                    self._tables = 1
                    self._end_table()
            elif self._tables == 1 and tag in ("td", "th", "tr", "caption"):
                self._end_cell()
            else:
                self._text.append(" ")
            return
        self._flush()

    def _end_cell(self) -> None:
        text = _SPACES.sub(" ", "".join(self._text)).strip()
        self._text = []
        if self._rows and self._rows[-1]:
            self._rows[-1][-1] = f"{self._rows[-1][-1]} {text}".strip()
        elif text:
            self.draft.paragraph(text)

    def _end_table(self) -> None:
        if not self._tables:
            return
        self._end_cell()
        self._tables = 0
        rows, self._rows = self._rows, []
        write_table(self.draft, rows, header_known=self._header and len(rows) > 1)

    def _flush(self) -> None:
        raw, self._text = "".join(self._text), []
        kind = next((tag for tag in reversed(self._open) if tag in _SHAPING), "p")
        if kind == "pre":
            self.draft.code(raw)
            return
        text = _SPACES.sub(lambda match: "\n" if "\n" in match[0] else " ", raw).strip()
        if kind in _HEADINGS:
            self.draft.heading(text, _HEADINGS[kind])
        elif kind in ("li", "dd", "dt"):
            self.draft.item(text)
        else:
            self.draft.paragraph(text)
