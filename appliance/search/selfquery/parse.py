"""A question and a lexicon -> the conditions that the question states."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from appliance.dates import MONTHS
from appliance.search.selfquery.lexicon import Entry, Field, Lexicon, Token, tokens
from appliance.search.selfquery.mentions import ASKING, Mention, find_mentions, nearness
from appliance.search.selfquery.numbers import NUMBERS, Compared, comparison, negated, number_of
from appliance.types import FieldType
from appliance.words import FUNCTION_WORDS

_ALSO_COMMON = """
    other others first last least all no yes one new number total game year please list find get also only each every
    between same different s t d m re ve ll n y
"""
_COMMON = FUNCTION_WORDS | ASKING | set(_ALSO_COMMON.split())  # never a value where one stands alone in small letters
_TIE = 0.05  # nearness that decides nothing
_NAMED = 0.8  # nearness of a field that is named right there
_OFTEN = 3  # a value that occurs so many times less often in a field is not meant of it
_COUNTED = 0.3  # nearness without which "2 professors" is a number of professors
_IN_DATE = frozenset(("in", "on", "from", "of", "during", "dated", "since"))
_MONTH_NUMBERS = {form: number for number, name in enumerate(MONTHS, 1) for form in (name, name[:3])} | {"sept": 9}


@dataclass(frozen=True, slots=True)
class Condition:
    """`[start, end)`: the characters that say it.

    `fields` are several where nothing decides between them; `values` where a part of a value names some of them.
    """

    fields: tuple[str, ...]
    op: str  # = != < <= > >= contains "not contains"
    values: tuple[str | int | float, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Asked:
    """A question being read: its words, its mentions of fields."""

    text: str
    words: Sequence[Token]
    mentions: Sequence[Mention]
    lexicon: Lexicon

    def near(self, start: int, end: int, field: int) -> float:
        return nearness(self.words, start, end, field, self.mentions)

    def condition(self, fields: Sequence[int], op: str, values: Sequence[str | int | float], at: range) -> Condition:
        """Of the words in the range `at`."""
        names = tuple(self.lexicon.fields[field].name for field in fields)
        return Condition(names, op, tuple(values), self.words[at[0]].start, self.words[at[-1]].end)


def read(text: str, lexicon: Lexicon) -> list[Condition]:
    """The conditions that a question states, in its order.

    Stored values are found by their words; which field a value belongs to is decided by the nearest mention of a field,
    then by the documents that have it. Then come compared numbers and dates, then words that are part of a value.
    """
    words = tokens(text)
    if not words:
        return []
    asked = _Asked(text, words, find_mentions(words, lexicon), lexicon)
    found: list[Condition] = []
    taken: set[int] = set()
    for start, end, entries in _value_spans(asked):
        read_one = _of_value(asked, start, end, entries)
        if read_one is not None:
            condition, at = read_one
            found.append(condition)
            taken.update(at)
    for condition, at in (*_of_numbers(asked, taken), *_of_dates(asked, taken), *_of_parts(asked, taken)):
        if taken.isdisjoint(at):
            found.append(condition)
            taken.update(at)
    return sorted(found, key=lambda condition: condition.start)


def _value_spans(asked: _Asked) -> list[tuple[int, int, list[Entry]]]:
    """(start, end, entries) of the stored values in the question, the longest first, none inside another."""
    words = asked.words
    found = [
        (at, end, entries)
        for at in range(len(words))
        for end, entries in asked.lexicon.values_at(words, at)
        if end - at > 1 or _may_stand_alone(asked, at)
    ]
    found.sort(key=lambda span: (span[0] - span[1], words[span[0]].start - words[span[1] - 1].end, span[0]))
    kept: list[tuple[int, int, list[Entry]]] = []
    for span in found:
        if all(span[1] <= other[0] or span[0] >= other[1] for other in kept):
            kept.append(span)
    return sorted(kept, key=lambda span: span[0])


def _may_stand_alone(asked: _Asked, at: int) -> bool:
    """Common words and names of fields are values only where they are written as names."""
    word, text = asked.words[at], asked.text
    raw = text[word.start : word.end]
    if word.text in _COMMON:
        quoted = text[max(0, word.start - 1)] in "\"'“"
        named = word.capital and at > 0 and word.text not in FUNCTION_WORDS
        return len(raw) > 1 and (raw.isupper() or quoted or named)
    names_field = any(m.start <= at < m.end and m.share >= 1 for m in asked.mentions)
    return number_of(word.text) is not None or not names_field or (word.capital and at > 0)


def _of_value(asked: _Asked, start: int, end: int, entries: Sequence[Entry]) -> tuple[Condition, range] | None:
    words = asked.words
    number = number_of(words[start].text) if end - start == 1 else None
    compared = _compared(asked, start, end) if number is not None else None
    scores = {entry.field: asked.near(start, end, entry.field) for entry in entries}
    if compared is not None and number is not None:
        scores = _ranged(asked, start, end, scores)
        if not scores:
            return None
        at = range(compared.start, compared.end)
        return asked.condition([max(scores, key=lambda f: scores[f])], compared.operator, [_plain(number)], at), at
    if number is not None and _counts_something_else(words, end, scores):
        return None
    chosen = _chosen(entries, scores, asked.lexicon)
    value = next(entry.value for entry in entries if entry.field in chosen)
    op = "contains" if asked.lexicon.fields[chosen[0]].listed else "="
    denied = negated(words, start)
    at = range(start if denied is None else denied, end)
    if denied is not None:
        op = "!=" if op == "=" else "not contains"
    return asked.condition(chosen, op, [value], at), at


def _chosen(entries: Sequence[Entry], scores: Mapping[int, float], lexicon: Lexicon) -> list[int]:
    """The fields meant: the one named nearest; else the one in which most documents have the value.

    A value that several listed fields hold about as often is meant of each of them.
    """
    documents = {entry.field: entry.documents for entry in entries}
    best = max(scores.values())
    near = [field for field, score in scores.items() if score >= best - _TIE]
    if all(lexicon.fields[field].listed for field in scores) and best < _NAMED:
        near = list(scores)
    if all(lexicon.fields[field].listed for field in near):
        most = max(documents[field] for field in near)
        return [field for field in near if documents[field] * _OFTEN >= most]
    return [max(near, key=lambda field: (documents[field], len(lexicon.fields[field].values)))]


def _counts_something_else(words: Sequence[Token], end: int, scores: Mapping[int, float]) -> bool:
    """Whether a number is one of "2 professors": a plural follows, and no field that may be meant is named."""
    following = words[end] if end < len(words) else None
    return following is not None and following.singular != following.text and max(scores.values()) <= _COUNTED


def _compared(asked: _Asked, start: int, end: int) -> Compared | None:
    named = [mention.start for mention in asked.mentions if mention.end == start]
    found = comparison(asked.words, start, end)
    return found or (comparison(asked.words, start, end, min(named)) if named else None)


def _ranged(asked: _Asked, start: int, end: int, scores: Mapping[int, float]) -> dict[int, float]:
    """Fields that a comparison may mean, with their nearness: numbers and dates that are named, or those of years."""
    fields = asked.lexicon.fields
    found = {}
    for field in {*scores, *(mention.field for mention in asked.mentions)}:
        if fields[field].ordered and (near := asked.near(start, end, field)) > 0:
            found[field] = near + (0.1 if field in scores else 0)
    if not found and _is_year(asked.words[start].text):
        found = dict.fromkeys(_years(asked.lexicon), 0.0)
    return found


def _years(lexicon: Lexicon, *, dates_only: bool = False) -> list[int]:
    """The fields of years, then those of dates, each with the one first that most documents have."""
    kinds = {FieldType.DATE} if dates_only else {FieldType.NUMBER, FieldType.DATE}
    dated = [at for at, field in enumerate(lexicon.fields) if field.type in kinds and _holds_years(field)]

    def order(at: int) -> tuple[bool, int]:
        return lexicon.fields[at].type is FieldType.DATE, -lexicon.documents[at]

    return sorted(dated, key=order)


def _is_year(word: str) -> bool:
    return len(word) == 4 and word.isdigit() and "1000" <= word <= "2999"


def _holds_years(field: Field) -> bool:
    """Whether it is a field of dates, or of numbers that are all years."""
    return (
        field.ordered
        and len(field.values) > 0
        and all(_is_year(value[:4]) and value[4:5] in {"", "-"} for value, _ in field.values[:100])
    )


def _plain(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _of_numbers(asked: _Asked, taken: set[int]) -> list[tuple[Condition, range]]:
    """Compared numbers that are no stored value ("more than 66 laps"), both ends of "between 5 and 10", "week two"."""
    found = []
    for at, word in enumerate(asked.words):
        number = number_of(word.text)
        if at in taken or number is None:
            continue
        if (span := _between(asked, at)) is not None:
            found += span
            continue
        compared = _compared(asked, at, at + 1)
        scores = _ranged(asked, at, at + 1, {})
        best = max(scores, key=lambda field: scores[field], default=None)
        if best is None or (compared is None and (scores[best] < _NAMED or word.text not in NUMBERS)):
            continue
        whole = range(compared.start, compared.end) if compared else range(at, at + 1)
        operator = compared.operator if compared else "="
        found.append((asked.condition([best], operator, [_plain(number)], whole), whole))
    return found


def _between(asked: _Asked, at: int) -> list[tuple[Condition, range]] | None:
    """ "between 1990 and 1995", "from 1990 to 1995": the conditions on both ends."""
    words = asked.words
    if at < 1 or at + 2 >= len(words) or words[at - 1].text not in {"between", "from"}:
        return None
    first, last = number_of(words[at].text), number_of(words[at + 2].text)
    scores = _ranged(asked, at, at + 3, {})
    if scores == {} and _is_year(words[at].text):
        scores = _ranged(asked, at, at + 1, {})
    if first is None or last is None or words[at + 1].text not in {"and", "to", "until", "through"} or not scores:
        return None
    best = max(scores, key=lambda field: scores[field])
    low, high = range(at - 1, at + 1), range(at + 1, at + 3)
    return [
        (asked.condition([best], ">=", [_plain(first)], low), low),
        (asked.condition([best], "<=", [_plain(last)], high), high),
    ]


def _of_dates(asked: _Asked, taken: set[int]) -> list[tuple[Condition, range]]:
    """A year or month after a preposition, "in 1999", "since May 2020", where one field holds dates or years."""
    found = []
    for at, word in enumerate(asked.words):
        if at in taken or not _is_year(word.text):
            continue
        month = _MONTH_NUMBERS.get(asked.words[at - 1].text) if at else None
        start = at - 1 if month else at
        dated = _years(asked.lexicon, dates_only=month is not None)
        compared = comparison(asked.words, start, at + 1)
        before = asked.words[start - 1].text if start else ""
        if not dated or (compared is None and before not in _IN_DATE):
            continue
        best = max(dated, key=lambda field: asked.near(start, at + 1, field))
        value = f"{word.text}-{month:02}" if month else int(word.text)
        whole = range(compared.start, compared.end) if compared else range(start - 1, at + 1)
        found.append((asked.condition([best], compared.operator if compared else "=", [value], whole), whole))
    return found


def _of_parts(asked: _Asked, taken: set[int]) -> list[tuple[Condition, range]]:
    """A name that is a word of some values: "papers by Knuth" where the field holds "Knuth, D. E."."""
    found = []
    for at, word in enumerate(asked.words):
        if at in taken or at == 0 or not word.capital or word.text in _COMMON:
            continue
        by = asked.words[at - 1].text == "by"
        values = asked.lexicon.values_with(word.text)
        scores = {field: asked.near(at, at + 1, field) for field in values}
        named = {field: score for field, score in scores.items() if by or score >= _NAMED}
        if not named:
            continue
        best = max(named, key=lambda field: (named[field], sum(entry.documents for entry in values[field])))
        start = at - 1 if by else at
        denied = negated(asked.words, start)
        whole = range(start if denied is None else denied, at + 1)
        chosen = sorted({entry.value for entry in values[best]})
        found.append((asked.condition([best], "=" if denied is None else "!=", chosen, whole), whole))
    return found
