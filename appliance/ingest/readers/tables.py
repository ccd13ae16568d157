"""Tables as lines that keep their header: `Name: Ada; Year: 1843`."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, canonical, clean_metadata
from appliance.ingest.readers.encoding import text_or_refuse
from appliance.ingest.readers.source import SourceFile
from appliance.types import ReadDocument

_NUMBER = re.compile(r"^[\s$€£¥%()+\-.,\d:/]*\d[\s$€£¥%()+\-.,\d:/]*$")
_MIDNIGHT = re.compile(r"^(\d{4}-\d\d-\d\d)[T ]00:00:00(\.0+)?Z?$")
_SPACES = re.compile(r"\s+")
_DELIMITERS = ",;\t|"
_MAX_COLUMNS = 2000


def write_table(draft: Draft, rows: Iterable[Sequence[str]], *, header_known: bool = False) -> None:
    """Each row as one line of `draft`. Blank rows separate tables; a lone cell above a table is its caption.

    `header_known` says that the first row of the first table is a header; otherwise a row is one when it holds no
    number while the rows below do, or when all its cells are short, filled and different.
    """
    for table in _tables(rows):
        while len(table) > 1 and sum(map(bool, table[0])) == 1 and max(sum(map(bool, row)) for row in table) > 1:
            draft.paragraph(next(filter(None, table.pop(0))))
        header: Sequence[str] = ()
        if len(table) > 1 and (header_known or _is_header(table)):
            header = table.pop(0)
        header_known = False
        for row in table:
            draft.row(row_line(header, row))


def row_line(header: Sequence[str], row: Sequence[str]) -> str:
    """`Header: value; Header: value`; values without a header stand alone.

    Empty cells and repeats of merged cells are left out.
    """
    parts: list[str] = []
    for index, value in enumerate(row):
        name = header[index] if index < len(header) else ""
        part = f"{name}: {value}" if name and name != value else value
        if value and (not parts or parts[-1] != part):
            parts.append(part)
    return "; ".join(parts)


def read_csv(file: SourceFile) -> ReadDocument:
    """Comma-, semicolon-, tab- or bar-separated values."""
    text = canonical(text_or_refuse(file.data, file.name))
    delimiter = sniff_delimiter(text) or ("\t" if file.media_type == "text/tab-separated-values" else ",")
    draft = file.draft()
    csv.field_size_limit(max(len(text), 1))
    try:
        rows = csv.reader(io.StringIO(text), delimiter=delimiter, skipinitialspace=True)
        first = next(rows, [])
        write_table(draft, _chain(first, rows), header_known=_heads(first))
    except csv.Error as error:
        raise DocumentError(f"the table cannot be read: {error}", hint="Check quotes and delimiters.") from error
    return draft.build(
        file.name,
        file.media_type,
        clean_metadata({"columns": [name for name in first if name] if _heads(first) else []}),
    )


def sniff_delimiter(text: str) -> str:
    """The delimiter that splits the first lines into the same number (2 or more) of fields; "" if none does."""
    lines = [line for line in text[:20000].split("\n")[:50] if line.strip()]
    if len(text) > 20000 and len(lines) > 1:
        lines.pop()
    best, best_score = "", 0.5
    for delimiter in _DELIMITERS:
        try:
            counts = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter, skipinitialspace=True) if row)
        except csv.Error:
            continue
        fields, times = counts.most_common(1)[0] if counts else (1, 0)
        score = times / max(sum(counts.values()), 1) + min(fields, 50) * 0.01
        if fields > 1 and score > best_score:
            best, best_score = delimiter, score
    return best


def _chain(first: list[str], rows: Iterable[list[str]]) -> Iterable[list[str]]:
    yield first
    yield from rows


def _heads(row: Sequence[str]) -> bool:
    """Whether the first row of a file of values can be its header: filled, different, without numbers."""
    filled = [cell for cell in row if cell.strip()]
    return bool(filled) and len(set(filled)) == len(filled) and not any(_NUMBER.match(cell) for cell in filled)


def _tables(rows: Iterable[Sequence[str]]) -> Iterable[list[list[str]]]:
    """Runs of rows without a blank one; cells on one line."""
    table: list[list[str]] = []
    for row in rows:
        cells = [_cell(cell) for cell in row[:_MAX_COLUMNS]]
        if any(cells):
            table.append(cells)
        elif table:
            yield table
            table = []
    if table:
        yield table


def _cell(value: str) -> str:
    value = _SPACES.sub(" ", value).strip()
    if match := _MIDNIGHT.match(value):
        return match[1]
    return value


def _is_header(table: Sequence[Sequence[str]]) -> bool:
    first, below = table[0], table[1:6]
    filled = [cell for cell in first if cell]
    width = max(sum(map(bool, row)) for row in below)
    if len(filled) < 2 or len(filled) < width - 1 or any(_NUMBER.match(cell) for cell in filled):
        return False
    numbers = any(_NUMBER.match(cell) for row in below for cell in row if cell)
    short = len(set(filled)) == len(filled) and max(map(len, filled)) <= 40
    return numbers or (short and len(below) > 1)
