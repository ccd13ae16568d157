"""A measured figure beside what it must reach."""

from typing import Any


def against(value: float, limit: float, *, at_most: bool = False) -> dict[str, Any]:
    """{"must", "is", "mark"}: the mark is ok where `value` is at least, or at most, `limit`, else short."""
    met = value <= limit if at_most else value >= limit
    return {"must": f"{'<=' if at_most else '>='} {limit:g}", "is": value, "mark": "ok" if met else "short"}
