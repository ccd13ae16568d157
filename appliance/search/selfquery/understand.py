"""A question -> the filters it states and the text that is left; and a search that uses them."""

import math
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from appliance.search.filters import filter_text
from appliance.search.retrieve import Retrieval, search
from appliance.search.selfquery.lexicon import Field, Lexicon
from appliance.search.selfquery.mentions import ASKING
from appliance.search.selfquery.parse import Condition, read
from appliance.store import Store
from appliance.types import (
    AllOf,
    AnyOf,
    Comparison,
    FieldType,
    Filter,
    Not,
    Query,
    SearchResult,
    SelfQuery,
    Understood,
    UnderstoodPart,
)
from appliance.words import FUNCTION_WORDS, words

FIELD_VALUES = 20_000  # most frequent values of one field that are looked for
ALL_VALUES = 50_000  # of one collection
OPEN_LEXICONS = 16
AGE = 20  # a lexicon of an older version serves for so many times the seconds that making it took


@dataclass(frozen=True, slots=True)
class _Made:
    version: int
    lexicon: Lexicon
    at: float
    took: float


class Lexicons:
    """The lexicon of each collection, made when it is first asked for and again when the collection has changed.

    Thread-safe. While documents come in, one that cost much to make serves a little longer. At most OPEN_LEXICONS.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._made: OrderedDict[str, _Made] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, collection: str) -> tuple[Lexicon, bool]:
        """The lexicon, and whether it is of the collection as it is now. Raises StorageError."""
        version = self._store.documents.version(collection)
        with self._lock:
            made = self._made.get(collection)
            now = time.monotonic()
            if made is None or (made.version != version and now - made.at > AGE * made.took):
                lexicon = Lexicon(fields_of(self._store, collection))
                made = _Made(version, lexicon, time.monotonic(), time.monotonic() - now)
                self._made[collection] = made
            self._made.move_to_end(collection)
            while len(self._made) > OPEN_LEXICONS:
                self._made.popitem(last=False)
            return made.lexicon, made.version == version


def fields_of(store: Store, collection: str) -> list[Field]:
    """The fields of a collection with their most frequent values, bounded."""
    found, left = [], ALL_VALUES
    for field in sorted(store.fields.all(collection), key=lambda field: field.distinct):
        if field.type is not FieldType.BOOLEAN:
            values = store.fields.values(collection, field.name, min(FIELD_VALUES, left))
            left -= len(values)
            found.append(Field(field.name, field.type, field.listed, values))
    return found


def search_understood(
    query: Query, retrieval: Retrieval, lexicons: Lexicons, deadline: float = math.inf
) -> SearchResult:
    """`search`, with the filters that the question itself states, where it asks for that (`query.self_query`).

    Where nothing passes them, the search is made again without, and says so. `deadline` and errors: as `search`.
    """
    if query.self_query in {None, SelfQuery.OFF}:
        return search(query, retrieval, deadline)
    lexicon, current = lexicons.get(query.collection)
    narrowed, understood = understand(query, lexicon)
    if not current:
        understood = replace(understood, notice="The collection has changed since its values were read.")
    if not understood.parts or query.self_query is SelfQuery.SUGGEST:
        return replace(search(query, retrieval, deadline), understood=understood)
    result = search(narrowed, retrieval, deadline)
    if result.hits:
        return replace(result, understood=replace(understood, applied=True))
    said = f"No document passes {understood.filters}, so the search was made without these filters."
    return replace(search(query, retrieval, deadline), understood=replace(understood, notice=said))


def understand(query: Query, lexicon: Lexicon) -> tuple[Query, Understood]:
    """The question narrowed by what it states, and what that is; fields that `query.filters` names are left to it."""
    given = set(_fields(query.filters)) if query.filters is not None else set()
    conditions = [one for one in read(query.text, lexicon) if given.isdisjoint(one.fields)]
    if not conditions:
        return query, Understood("", query.text, ())
    types = {field.name: field.type for field in lexicon.fields}
    made = [condition_filter(condition, types.__getitem__) for condition in conditions]
    own = made[0] if len(made) == 1 else AllOf(tuple(made))
    text = _rest(query.text, conditions)
    parts = tuple(
        UnderstoodPart(query.text[one.start : one.end], one.start, one.end, filter_text(part))
        for one, part in zip(conditions, made, strict=True)
    )
    together = own if query.filters is None else AllOf((query.filters, own))
    return replace(query, text=text, filters=together), Understood(filter_text(own), text, parts)


def condition_filter(condition: Condition, type_of: Callable[[str], FieldType]) -> Filter:
    """The condition as a filter; of several fields any will do (none, where it denies)."""
    denied = condition.op in {"!=", "not contains"}
    op = {"!=": "=", "not contains": "contains"}.get(condition.op, condition.op)
    parts: list[Filter] = []
    for name in condition.fields:
        values = [_typed(value, type_of(name)) for value in condition.values]
        one = Comparison(name, op, values[0])
        parts.append(one if len(values) == 1 else Comparison(name, "in", values))  # type: ignore[arg-type]
    either = parts[0] if len(parts) == 1 else AnyOf(tuple(parts))
    return Not(either) if denied else either


def _typed(value: str | int | float, kind: FieldType) -> str | int | float:
    """Numbers of a field of numbers as numbers, so that the filter reads well."""
    if kind is not FieldType.NUMBER or not isinstance(value, str):
        return value
    number = float(value)
    return int(number) if number.is_integer() else number


def _fields(part: Filter) -> Iterator[str]:
    match part:
        case AllOf(parts) | AnyOf(parts):
            for inner in parts:
                yield from _fields(inner)
        case Not(inner):
            yield from _fields(inner)
        case Comparison(name):
            yield name


def _rest(text: str, conditions: Sequence[Condition]) -> str:
    """The text without what the conditions say; all of it where nothing of substance would be left."""
    left, at = [], 0
    for condition in conditions:
        left.append(text[at : condition.start])
        at = max(at, condition.end)
    rest = " ".join(" ".join([*left, text[at:]]).split())
    return rest if any(word.lower() not in FUNCTION_WORDS | ASKING for word in words(rest)) else text
