"""A trace as a waterfall: each step with its bar, those that are part of another below it, indented."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import rich_click as click

from appliance.cli.output import dim, on_terminal

if TYPE_CHECKING:
    from appliance.cli.client import Client

NAME_WIDTH, TIME_WIDTH, LEAST_BAR = 22, 10, 12
NARROW, WIDE = 80, 120  # columns
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_HIDDEN = {"method", "route", "status", "ms", "principal", "question_digest", "query_id"}  # of the root, in the heading


trace_option = click.option("--trace", is_flag=True, help="Show where the time went, as a waterfall.")


def trace_of(client: "Client", query_id: str) -> dict[str, Any]:
    """{"trace": …} of a question that was just answered. Raises Problem where the key is no admin's."""
    return {"trace": client.get(f"/admin/traces/{query_id}")}


def print_traced(found: dict[str, Any]) -> None:
    """What `trace_of` gave, below an answer."""
    if found:
        click.echo()
        print_waterfall(found["trace"])


def print_waterfall(trace: dict[str, Any], *, width: int | None = None) -> None:
    """Print it on `width` columns: those of the terminal, or 80 in a pipe."""
    for line in waterfall(trace, _width() if width is None else width):
        click.echo(line)


def _width() -> int:
    from shutil import get_terminal_size

    return max(NARROW // 2, min(WIDE, get_terminal_size().columns)) if on_terminal() else NARROW


def waterfall(trace: dict[str, Any], width: int) -> Iterator[str]:
    """The lines: a heading, a line a step in the order of their beginning, and what was left out."""
    spans = trace["spans"]
    total = max([trace["duration_ms"], *(span["start_ms"] + span["duration_ms"] for span in spans), 0.001])
    bar = max(LEAST_BAR, width - NAME_WIDTH - TIME_WIDTH - 2)
    yield f"{trace['query_id']}  {trace['route']}  {trace['duration_ms']:.3f} ms  status {trace['status']}"
    told = _told(spans[0]["attributes"], _HIDDEN) if spans else ""
    if told:
        yield dim(told[:width])
    for span, depth in _ordered(spans):
        name = f"{'  ' * min(depth, 6)}{span['name']}"[:NAME_WIDTH].ljust(NAME_WIDTH)
        time = f"{span['duration_ms']:.3f}".rjust(TIME_WIDTH)
        drawn = _bar(span["start_ms"] / total, span["duration_ms"] / total, bar)
        yield f"{name} {click.style(drawn, fg=_colour(span)) if on_terminal() else drawn} {time}".rstrip()
        note = " ".join(
            filter(None, ("" if span["status"] == "ok" else f"! {span['status']}", _told(span["attributes"])))
        )
        if note and depth:
            yield dim(f"{'  ' * min(depth, 6)}  {note}"[:width])
    for name, left in trace["left_out"].items():
        yield dim(f"{name}: {left['spans']:,} more, {left['ms']:.3f} ms in all"[:width])


def _told(attributes: dict[str, Any], hidden: Sequence[str] | set[str] = ()) -> str:
    return " ".join(f"{name}={value}" for name, value in attributes.items() if name not in hidden and value != "")


def _ordered(spans: list[dict[str, Any]]) -> Iterator[tuple[dict[str, Any], int]]:
    """Depth first, siblings by their beginning; with the depth."""
    below: dict[int | None, list[int]] = {}
    for place, span in enumerate(spans):
        below.setdefault(span["parent"], []).append(place)
    waiting = [(place, 0) for place in below.get(None, [])]
    while waiting:
        place, depth = waiting.pop()
        yield spans[place], depth
        inner = sorted(below.get(place, []), key=lambda one: spans[one]["start_ms"], reverse=True)
        waiting += [(one, depth + 1) for one in inner]


def _bar(start: float, length: float, width: int) -> str:
    """A bar from `start` (0 to 1) of `length`, drawn in eighths; the shortest still shows as a thin line."""
    first = min(int(start * width * 8), width * 8 - 1)
    last = min(width * 8, max(first + 1, round((start + length) * width * 8)))
    cells = []
    for cell in range(width):
        low, high = max(first, cell * 8), min(last, cell * 8 + 8)
        filled = max(0, high - low)
        cells.append("█" if filled and low > cell * 8 and high == cell * 8 + 8 else _EIGHTHS[filled])
    return "".join(cells)


def _colour(span: dict[str, Any]) -> str:
    return "cyan" if span["status"] == "ok" else "yellow" if span["status"] == "unfinished" else "red"
