"""`bench selfquery`: are field, operator and value of every filter that a question states read right?

How it is counted. A question is right when the set of (field, operator, value) read from it is exactly the set in the
data; case, accents, punctuation and thousands separators aside. Questions are parted by hash (WikiSQL: tables) into
`tune`, which the rules were written with, and `report`.

What a collection is. The data has questions and filters, not the tables they are about. So a collection's values are
those of all filters of its data set; a column that several tables share is one field, but for the bare `name`, which
is called after its table. How many documents have a value is counted in `tune` alone. A field that the data mostly
asks by LIKE is a list, whose operator is `contains`. WikiSQL has a schema for each table: once (`own`) with the values
of that table's filters, of which there are few, and once (`shared`) with the values of all fields of the same name in
all tables. `distracted` adds values of another data set to every field of text.

The data has no texts either, so no value is known to be an ordinary word of them, and each is read wherever it stands.
`ordinary` is the other extreme: every value is one, and is read only where the question shows that it is meant.

`stated`: the questions whose filter values all stand in the question, word for word. `all`: every question.
"""

import hashlib
import json
import random
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from appliance.errors import InvalidRequest
from appliance.search.selfquery.lexicon import Field, Lexicon, tokens
from appliance.search.selfquery.parse import read
from appliance.search.selfquery.question import Ordinary
from appliance.types import FieldType

HINT = "Name a folder with filters.jsonl and wikisql.jsonl."
OPERATORS = {"<>": "!=", "NOT LIKE": "not contains"}
DISTRACTING = 1000  # foreign values for each field of text
SPEED_VALUES = 10_000

Triple = tuple[str, str, str]  # field, operator, value as its words


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, what it should be read as, and the lexicon of what it is asked of."""

    name: str
    text: str
    wanted: frozenset[Triple]
    stated: bool
    half: str
    lexicon: Lexicon
    ordinary: Ordinary | None = None


def run(data: Path) -> dict[str, Any]:
    """{"runs": [{"set", "split", "questions", "right", "accuracy", "precision", "recall"}], "errors", "speed"}.

    The rows `stated` come first. Raises InvalidRequest.
    """
    filters, wikisql = read_rows(data / "filters.jsonl"), read_rows(data / "wikisql.jsonl")
    foreign = sorted({str(part["value"]) for row in wikisql for part in row["filters"] if not _number(part["value"])})
    asked = [
        *of_filters(filters, ()),
        *of_filters(filters, foreign, " distracted"),
        *of_wikisql(wikisql, shared=False),
        *of_wikisql(wikisql, shared=True),
    ]
    asked += [
        replace(one, name=f"{one.name} ordinary", ordinary=lambda *_: True) for one in asked if " " not in one.name
    ]
    runs = [row for stated in (True, False) for row in scored(asked, stated)]
    held_out = [one for one in asked if one.stated and one.half == "report"]
    wrong = Counter(f"{one.name}: {kind}" for one in held_out if (kind := mistake(one)))
    return {"runs": runs, "errors": dict(wrong.most_common()), "speed": speed(foreign)}


def scored(asked: Sequence[Asked], stated: bool) -> list[dict[str, Any]]:
    """A row for each data set and half, and one for those of filters.jsonl together."""
    groups: dict[tuple[str, str], list[Asked]] = defaultdict(list)
    for one in asked:
        if one.stated or not stated:
            groups[one.name, one.half].append(one)
            if not one.name.startswith("wikisql"):
                groups[" ".join(["filters", *one.name.split()[1:]]), one.half].append(one)
    rows = []
    for (name, half), members in sorted(groups.items(), key=lambda group: (group[0][1], group[0][0])):
        pairs = [(one.wanted, found(one)) for one in members]
        right = sum(wanted == got for wanted, got in pairs)
        both = sum(len(wanted & got) for wanted, got in pairs)
        rows.append(
            {
                "set": name,
                "questions": "stated" if stated else "all",
                "split": half,
                "count": len(members),
                "right": right,
                "accuracy": round(right / len(members), 3),
                "precision": round(both / max(1, sum(len(got) for _, got in pairs)), 3),
                "recall": round(both / max(1, sum(len(wanted) for wanted, _ in pairs)), 3),
            }
        )
    return rows


def found(one: Asked) -> frozenset[Triple]:
    return frozenset(
        (field, condition.op, _words(value))
        for condition in read(one.text, one.lexicon, one.ordinary)
        for field in condition.fields
        for value in condition.values
    )


def mistake(one: Asked) -> str:
    """What is wrong first: a value missing, a value too many, a field, an operator; empty where nothing is."""
    got = found(one)
    if got == one.wanted:
        return ""
    wanted_values, values = {value for *_, value in one.wanted}, {value for *_, value in got}
    if wanted_values - values:
        return "value missed"
    if values - wanted_values:
        return "value too many"
    fields = {(field, value) for field, _, value in got} == {(field, value) for field, _, value in one.wanted}
    return "operator" if fields else "field"


def of_filters(rows: Sequence[Mapping[str, Any]], foreign: Sequence[str], label: str = "") -> Iterator[Asked]:
    """The questions of filters.jsonl, a collection for each of its data sets."""
    for name in sorted({row["dataset"] for row in rows}):
        members = [row for row in rows if row["dataset"] == name]
        tables = {part["table"] for row in members for part in row["filters"] if part["field"] == "name"}
        gold = [frozenset(_triple(part, len(tables) > 1) for part in row["filters"]) for row in members]
        lexicon = Lexicon(list(_fields_of(members, len(tables) > 1, foreign)))
        for row, wanted in zip(members, gold, strict=True):
            stated = row["simple_conjunction"] and _stated(row)
            yield Asked(name + label, row["question"], wanted, stated, _half(row["question"]), lexicon)


def _fields_of(rows: Sequence[Mapping[str, Any]], several: bool, foreign: Sequence[str]) -> Iterator[Field]:
    values: dict[str, Counter[str]] = defaultdict(Counter)
    listed: Counter[str] = Counter()
    for row in rows:
        for part in row["filters"]:
            field, operator, _ = _triple(part, several)
            values[field][str(part["value"])] += _half(row["question"]) == "tune"
            listed[field] += 1 if "contains" in operator else -1
    chance = random.Random(5)
    for field, counted in sorted(values.items()):
        numbers = all(map(_number, counted))
        held = {value: max(1, count) for value, count in counted.items()}
        if foreign and not numbers:
            held = {**dict.fromkeys(chance.sample(foreign, min(DISTRACTING, len(foreign))), 1), **held}
        kind = FieldType.NUMBER if numbers else FieldType.TEXT
        yield Field(field, kind, listed[field] > 0, sorted(held.items()))


def of_wikisql(rows: Sequence[Mapping[str, Any]], *, shared: bool) -> Iterator[Asked]:
    """The questions of wikisql.jsonl, a collection for each table."""
    by_field: dict[str, set[str]] = defaultdict(set)
    by_table: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    schema: dict[str, set[str]] = defaultdict(set)
    for row in rows:
        schema[row["table_id"]].update(row["schema_fields_seen"])
        for part in row["filters"]:
            by_field[part["field"]].add(str(part["value"]))
            by_table[row["table_id"]][part["field"]].add(str(part["value"]))
    numeric = {field for field, values in by_field.items() if sum(map(_number, values)) > 0.6 * len(values)}
    lexicons = {}
    for table, fields in schema.items():
        held: Mapping[str, set[str]] = by_field if shared else by_table[table]
        lexicons[table] = Lexicon(
            [
                Field(
                    field,
                    FieldType.NUMBER if field in numeric else FieldType.TEXT,
                    False,
                    [(value, 1) for value in sorted(held.get(field, ()))],
                )
                for field in sorted(fields)
            ]
        )
    for row in rows:
        wanted = frozenset((part["field"], part["op"], _words(part["value"])) for part in row["filters"])
        name, table = "wikisql shared" if shared else "wikisql own", row["table_id"]
        yield Asked(name, row["question"], wanted, _stated(row), _half(table), lexicons[table])


def speed(values: Sequence[str]) -> dict[str, float]:
    """Milliseconds a question with few and with SPEED_VALUES values, and how they compare."""
    many = [f"{values[n % len(values)]} {n}" if n >= len(values) else values[n] for n in range(SPEED_VALUES)]
    question = (
        "Which papers by Knuth or Brian May about sorting appeared after 1970 in Oslo, other than reviews of 1999?"
    )
    took = {}
    for count in (100, SPEED_VALUES):
        split = many[:count]
        names = ("author", "venue", "city", "topic", "editor")
        fields = [Field(name, FieldType.TEXT, False, [(v, 1) for v in split[at::5]]) for at, name in enumerate(names)]
        lexicon = Lexicon([*fields, Field("year", FieldType.NUMBER, False, [(str(y), 1) for y in range(1950, 2020)])])
        best = min(_seconds(question, lexicon) for _ in range(20))
        took[f"{count} values, ms"] = round(1000 * best, 3)
    few, most = took.values()
    return {**took, "ratio": round(most / few, 2)}


def _seconds(question: str, lexicon: Lexicon) -> float:
    start = time.perf_counter()
    read(question, lexicon)
    return time.perf_counter() - start


def _triple(part: Mapping[str, Any], several: bool) -> Triple:
    name = part["field"] if part["field"] != "name" or not several else f"{part['table']}_name"
    return name, OPERATORS.get(part["op"], part["op"]), _words(part["value"])


def _words(value: Any) -> str:
    return " ".join(token.text for token in tokens(str(value)))


def _stated(row: Mapping[str, Any]) -> bool:
    question = f" {_words(row['question'])} "
    return all(f" {_words(part['value'])} " in question for part in row["filters"])


def _number(value: Any) -> bool:
    try:
        float(str(value).replace(",", ""))
    except ValueError:
        return False
    return True


def _half(key: str) -> str:
    return "tune" if hashlib.sha256(key.encode()).digest()[0] % 2 == 0 else "report"


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Raises InvalidRequest for a file that is missing or is not what it should be."""
    try:
        rows = [json.loads(line) for line in path.read_text("utf-8").splitlines() if line.strip()]
        checked: Iterable[Any] = ((row["question"], [part["field"] for part in row["filters"]]) for row in rows)
        if not list(checked):
            raise ValueError
    except OSError as error:
        raise InvalidRequest(f"{path} cannot be read: {error.strerror}.", code="no_data", hint=HINT) from error
    except (ValueError, KeyError, TypeError) as error:
        raise InvalidRequest(f"{path} has no questions with filters.", code="bad_data", hint=HINT) from error
    return rows
