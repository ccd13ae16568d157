"""Plain text, Markdown and source code."""

import re

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, canonical, clean_metadata, file_title
from appliance.ingest.readers.encoding import text_or_refuse
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.tables import write_table
from appliance.types import Block, BlockKind, MetadataValue, ReadDocument

_BLANK = re.compile(r"\n(?:[^\S\n]*\n)+")
_UNDERLINE = re.compile(r"^([=\-~^\"'#*+])\1{2,}\s*$")
_NUMBERED = re.compile(r"^(\d{1,2}(?:\.\d{1,2}){0,4})\.?\s+\S")
_BULLET = re.compile(r"^\s*(?:[-*+•‣–]|\(?(?:\d{1,3}|[a-zA-Z])[.)])\s+\S")
_FENCE = re.compile(r"^ {0,3}(`{3,}|~{3,})")
_ATX = re.compile(r"^ {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_RULE = re.compile(r"^ {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_TABLE_LINE = re.compile(r"^ {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_FRONT = re.compile(r"\A---\n(.*?)\n(?:---|\.\.\.)[ \t]*(?:\n|\Z)", re.S)
_FRONT_LINE = re.compile(r"^([A-Za-z][\w -]{0,40}):[ \t]*(.*)$")
_COMMENT = re.compile(r"<!--.*?(?:-->|\Z)", re.S)
_LINK = re.compile(
    r"!?\[([^\[\]\n]{0,500})\]\([^()\s]{0,1000}(?:\([^()\s]{0,200}\)[^()\s]{0,500})?(?:[ \t]+\"[^\"\n]{0,300}\")?\)"
)
_STRONG = re.compile(r"\*\*(?=\S)([^*\n]{1,500}?)(?<=\S)\*\*")
_TICKS = re.compile(r"(?<!`)`([^`\n]{1,500})`(?!`)")
_CELL_SPLIT = re.compile(r"(?<!\\)\|")


def read_plain(file: SourceFile) -> ReadDocument:
    """Text kept as it is but for line ends; form feeds are page breaks; blank lines part paragraphs."""
    raw = text_or_refuse(file.data, file.name)
    _check_length(raw, file)
    sheets = raw.split("\f")
    draft = file.draft()
    for number, sheet in enumerate(sheets, 1):
        if len(sheets) > 1:
            draft.page(number)
        write_text(draft, sheet)
    return draft.build(file.name, file.media_type)


def write_text(draft: Draft, text: str) -> None:
    """Appends plain text to `draft`, paragraph by paragraph."""
    for part in _BLANK.split(canonical(text)):
        _plain_part(draft, part)


def _plain_part(draft: Draft, part: str) -> None:
    """One run of lines without a blank one: an underlined or numbered heading, list items, or a paragraph."""
    lines = part.strip("\n").split("\n")
    if len(lines) >= 2 and _UNDERLINE.match(lines[1]) and 0 < len(lines[0].strip()) <= len(lines[1].strip()) + 2:
        draft.heading(lines[0], 1 if lines[1].startswith("=") else 2)
        lines = lines[2:]
    elif (
        len(lines) == 1
        and len(lines[0]) <= 80
        and (found := _NUMBERED.match(lines[0]))
        and lines[0].rstrip()[-1] not in ".;,:!?"
    ):
        draft.heading(lines[0], found[1].count(".") + 1)
        return
    start = 0
    for index, line in enumerate(lines):
        if _BULLET.match(line) and index > start:
            _plain_lines(draft, lines[start:index])
            start = index
    _plain_lines(draft, lines[start:])


def _plain_lines(draft: Draft, lines: list[str]) -> None:
    if lines and _BULLET.match(lines[0]):
        draft.item("\n".join(lines))
    elif lines:
        draft.paragraph("\n".join(lines))


def read_code(file: SourceFile) -> ReadDocument:
    """Source code, unchanged but for line ends.

    Blocks are runs of lines between blank lines before an unindented line.
    """
    text = canonical(text_or_refuse(file.data, file.name)).rstrip()
    _check_length(text, file)
    blocks: list[Block] = []
    start = 0
    for match in re.finditer(r"\n(?:[^\S\n]*\n)+(?=\S)", text):
        if text[start : match.start()].strip():
            blocks.append(Block(BlockKind.CODE, start, match.start()))
        start = match.end()
    if text[start:].strip():
        blocks.append(Block(BlockKind.CODE, start, len(text)))
    if not blocks:
        raise DocumentError("the file has no text", code="no_text", hint="It holds only white space.")
    language = file.media_type.removeprefix("text/x-")
    return ReadDocument(
        file_title(file.name), file.media_type, text, tuple(blocks), (), {"programming_language": language}
    )


def read_markdown(file: SourceFile) -> ReadDocument:
    """Markdown: front matter becomes metadata, tables become rows with their header, emphasis and link targets go."""
    text = canonical(text_or_refuse(file.data, file.name))
    _check_length(text, file)
    metadata: dict[str, MetadataValue] = {}
    if front := _FRONT.match(text):
        metadata = _front_matter(front[1])
        text = text[front.end() :]
    draft = file.draft()
    write_markdown(draft, text)
    return draft.build(file.name, file.media_type, metadata, str(metadata.get("title", "")))


def write_markdown(draft: Draft, text: str) -> None:
    """Appends Markdown to `draft`."""
    _Markdown(draft).write(_COMMENT.sub("", canonical(text)).split("\n"))


def inline(text: str) -> str:
    """Markdown's emphasis, code marks and link targets taken out of a line of prose."""
    return _TICKS.sub(r"\1", _STRONG.sub(r"\1", _LINK.sub(r"\1", text)))


class _Markdown:
    """Walks lines and writes blocks; `_pending` holds the lines of the paragraph being read."""

    def __init__(self, draft: Draft) -> None:
        self._draft = draft
        self._pending: list[str] = []

    def write(self, lines: list[str]) -> None:
        index = 0
        while index < len(lines):
            index = self._line(lines, index)
        self._flush()

    def _line(self, lines: list[str], index: int) -> int:
        """Takes the block that starts at `index`; returns where the next one starts."""
        line = lines[index]
        if fence := _FENCE.match(line):
            return self._fenced(lines, index, fence[1])
        if heading := _ATX.match(line):
            self._flush()
            self._draft.heading(inline(heading[2] or ""), len(heading[1]))
        elif self._pending and not _BULLET.match(self._pending[0]) and re.match(r"^ {0,3}(=+|-{2,})[ \t]*$", line):
            text = " ".join(self._pending)
            self._pending = []
            self._draft.heading(inline(text), 1 if "=" in line else 2)
        elif "|" in line and index + 1 < len(lines) and "-" in lines[index + 1] and _TABLE_LINE.match(lines[index + 1]):
            return self._table(lines, index)
        elif not line.strip() or _RULE.match(line):
            self._flush()
        else:
            if _BULLET.match(line):
                self._flush()
            self._pending.append(line)
        return index + 1

    def _fenced(self, lines: list[str], index: int, fence: str) -> int:
        self._flush()
        end = index + 1
        while end < len(lines) and not lines[end].strip().startswith(fence):
            end += 1
        self._draft.code("\n".join(lines[index + 1 : end]))
        return end + 1

    def _table(self, lines: list[str], index: int) -> int:
        self._flush()
        end = index + 2
        while end < len(lines) and "|" in lines[end] and lines[end].strip():
            end += 1
        rows = [lines[index], *lines[index + 2 : end]]
        cells = [
            [inline(cell.strip().replace("\\|", "|")) for cell in _CELL_SPLIT.split(row.strip().strip("|"))]
            for row in rows
        ]
        write_table(self._draft, cells, header_known=True)
        return end

    def _flush(self) -> None:
        lines, self._pending = self._pending, []
        if not lines:
            return
        text = inline("\n".join(re.sub(r"^ {0,3}>[ \t]?", "", line) for line in lines))
        if _BULLET.match(lines[0]):
            self._draft.item(text)
        elif all(line.startswith(("    ", "\t")) for line in lines):
            self._draft.code("\n".join(lines))
        else:
            self._draft.paragraph(text)


def _front_matter(text: str) -> dict[str, MetadataValue]:
    """The plain `key: value` and `key: [a, b]` lines of a YAML front matter; nesting is left out."""
    fields: dict[str, object] = {}
    for line in text.split("\n")[:200]:
        if not (match := _FRONT_LINE.match(line)):
            continue
        value = match[2].strip()
        if value.startswith("[") and value.endswith("]"):
            fields[match[1].strip().lower()] = [part.strip().strip("'\"") for part in value[1:-1].split(",")]
        else:
            fields[match[1].strip().lower()] = value.strip("'\"")
    return clean_metadata(fields)


def _check_length(text: str, file: SourceFile) -> None:
    if len(text) > file.limits.output_characters:
        raise DocumentError(
            f"the text is longer than {file.limits.output_characters:,} characters",
            code="output_limit",
            hint="Split the document, or raise the limit on text per document.",
        )
