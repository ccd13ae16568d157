"""The benchmarks' progress bars: on a terminal, and nothing elsewhere."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

_T = TypeVar("_T")


@contextmanager
def bar(
    label: str, total: float, *, told: ProgressColumn | None = None, **fields: Any
) -> Iterator[Callable[..., None]]:
    """Gives what moves the bar: `rich.progress.Progress.update` of it. `told` stands between bar and time left, and may
    show `fields`; how many of how many, where it is left out.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), told or MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal, transient=True) as progress:
        task = progress.add_task(label, total=total, **fields)
        yield lambda **changed: progress.update(task, **changed)


def tracked(items: Sequence[_T], label: str) -> Iterator[_T]:
    """The items, with a bar while they are taken."""
    with bar(label, len(items)) as move:
        for item in items:
            yield item
            move(advance=1)
