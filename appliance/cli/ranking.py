"""Options that `search` and `ask` share: how the passages are ranked."""

from collections.abc import Callable
from typing import Any

import rich_click as click

_OPTIONS = (
    click.option(
        "--alpha", type=float, help="0 = keywords only, 1 = meaning only; chosen by the question if left out."
    ),
    click.option("--fusion", type=click.Choice(["auto", "convex", "rrf"]), help="How the two rankings become one."),
    click.option("--rerank/--no-rerank", default=None, help="Read the best passages again with the reranker."),
    click.option("--collapse/--no-collapse", default=None, help="Leave out near duplicates of better passages."),
    click.option("--diversify", type=float, help="Lambda of MMR, 0 to 1: lower prefers passages unlike each other."),
)


def ranking_options(function: Callable[..., Any]) -> Callable[..., Any]:
    """Adds them; the command gets them as keyword arguments `alpha`, `fusion`, `rerank`, `collapse`, `diversify`."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function
