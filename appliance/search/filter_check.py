"""Does a filter make sense for a collection? A condition that could never hold is an error, not an empty result."""

from collections.abc import Iterator
from difflib import get_close_matches

from appliance.errors import InvalidFilter
from appliance.store import Store
from appliance.store.filters import OWN_FIELDS, date_of
from appliance.types import AllOf, AnyOf, Comparison, FieldInfo, FieldType, Filter, MetadataValue, Not

NAMED = 8  # fields that an error lists
SHOWN = "`collections fields NAME` shows all fields with their types."


def check_filter(filters: Filter, collection: str, store: Store) -> None:
    """Raises InvalidFilter: `unknown_field` with the nearest names, `wrong_type` with the field's type and values.

    `exists` may ask for any field. An empty collection is not checked.
    """
    conditions = [part for part in comparisons(filters) if part.field not in OWN_FIELDS and part.op != "exists"]
    for condition in conditions:
        if not store.fields.exists(collection, condition.field):
            found = store.documents.collection(collection)
            if found is None or not found.documents:
                return
            raise _unknown(condition.field, store.fields.names(collection))
        for value in condition.value if isinstance(condition.value, list) else [condition.value]:
            kinds = _comparable(condition.op, value)
            if not any(store.fields.holds(collection, condition.field, kind) for kind in kinds):
                raise _wrong_type(condition, value, store.fields.one(collection, condition.field))


def comparisons(filters: Filter) -> Iterator[Comparison]:
    """Every comparison of a filter, in the order in which they stand."""
    match filters:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from comparisons(part)
        case Not(part):
            yield from comparisons(part)
        case Comparison():
            yield filters


def _comparable(operator: str, value: MetadataValue) -> list[FieldType]:
    """The kinds of stored values that `value` can be compared with."""
    if operator == "contains":
        return [FieldType.TEXT]
    if isinstance(value, bool) or str(value).casefold() in {"true", "false"}:
        return [FieldType.BOOLEAN]
    date = date_of(value)
    number = isinstance(value, int | float) or _reads_as_number(value)
    kinds = [kind for kind, fits in ((FieldType.NUMBER, number), (FieldType.DATE, date is not None)) if fits]
    return kinds or [FieldType.TEXT]


def _reads_as_number(value: MetadataValue) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _unknown(field: str, names: list[str]) -> InvalidFilter:
    known = {name.casefold(): name for name in (*names, *OWN_FIELDS)}
    near = [known[name] for name in get_close_matches(field.casefold(), known, n=3, cutoff=0.6)]
    listed = ", ".join(f"`{name}`" for name in near or [*sorted(names)[:NAMED], *OWN_FIELDS])
    return InvalidFilter(
        f"No document of the collection has a field `{field[:80]}`.",
        code="unknown_field",
        hint=f"{'Did you mean' if near else 'There are'} {listed}{'?' if near else '.'} {SHOWN}",
    )


def _wrong_type(condition: Comparison, value: MetadataValue, field: FieldInfo | None) -> InvalidFilter:
    shown = f"`{condition.field} {condition.op} {str(value)[:80]!r}`"
    if field is None:
        return InvalidFilter(f"{shown} can never hold.", code="wrong_type")
    kind = f"a list of {field.type}" if field.listed else str(field.type)
    if field.type in {FieldType.NUMBER, FieldType.DATE}:
        values, way = f"from {_shown(field.least)} to {_shown(field.greatest)}", "Use one of = != < <= > >= in."
    else:
        values, way = f"such as {', '.join(field.examples)}", "Compare it with such a value."
    return InvalidFilter(
        f"{shown} can never hold: `{condition.field}` is {kind}, {values}.", code="wrong_type", hint=f"{way} {SHOWN}"
    )


def _shown(value: str | float) -> str:
    return f"{value:.15g}" if isinstance(value, float) else str(value)
