"""Printing: one JSON document, tables that fit the terminal or plain columns in a pipe, sizes and times for people."""

import json
import sys
import textwrap
import time
from collections.abc import Sequence
from typing import Any

import rich_click as click


def on_terminal() -> bool:
    """Whether stdout is a terminal: colours, tables and wrapping are for it alone."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """Exactly one JSON document on stdout."""
    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, empty: str = "none") -> None:
    """A table on a terminal; in a pipe, columns aligned by spaces, one row a line, nothing cut."""
    texts = [["" if cell is None else str(cell) for cell in row] for row in rows]
    if not texts:
        click.echo(empty)
    elif on_terminal():
        _rich_table(columns, texts)
    else:
        table = [list(columns), *texts]
        widths = [max(len(row[i]) for row in table) for i in range(len(columns))]
        for row in table:
            click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _rich_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*[_plain(cell) for cell in row])
    Console().print(table)


def _plain(cell: str) -> Any:
    from rich.text import Text

    return Text(cell)  # square brackets in a document's name are no markup


def print_pairs(pairs: Sequence[tuple[str, object]]) -> None:
    """`name  value` lines, aligned."""
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        click.echo(f"{name.ljust(width)}  {'' if value is None else value}")


def print_text(text: str, *, indent: str = "") -> None:
    """Text wrapped to the terminal; in a pipe one paragraph is one line."""
    if not on_terminal():
        click.echo(indent + " ".join(text.split()))
        return
    from shutil import get_terminal_size

    width = max(40, min(get_terminal_size().columns, 110))
    click.echo(textwrap.fill(" ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent))


def heading(text: str) -> None:
    """A line that stands out on a terminal (and is plain in a pipe)."""
    click.secho(text, bold=True)


def dim(text: str) -> str:
    """Text of second rank."""
    return click.style(text, dim=True) if on_terminal() else text


def place(citation: dict[str, Any]) -> str:
    """Where a passage is: `source:page`, or `source` for documents without pages."""
    page = citation.get("page")
    return f"{citation['source']}:{page}" if page else str(citation["source"])


def snippet(text: str, characters: int = 300) -> str:
    """The beginning of a text on one line, cut at a word."""
    return textwrap.shorten(" ".join(text.split()), characters, placeholder=" …")


def size(count: float) -> str:
    """Bytes for people: 1536 is `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if abs(count) < 1024 or unit == "GiB":
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


def duration(seconds: float) -> str:
    """Seconds for people: 75 is `1 min 15 s`."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def moment(epoch_s: float | None) -> str:
    """A time of this host's clock, to the second."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(epoch_s)) if epoch_s else ""
