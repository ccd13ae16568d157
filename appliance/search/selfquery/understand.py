"""A question -> the filters it states and the text that is left; and a search that uses them."""

import math
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from appliance.dates import MONTHS
from appliance.search.filter_check import comparisons
from appliance.search.filters import filter_text
from appliance.search.retrieve import NOT_REWORDED, Retrieval, search
from appliance.search.rewrite import Rewording
from appliance.search.selfquery.lexicon import Field, Lexicon
from appliance.search.selfquery.mentions import ASKING
from appliance.search.selfquery.ordinary import ordinary_in
from appliance.search.selfquery.parse import read
from appliance.search.selfquery.question import Condition, Ordinary
from appliance.store import Store
from appliance.telemetry.stages import stage
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
from appliance.words import FUNCTION_WORDS, stem, words

FIELD_VALUES = 20_000  # most frequent values of one field that are looked for
ALL_VALUES = 50_000  # of one collection
OPEN_LEXICONS = 16
AGE = 20  # a lexicon of an older version serves for so many times the seconds that making it took

_PEOPLE = tuple(map(stem, ("author", "creator", "writer", "editor")))
_BY_NAME = re.compile(r"\bby ((?:[A-Z][^\W\d_]*[.’'-]?)(?:\s?[A-Z][^\W\d_]*[.’'-]?)*)(?<![.'’-])")
_DAYS = ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")
_LINK = re.compile(r"\b(?:by|in|from|of|on|at|for|during|dated|and|or)\s*$", re.IGNORECASE)  # before what is taken out
_SPACED = re.compile(r"\s+([?.,;!])")


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
    query: Query,
    retrieval: Retrieval,
    lexicons: Lexicons,
    deadline: float = math.inf,
    rewording: Rewording = NOT_REWORDED,
) -> SearchResult:
    """`search`, with the filters that the question itself states, where it asks for that (`query.self_query`).

    Where nothing passes them, the search is made again with those that are sure, then without any, and says so.
    `deadline` and errors: as `search`.
    """
    if query.self_query in {None, SelfQuery.OFF}:
        return search(query, retrieval, deadline, rewording)
    with stage("understand"):
        lexicon, current = lexicons.get(query.collection)
        ordinary = ordinary_in(retrieval.store, query.collection)
        narrowed, understood = whole, told = understand(query, lexicon, ordinary)
    if query.self_query is SelfQuery.ON and understood.parts:
        result = search(narrowed, retrieval, deadline, rewording)
        if not result.hits:  # what is sure alone may leave some
            narrowed, understood = understand(query, lexicon, ordinary, sure=True)
            result = search(narrowed, retrieval, deadline, rewording) if narrowed not in {whole, query} else result
        if result.hits:
            return replace(result, understood=_now(replace(understood, applied=True), current))
        beside = "" if query.filters is None else " beside the filters that were given"
        said = f"No document passes {told.filters}{beside}, so the search was made without what was understood."
        told = replace(told, notice=said)
    return replace(search(query, retrieval, deadline, rewording), understood=_now(told, current))


def _now(understood: Understood, current: bool) -> Understood:
    """With a word about it where the lexicon is not that of the collection as it is."""
    if current:
        return understood
    said = "The collection has changed since its values were read."
    return replace(understood, notice=f"{understood.notice} {said}".strip(), stale=True)


def understand(
    query: Query, lexicon: Lexicon, ordinary: Ordinary | None = None, *, sure: bool = False
) -> tuple[Query, Understood]:
    """The question narrowed by what it states, and what that is; fields that `query.filters` names are left to it.

    `sure`: only conditions that are.
    """
    given = {one.field for one in comparisons(query.filters)} if query.filters is not None else set()
    stated = read(query.text, lexicon, ordinary)
    conditions = [one for one in stated if given.isdisjoint(one.fields) and (one.sure or not sure)]
    notice = _unknown(query.text, stated, lexicon)
    if not conditions:
        return query, Understood("", query.text, (), notice=notice)
    types = {field.name: field.type for field in lexicon.fields}
    made = [condition_filter(condition, types.__getitem__) for condition in conditions]
    joined = _joined(query.text, conditions, made)
    own = joined[0] if len(joined) == 1 else AllOf(tuple(joined))
    text = _rest(query.text, conditions)
    parts = tuple(
        UnderstoodPart(query.text[one.start : one.end], one.start, one.end, filter_text(part))
        for one, part in zip(conditions, made, strict=True)
    )
    together = own if query.filters is None else AllOf((query.filters, own))
    understood = Understood(filter_text(own), text, parts, notice=notice)
    return query.but(text=text, filters=together), understood


def _joined(text: str, conditions: Sequence[Condition], made: Sequence[Filter]) -> list[Filter]:
    """What must hold at once: two values of one field that has but one are alternatives, and so is what "or" joins."""
    groups: list[list[int]] = []
    for at, one in enumerate(conditions):
        same = (group for group in groups if _alternative(text, conditions[group[-1]], one))
        group = next(same, None)
        if group is None:
            groups.append([at])
        else:
            group.append(at)
    parts = [tuple(made[at] for at in group) for group in groups]
    return [part[0] if len(part) == 1 else AnyOf(part) for part in parts]


def _alternative(text: str, one: Condition, other: Condition) -> bool:
    if (one.fields, one.op) != (other.fields, other.op):
        return False
    return one.op == "=" or (one.op == "contains" and text[one.end : other.start].strip(" ,").lower() == "or")


def _unknown(text: str, conditions: Sequence[Condition], lexicon: Lexicon) -> str:
    """A sentence where the question names somebody after "by" whom no field of authors has."""
    fields = [lexicon.fields[at].name for word in _PEOPLE for at in lexicon.by_word.get(word, ())]
    for match in _BY_NAME.finditer(text) if fields else ():
        calendar = any(match[1].lower().startswith(name) for name in (*MONTHS, *_DAYS))
        if not calendar and all(one.end <= match.start() or one.start >= match.end() for one in conditions):
            return f"No {fields[0]} is called {match[1]}: it was searched for as words."
    return ""


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


def _rest(text: str, conditions: Sequence[Condition]) -> str:
    """The text without the names, numbers, dates and denials that filter; all of it where no topic would be left.

    A common word stays: where the tag is `pumps`, the passages are about pumps still.
    """
    left, at = [], 0
    for one in conditions:
        said = text[one.start : one.end]
        if one.op in {"=", "contains"} and said.isascii() and said.replace(" ", "").isalpha() and said.islower():
            continue
        left.append(_LINK.sub("", text[at : one.start]))
        at = max(at, one.end)
    rest = _SPACED.sub(r"\1", " ".join(" ".join([*left, text[at:]]).split())).lstrip(" ,;:")
    return rest if any(word.lower() not in FUNCTION_WORDS | ASKING for word in words(rest)) else text
