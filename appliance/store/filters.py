"""Filters on documents: metadata as rows that an index can serve, and a Filter as SQL over them."""

import math
from collections.abc import Callable
from datetime import UTC, datetime

from appliance.dates import FIRST_YEAR, LAST_YEAR, after, earliest, iso_date, wider, written_date
from appliance.errors import InvalidFilter
from appliance.types import AllOf, AnyOf, Comparison, Filter, Metadata, MetadataValue, Not

MAX_CONDITIONS = 200
MAX_DEPTH = 30
MAX_UNION = 20  # selects of one comparison
Sql = tuple[str, list[str | float]]  # a condition on a row `d` of documents, and its parameters
MetadataRow = tuple[str, str, float | None, int]  # field, text (case-folded), number, listed

# A metadata row whose text is a date (see `appliance.dates`).
_YEAR = "[12][0-9][0-9][0-9]"
IS_DATE = "(" + " OR ".join(f"text GLOB '{_YEAR}{rest}'" for rest in (
    "", "-[01][0-9]", "-[01][0-9]-[0-3][0-9]", "-[01][0-9]-[0-3][0-9][t ]*")) + ")"  # fmt: skip
IS_PLAIN = f"(number IS NULL AND NOT {IS_DATE})"

_ORDERING = {"<", "<=", ">", ">="}
_OPERATORS = {"=", "!=", "in", "contains", "exists"} | _ORDERING


def metadata_rows(metadata: Metadata) -> list[MetadataRow]:
    """One row per value, kept as text; where it reads as a number, as a number too; an ISO date in its one form."""
    rows: list[MetadataRow] = []
    for field, value in metadata.items():
        listed = isinstance(value, list)
        for item in value if isinstance(value, list) else [value]:
            rows.append((field, _text(item), _number(item), int(listed)))
    return rows


def where(filters: Filter) -> Sql:
    """The condition on documents `d`.

    Text compares without case. `!=` also passes documents without the field. Numbers compare as numbers when the value
    reads as one. Dates compare at the precision they are written with: a condition holds when it holds for every
    moment the stored date may mean (`date < 2020-06` passes 2020-05 and 2019, and neither 2020 nor 2020-06). The fields
    source, title, media_type, added_at and id are the document's own. Raises InvalidFilter.
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
    tests = _metadata_tests(condition.op, condition.value)
    groups = [
        tests[first::MAX_UNION] for first in range(min(MAX_UNION, len(tests)))
    ]  # SQLite bounds what a union joins
    rows = [
        f"SELECT document_id FROM metadata WHERE field = ? AND ({' OR '.join(f'({test})' for test, _ in group)})"
        for group in groups
    ]
    found = f"d.id IN ({' UNION ALL '.join(rows)})" if rows else "0"
    if condition.op == "exists" and condition.value is False:
        found = f"NOT ({found})"
    return found, [each for group in groups for each in (condition.field, *(v for _, values in group for v in values))]


def _metadata_tests(operator: str, value: MetadataValue) -> list[Sql]:
    """Tests of one metadata row, without its field, of which one must hold: each is a range of an index by itself."""
    if isinstance(value, list):
        return [test for item in value for test in _metadata_tests("=", item)]
    text, number, date = _text(value), _number(value), date_of(value)
    if operator == "exists":
        return [("1", [])]
    if operator == "contains":
        return [("(listed AND text = ?) OR (NOT listed AND instr(text, ?) > 0)", [text, text])]
    if number is None and date is None:
        return [(f"text {operator} ?", [text])]
    forms: list[Sql] = [] if number is None else [(f"number {operator} ?", [number])]
    if date is not None:
        forms.append(_date_test(operator, date, beside_numbers=number is not None))
    if operator == "=":
        forms.append(("text = ?", [text]))
    return forms


def _date_test(operator: str, date: str, *, beside_numbers: bool) -> Sql:
    """All of the row's date is before, within or after all of `date`; a year that is a number is compared as one."""
    first, last = earliest(date), after(date)
    limits: dict[str, Sql] = {
        "=": ("text >= ? AND text < ?", [date, date + "~"]),  # begins with it
        ">=": ("text >= ?", [first]),
        ">": ("text >= ?", [last]),
        "<": _wholly_before(first),
        "<=": _wholly_before(last),
    }
    test, parameters = limits[operator]
    return f"({test} AND {IS_DATE}{' AND number IS NULL' if beside_numbers else ''})", parameters


def _wholly_before(date: str) -> Sql:
    """A wider date that holds it is a smaller text, but reaches past it."""
    holding = wider(date)
    marks = ",".join("?" * len(holding))
    return (f"text < ? AND text NOT IN ({marks})" if holding else "text < ?"), [date, *holding]


def date_of(value: MetadataValue) -> str | None:
    """The date that a filter's value names: a text that reads as one, or a year as a whole number."""
    if isinstance(value, str):
        return written_date(value)
    is_year = isinstance(value, int) and not isinstance(value, bool) and FIRST_YEAR <= value <= LAST_YEAR
    return str(value) if is_year else None


def _own_text(condition: Comparison) -> Sql:
    """source, title and media_type: text only."""
    column = f"casefold(d.{condition.field})"
    if condition.op == "exists":
        return ("1" if condition.value else "0"), []
    if isinstance(condition.value, list):
        return f"{column} IN ({','.join('?' * len(condition.value))})", [
            str(item).casefold() for item in condition.value
        ]
    if condition.op == "contains":
        return f"instr({column}, ?) > 0", [str(condition.value).casefold()]
    return f"{column} {condition.op} ?", [str(condition.value).casefold()]


def _own_number(condition: Comparison) -> Sql:
    """id, and added_at as seconds since the epoch or an ISO date (UTC where it names no zone)."""
    column = f"d.{condition.field}"
    if condition.op == "exists":
        return ("1" if condition.value else "0"), []
    if condition.op == "contains":
        raise InvalidFilter(f"`{condition.field}` is a number, which contains nothing.", hint="Use = or >=.")
    if isinstance(condition.value, list):
        parts = [_own_number(Comparison(condition.field, "=", item)) for item in condition.value]
        joined = " OR ".join(f"({test})" for test, _ in parts)
        return joined or "0", [number for _, numbers in parts for number in numbers]
    if condition.field == "added_at" and (date := date_of(condition.value)) is not None:
        start, end = _epoch(earliest(date)), _epoch(after(date))
        limits: dict[str, Sql] = {
            "=": (f"{column} >= ? AND {column} < ?", [start, end]),
            ">=": (f"{column} >= ?", [start]),
            ">": (f"{column} >= ?", [end]),
            "<": (f"{column} < ?", [start]),
            "<=": (f"{column} < ?", [end]),
        }
        return limits[condition.op]
    number = _number(condition.value)
    if number is None:
        raise InvalidFilter(
            f"`{condition.field}` cannot be compared with {str(condition.value)[:80]!r}.",
            hint="Give a number, or for added_at a date such as 2026-01-31.",
        )
    return f"{column} {condition.op} ?", [number]


def _epoch(date: str) -> float:
    """Seconds since the epoch of a date's first moment."""
    whole = date + "0000-01-01t00:00:00"[len(date) :]
    return datetime.fromisoformat(whole).replace(tzinfo=UTC).timestamp()


_OWN_FIELDS: dict[str, Callable[[Comparison], Sql]] = {
    "source": _own_text,
    "title": _own_text,
    "media_type": _own_text,
    "added_at": _own_number,
    "id": _own_number,
}


def _text(value: MetadataValue) -> str:
    """As it is compared: dates in their one form, everything else without case."""
    date = iso_date(value) if isinstance(value, str) else None
    return date or str(value).casefold()


def _number(value: MetadataValue) -> float | None:
    """The value as a number, also when it is text that reads as one; None when it is not one or not finite."""
    try:
        number = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


OWN_FIELDS = tuple(_OWN_FIELDS)
