"""The filter language: text -> Filter -> text.

    filter     = and-part { "or" and-part }
    and-part   = not-part { "and" not-part }
    not-part   = "not" not-part | "(" filter ")" | condition
    condition  = field ( "=" | "!=" | "<" | "<=" | ">" | ">=" ) value
               | field [ "not" ] "in" "(" value { "," value } ")"
               | field "contains" value
               | field "exists"
    field      = letters, digits, "_", "-", "."; or any text in `backticks`
    value      = "text" | 'text' | number | true | false | bare word, also a date such as 2020-03 or 2020-03-15T10:30

Keywords are read in any case. `not` binds tighter than `and`, `and` tighter than `or`.
"""

import json
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

from appliance.errors import InvalidFilter
from appliance.types import AllOf, AnyOf, Comparison, Filter, MetadataValue, Not

MAX_CHARACTERS = 10_000
MAX_CONDITIONS = 100
MAX_DEPTH = 20
MAX_VALUES = 1000  # members of one `in`

EXAMPLE = 'Write it like: year >= 2020 and author = "Ada"; operators: = != < <= > >= in contains exists and or not ( ).'

COMPARISONS = ("=", "!=", "<", "<=", ">", ">=")
KEYWORDS = frozenset(("and", "or", "not", "in", "contains", "exists", "true", "false"))
SYNONYMS = {"==": "=", "<>": "!=", "&&": "and", "||": "or", "!": "not"}

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<number>[-+]?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?)(?![\w.\-:])
    | (?P<word>[^\W\d][\w.\-]*|\d[\w.\-]*(?::[\w.\-:+]+)?)
    | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
    | (?P<field>`[^`]+`)
    | (?P<operator><=|>=|!=|<>|==|&&|\|\||[=<>!(),])
    )""",
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str  # number | word | quoted | field | operator | end
    text: str
    position: int  # of its first character, from 0


def parse_filter(text: str) -> Filter:
    """`year >= 2020 and author = "Ada"` -> Filter.

    Raises InvalidFilter, whose message names the position (from 1) and what was expected there.
    """
    if len(text) > MAX_CHARACTERS:
        raise InvalidFilter(f"The filter has {len(text)} characters; the limit is {MAX_CHARACTERS}.", hint=EXAMPLE)
    parser = _Parser(list(_tokens(text)))
    return parser.whole()


def filter_text(part: Filter) -> str:
    """The filter in the language; `parse_filter(filter_text(f))` says the same as `f`."""
    match part:
        case Comparison(name, "exists", value):
            return f"{_field_text(name)} exists" if value is not False else f"not {_field_text(name)} exists"
        case Comparison(name, "in", list() as values):
            return f"{_field_text(name)} in ({', '.join(map(_value_text, values))})"
        case Comparison(name, operator, value):
            return f"{_field_text(name)} {operator} {_value_text(value)}"
        case AllOf(parts):
            return "(" + " and ".join(map(filter_text, parts)) + ")"
        case AnyOf(parts):
            return "(" + " or ".join(map(filter_text, parts)) + ")"
        case Not(inner):
            return f"not ({filter_text(inner)})"


class _Parser:
    """Recursive descent over the tokens of one filter."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._next = 0
        self._conditions = 0

    def whole(self) -> Filter:
        if self._peek().kind == "end":
            raise InvalidFilter("The filter is empty.", hint=EXAMPLE)
        result = self._either(1)
        if self._peek().kind != "end":
            raise self._expected("`and`, `or` or the end")
        return result

    def _either(self, depth: int) -> Filter:
        parts = [self._all(depth)]
        while self._take("or"):
            parts.append(self._all(depth))
        return parts[0] if len(parts) == 1 else AnyOf(tuple(parts))

    def _all(self, depth: int) -> Filter:
        parts = [self._negated(depth)]
        while self._take("and"):
            parts.append(self._negated(depth))
        return parts[0] if len(parts) == 1 else AllOf(tuple(parts))

    def _negated(self, depth: int) -> Filter:
        if depth > MAX_DEPTH:
            raise InvalidFilter(f"The filter is nested more than {MAX_DEPTH} deep {self._place()}.", hint=EXAMPLE)
        if self._take("not"):
            return Not(self._negated(depth + 1))
        if self._take("("):
            inner = self._either(depth + 1)
            if not self._take(")"):
                raise self._expected("`)`")
            return inner
        return self._condition()

    def _condition(self) -> Filter:
        self._conditions += 1
        if self._conditions > MAX_CONDITIONS:
            raise InvalidFilter(f"The filter has more than {MAX_CONDITIONS} conditions.", hint=EXAMPLE)
        name = self._field()
        if self._take("exists"):
            return Comparison(name, "exists", True)
        if self._take("contains"):
            return Comparison(name, "contains", self._value())
        if self._take("in"):
            return Comparison(name, "in", self._values())
        if self._take("not"):
            if not self._take("in"):
                raise self._expected("`in` after `not`")
            return Not(Comparison(name, "in", self._values()))
        for operator in COMPARISONS:
            if self._take(operator):
                return Comparison(name, operator, self._value())
        raise self._expected(f"an operator after `{name}`")

    def _field(self) -> str:
        token = self._peek()
        if token.kind == "field":
            self._next += 1
            return token.text[1:-1]
        if token.kind != "word" or token.text.lower() in KEYWORDS:
            raise self._expected("the name of a field")
        self._next += 1
        return token.text

    def _value(self) -> str | int | float | bool:
        token = self._peek()
        if token.kind == "number":
            number = _number(token.text)
            if not math.isfinite(number):
                raise self._expected("a number within reach")
            value: str | int | float | bool = number
        elif token.kind == "quoted":
            value = re.sub(r"\\(.)", r"\1", token.text[1:-1], flags=re.DOTALL)
        elif token.kind == "word" and token.text.lower() in {"true", "false"}:
            value = token.text.lower() == "true"
        elif token.kind == "word" and token.text.lower() not in KEYWORDS:
            value = token.text
        else:
            raise self._expected("a value")
        self._next += 1
        return value

    def _values(self) -> list[str]:
        if not self._take("("):
            raise self._expected("`(` and the values after `in`")
        values = [self._value()]
        while self._take(","):
            values.append(self._value())
        if not self._take(")"):
            raise self._expected("`,` or `)`")
        if len(values) > MAX_VALUES:
            raise InvalidFilter(f"`in` has {len(values)} values; the limit is {MAX_VALUES}.", hint=EXAMPLE)
        return values  # type: ignore[return-value]  # numbers stay numbers: the store compares by type

    def _peek(self) -> _Token:
        return self._tokens[self._next]

    def _take(self, wanted: str) -> bool:
        token = self._peek()
        if token.kind not in {"word", "operator"}:
            return False
        found = token.text.lower()
        if SYNONYMS.get(found, found) != wanted:
            return False
        self._next += 1
        return True

    def _place(self) -> str:
        token = self._peek()
        return "at the end" if token.kind == "end" else f"at position {token.position + 1}, before `{token.text[:40]}`"

    def _expected(self, what: str) -> InvalidFilter:
        return InvalidFilter(f"The filter cannot be read: expected {what} {self._place()}.", hint=EXAMPLE)


def _tokens(text: str) -> Iterator[_Token]:
    position = 0
    while text[position:].strip():
        match = _TOKEN.match(text, position)
        if match is None or match.lastgroup is None:
            place = position + len(text[position:]) - len(text[position:].lstrip())
            odd = text[place]
            what = "a quote that is never closed" if odd in "\"'`" else f"`{odd}`, which means nothing here"
            raise InvalidFilter(f"The filter cannot be read: {what}, at position {place + 1}.", hint=EXAMPLE)
        kind = match.lastgroup
        yield _Token(kind, match[kind], match.start(kind))
        position = match.end()
    yield _Token("end", "", len(text))


def _number(text: str) -> int | float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _field_text(name: str) -> str:
    plain = re.fullmatch(r"[^\W\d][\w.\-]*", name) and name.lower() not in KEYWORDS
    return name if plain else f"`{name}`"


def _value_text(value: MetadataValue) -> str:
    return json.dumps(value, ensure_ascii=False) if not isinstance(value, str) else _quoted(value)


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
