"""The JSON form of filters -> Filter."""

import math
from collections.abc import Mapping, Sequence

from appliance.errors import InvalidFilter
from appliance.search.filters import COMPARISONS, MAX_CONDITIONS, MAX_DEPTH, MAX_VALUES, SYNONYMS, parse_filter
from appliance.types import AllOf, AnyOf, Comparison, Filter, Not

JSON_EXAMPLE = 'Write it like: {"year": {">=": 2020}, "author": "Ada"} or {"or": [{…}, {…}]}.'


def filter_from_json(value: object) -> Filter:
    """`{"year": 2020}`, `{"year": {">=": 2020}}`, `{"and" | "or": [...]}`, `{"not": {...}}`; text goes to parse_filter.

    Several keys in one object must all hold. A list as a plain value means `in`. Raises InvalidFilter with the place.
    """
    if isinstance(value, str):
        return parse_filter(value)
    result = _from_json(value, "filter", 1)
    if (count := _count(result)) > MAX_CONDITIONS:
        raise InvalidFilter(f"The filter has {count} conditions; the limit is {MAX_CONDITIONS}.", hint=JSON_EXAMPLE)
    return result


def _from_json(value: object, place: str, depth: int) -> Filter:
    if depth > MAX_DEPTH:
        raise InvalidFilter(f"{place}: nested more than {MAX_DEPTH} deep.", hint=JSON_EXAMPLE)
    if not isinstance(value, Mapping) or not value:
        raise InvalidFilter(f"{place}: expected an object with conditions, got {_kind(value)}.", hint=JSON_EXAMPLE)
    parts = [_from_member(str(key), member, place, depth) for key, member in value.items()]
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _from_member(key: str, member: object, place: str, depth: int) -> Filter:
    here = f"{place}.{key}"
    if key in {"and", "or"}:
        if not isinstance(member, Sequence) or isinstance(member, str | bytes) or not member:
            raise InvalidFilter(f"{here}: expected a list of conditions, got {_kind(member)}.", hint=JSON_EXAMPLE)
        parts = tuple(_from_json(item, f"{here}[{index}]", depth + 1) for index, item in enumerate(member))
        return AllOf(parts) if key == "and" else AnyOf(parts)
    if key == "not":
        return Not(_from_json(member, here, depth + 1))
    if not key:
        raise InvalidFilter(f"{place}: the name of a field is empty.", hint=JSON_EXAMPLE)
    if isinstance(member, Mapping):
        return _from_operators(key, member, here)
    return _json_comparison(key, "in" if isinstance(member, list) else "=", member, here)


def _from_operators(name: str, operators: Mapping[object, object], place: str) -> Filter:
    if not operators:
        raise InvalidFilter(f"{place}: expected an operator and a value.", hint=JSON_EXAMPLE)
    parts = [_json_comparison(name, str(key), value, f"{place}.{key}") for key, value in operators.items()]
    return parts[0] if len(parts) == 1 else AllOf(tuple(parts))


def _json_comparison(name: str, operator: str, value: object, place: str) -> Filter:
    operator = SYNONYMS.get(operator, operator)
    if operator == "not in":
        return Not(_json_comparison(name, "in", value, place))
    if operator not in {*COMPARISONS, "in", "contains", "exists"}:
        known = " ".join((*COMPARISONS, "in", "contains", "exists"))
        raise InvalidFilter(f"{place}: there is no operator `{operator}`; there are {known}.", hint=JSON_EXAMPLE)
    if operator == "in":
        if not isinstance(value, list) or not value or len(value) > MAX_VALUES:
            raise InvalidFilter(f"{place}: expected a list of 1 to {MAX_VALUES} values.", hint=JSON_EXAMPLE)
        return Comparison(name, "in", [_scalar(item, place) for item in value])  # type: ignore[misc]
    if operator == "exists":
        if not isinstance(value, bool):
            raise InvalidFilter(f"{place}: expected true or false, got {_kind(value)}.", hint=JSON_EXAMPLE)
        exists = Comparison(name, "exists", True)
        return exists if value else Not(exists)
    return Comparison(name, operator, _scalar(value, place))


def _scalar(value: object, place: str) -> str | int | float | bool:
    if isinstance(value, str | int | bool) or (isinstance(value, float) and math.isfinite(value)):
        return value
    raise InvalidFilter(f"{place}: expected text, a number, true or false, got {_kind(value)}.", hint=JSON_EXAMPLE)


def _kind(value: object) -> str:
    match value:
        case None:
            return "null"
        case Mapping():
            return "an object" if value else "an empty object"
        case list():
            return "a list" if value else "an empty list"
    return f"`{value}`"


def _count(part: Filter) -> int:
    match part:
        case AllOf(parts) | AnyOf(parts):
            return sum(map(_count, parts))
        case Not(inner):
            return _count(inner)
    return 1
