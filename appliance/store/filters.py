"""Filters on documents: metadata as rows that an index can serve, and a Filter as SQL over them."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from appliance.errors import InvalidFilter
from appliance.types import AllOf, AnyOf, Comparison, Filter, Metadata, MetadataValue, Not

MAX_CONDITIONS = 200
MAX_DEPTH = 30
Sql = tuple[str, list[str | float]]  # a condition on a row `d` of documents, and its parameters
MetadataRow = tuple[str, str, float | None, int]  # field, text (case-folded), number, listed

_ORDERING = {"<", "<=", ">", ">="}
_OPERATORS = {"=", "!=", "in", "contains", "exists"} | _ORDERING


def metadata_rows(metadata: Metadata) -> list[MetadataRow]:
    """One row per value. A value is kept as text and, where it reads as a number, as a number too."""
    rows: list[MetadataRow] = []
    for field, value in metadata.items():
        listed = isinstance(value, list)
        for item in value if isinstance(value, list) else [value]:
            rows.append((field, _text(item), _number(item), int(listed)))
    return rows


def where(filters: Filter) -> Sql:
    """The condition on documents `d`.

    Text compares without case. `!=` also passes documents without the field. Numbers compare as numbers when the value
    reads as one, dates as ISO text. The fields source, title, media_type, added_at and id are the document's own.
    Raises InvalidFilter.
    """
    _check_size(filters)
    return _where(filters)


def _check_size(filters: Filter) -> None:
    """Iterative, so that a deep filter cannot exhaust the stack."""
    pending, conditions = [(filters, 1)], 0
    while pending:
        part, depth = pending.pop()
        conditions += 1
        if depth > MAX_DEPTH or conditions > MAX_CONDITIONS:
            raise InvalidFilter(
                f"The filter has more than {MAX_CONDITIONS} conditions or {MAX_DEPTH} levels.",
                hint="Use fewer conditions; `in` takes a list of values.",
            )
        if isinstance(part, AllOf | AnyOf):
            pending += [(inner, depth + 1) for inner in part.parts]
        elif isinstance(part, Not):
            pending.append((part.part, depth + 1))


def _where(filters: Filter) -> Sql:
    if isinstance(filters, Not):
        condition, parameters = _where(filters.part)
        return f"NOT ({condition})", parameters
    if isinstance(filters, AllOf | AnyOf):
        joint, empty = (" AND ", "1") if isinstance(filters, AllOf) else (" OR ", "0")
        parts = [_where(part) for part in filters.parts]
        return (
            joint.join(f"({condition})" for condition, _ in parts) or empty,
            [parameter for _, parameters in parts for parameter in parameters],
        )
    return _comparison(filters)


def _comparison(condition: Comparison) -> Sql:
    if condition.op not in _OPERATORS:
        raise InvalidFilter(f"Unknown operator {condition.op!r}.", hint=f"Use one of {' '.join(sorted(_OPERATORS))}.")
    if isinstance(condition.value, list) != (condition.op == "in"):
        what = "a list of values" if condition.op == "in" else "one value"
        raise InvalidFilter(f"`{condition.field} {condition.op}` needs {what}.", hint="For several values use `in`.")
    if condition.op == "!=":
        equal, parameters = _comparison(Comparison(condition.field, "=", condition.value))
        return f"NOT ({equal})", parameters
    return _OWN_FIELDS.get(condition.field, _metadata)(condition)


def _metadata(condition: Comparison) -> Sql:
    test, parameters = _metadata_test(condition.op, condition.value)
    found = f"d.id IN (SELECT document_id FROM metadata WHERE field = ? AND {test})"
    if condition.op == "exists" and condition.value is False:
        found = f"NOT ({found})"
    return found, [condition.field, *parameters]


def _metadata_test(operator: str, value: MetadataValue) -> Sql:
    """A test of one metadata row, without its field."""
    if isinstance(value, list):
        tests = [_metadata_test("=", item) for item in value]
        return (
            f"({' OR '.join(test for test, _ in tests) or '0'})",
            [parameter for _, parameters in tests for parameter in parameters],
        )
    text, number = _text(value), _number(value)
    if operator == "exists":
        return "1", []
    if operator == "contains":
        return "((listed AND text = ?) OR (NOT listed AND instr(text, ?) > 0))", [text, text]
    if number is None:
        return f"text {operator} ?", [text]
    if operator in _ORDERING:
        return f"number {operator} ?", [number]
    return "(number = ? OR text = ?)", [number, text]


def _own_text(condition: Comparison) -> Sql:
    """source, title and media_type: text only."""
    column = f"casefold(d.{condition.field})"
    if condition.op == "exists":
        return ("1" if condition.value else "0"), []
    if isinstance(condition.value, list):
        return f"{column} IN ({','.join('?' * len(condition.value))})", [_text(item) for item in condition.value]
    if condition.op == "contains":
        return f"instr({column}, ?) > 0", [_text(condition.value)]
    return f"{column} {condition.op} ?", [_text(condition.value)]


def _own_number(condition: Comparison) -> Sql:
    """id, and added_at as seconds since the epoch or an ISO date (UTC where it names no zone)."""
    column = f"d.{condition.field}"
    if condition.op == "exists":
        return ("1" if condition.value else "0"), []
    if condition.op == "contains":
        raise InvalidFilter(f"`{condition.field}` is a number, which contains nothing.", hint="Use = or >=.")
    items = condition.value if isinstance(condition.value, list) else [condition.value]
    numbers: list[str | float] = [_moment(condition.field, item) for item in items]
    if condition.op == "in":
        return f"{column} IN ({','.join('?' * len(numbers))})", numbers
    return f"{column} {condition.op} ?", numbers


def _moment(field: str, value: MetadataValue) -> float:
    number = _number(value)
    if number is not None:
        return number
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise InvalidFilter(
            f"`{field}` cannot be compared with {str(value)[:80]!r}.",
            hint="Give a number, or for added_at a date such as 2026-01-31.",
        ) from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


_OWN_FIELDS: dict[str, Callable[[Comparison], Sql]] = {
    "source": _own_text,
    "title": _own_text,
    "media_type": _own_text,
    "added_at": _own_number,
    "id": _own_number,
}


def _text(value: MetadataValue) -> str:
    return str(value).casefold()


def _number(value: MetadataValue) -> float | None:
    """The value as a number, also when it is text that reads as one; None when it is not one or not finite."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None
