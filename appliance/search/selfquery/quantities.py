"""Numbers, years and dates in a question, and the ranges they make."""

from collections.abc import Iterator, Mapping, Sequence

from appliance.dates import FIRST_YEAR, LAST_YEAR, written_date
from appliance.search.selfquery.lexicon import Field, Lexicon, Token
from appliance.search.selfquery.numbers import NUMBERS, Compared, comparison, number_of
from appliance.search.selfquery.question import NAMED, Asked, Condition
from appliance.types import FieldType

IN_DATE = frozenset(("in", "on", "from", "of", "during", "dated", "since"))
_TO = frozenset(("and", "to", "until", "through", "till"))
_LONGEST_DATE = 4  # words: "the 5th of July 2022" without its article
_AGES = {"older than": "<", "newer than": ">", "recent than": ">"}  # said of documents, beside a year or date


def of_ranges(asked: Asked) -> Iterator[tuple[Condition, range]]:
    """Both ends of "between 5 and 10", "from 1990 to 1995", "from May 2020 until 2021-03"."""
    words = asked.words
    for at in range(1, len(words) - 2):
        if words[at - 1].text not in {"between", "from"}:
            continue
        first, middle = _point(words, asked.text, at)
        if first is None or middle >= len(words) - 1 or words[middle].text not in _TO:
            continue
        last, end = _point(words, asked.text, middle + 1)
        dated = isinstance(first, str) or isinstance(last, str)
        fields = _dated(asked, at, end) if dated else ranged(asked, at, end, {}) or ranged(asked, at, middle, {})
        if last is None or not fields:
            continue
        best = max(fields, key=lambda field: fields[field])
        low, high = range(at - 1, middle), range(middle, end)
        yield asked.condition([best], ">=", [first], low), low
        yield asked.condition([best], "<=", [last], high), high


def of_dates(asked: Asked) -> Iterator[tuple[Condition, range]]:
    """A day or a month, "on 2 July 2022", "before 2020-06", where the collection has a field of dates."""
    at = 0
    while at < len(asked.words):
        date, end = _date(asked.words, asked.text, at)
        fields = _dated(asked, at, end) if date else {}
        if date and fields:
            yield _at_moment(asked, date, at, end, max(fields, key=lambda field: fields[field]))
        at = max(end, at + 1)


def of_years(asked: Asked, taken: set[int]) -> Iterator[tuple[Condition, range]]:
    """A year after a preposition or comparison, "in 1999", "since 2020", where one field holds dates or years."""
    dated = _years(asked.lexicon)
    for at, word in enumerate(asked.words):
        if at in taken or not is_year(word.text) or not dated:
            continue
        before = asked.words[at - 1].text if at else ""
        if before in IN_DATE or age(asked.words, at, at + 1) or comparison(asked.words, at, at + 1):
            best = max(dated, key=lambda field: asked.near(at, at + 1, field))
            yield _at_moment(asked, int(word.text), at, at + 1, best)


def of_numbers(asked: Asked, taken: set[int]) -> Iterator[tuple[Condition, range]]:
    """Compared numbers that are no stored value ("more than 66 laps"), "week two"."""
    for at, word in enumerate(asked.words):
        number = number_of(word.text)
        if at in taken or number is None:
            continue
        found = compared(asked, at, at + 1)
        scores = ranged(asked, at, at + 1, {})
        best = max(scores, key=lambda field: scores[field], default=None)
        if best is None or (found is None and (scores[best] < NAMED or word.text not in NUMBERS)):
            continue
        whole = range(found.start, found.end) if found else range(at, at + 1)
        yield asked.condition([best], found.operator if found else "=", [plain(number)], whole), whole


def compared(asked: Asked, start: int, end: int) -> Compared | None:
    """What is said about the number `[start, end)`, also before the name of its field: "after week 9"."""
    if is_year(asked.words[start].text) and (found := age(asked.words, start, end)) is not None:
        return found
    named = [mention.start for mention in asked.mentions if mention.end == start]
    return comparison(asked.words, start, end) or (comparison(asked.words, start, end, min(named)) if named else None)


def age(words: Sequence[Token], start: int, end: int) -> Compared | None:
    """ "older than 2020" is before it, though "older than 30" is more."""
    operator = _AGES.get(" ".join(word.text for word in words[max(0, start - 2) : start]))
    return Compared(operator, start - 2, end) if operator else None


def ranged(asked: Asked, start: int, end: int, scores: Mapping[int, float]) -> dict[int, float]:
    """Fields that a comparison may mean, with their nearness: numbers and dates that are named, or those of years."""
    fields = asked.lexicon.fields
    found = {}
    for field in {*scores, *(mention.field for mention in asked.mentions)}:
        if fields[field].ordered and (near := asked.near(start, end, field)) > 0:
            found[field] = near + (0.1 if field in scores else 0)
    if not found and is_year(asked.words[start].text):
        found = dict.fromkeys(_years(asked.lexicon), 0.0)
    return found


def is_year(word: str) -> bool:
    return len(word) == 4 and word.isdigit() and FIRST_YEAR <= int(word) <= LAST_YEAR


def holds_years(field: Field) -> bool:
    """Whether it is a field of dates, or of numbers that are all years."""
    return (
        field.ordered
        and len(field.values) > 0
        and all(is_year(value[:4]) and value[4:5] in {"", "-"} for value, _ in field.values[:100])
    )


def plain(number: float) -> int | float:
    return int(number) if number.is_integer() else number


def _at_moment(asked: Asked, moment: str | int, at: int, end: int, field: int) -> tuple[Condition, range]:
    """The condition that the words before and after a year or date make of it."""
    found = age(asked.words, at, end) or comparison(asked.words, at, end)
    dated = at > 0 and asked.words[at - 1].text in IN_DATE
    whole = range(found.start, found.end) if found else range(at - dated, end)
    return asked.condition([field], found.operator if found else "=", [moment], whole), whole


def _point(words: Sequence[Token], text: str, at: int) -> tuple[str | int | float | None, int]:
    """The date or number that begins at a word, and where it ends."""
    date, end = _date(words, text, at)
    if date is not None:
        return date, end
    number = number_of(words[at].text)
    return (None if number is None else plain(number)), at + 1


def _date(words: Sequence[Token], text: str, at: int) -> tuple[str | None, int]:
    """The day or month that begins at a word, as ISO, and where it ends; `at` where there is none."""
    for end in range(min(at + _LONGEST_DATE, len(words)), at, -1):
        date = written_date(text[words[at].start : words[end - 1].end])
        if date is not None and len(date) > len("2020"):
            return date[: len("2020-03-15")], end
    return None, at


def _dated(asked: Asked, start: int, end: int) -> dict[int, float]:
    """The fields of dates with their nearness, the one first that most documents have."""
    dated = _years(asked.lexicon, dates_only=True)
    return {field: max(0.0, asked.near(start, end, field)) for field in dated}


def _years(lexicon: Lexicon, *, dates_only: bool = False) -> list[int]:
    """The fields of years, then those of dates, each with the one first that most documents have."""
    kinds = {FieldType.DATE} if dates_only else {FieldType.NUMBER, FieldType.DATE}
    dated = [at for at, field in enumerate(lexicon.fields) if field.type in kinds and holds_years(field)]

    def order(at: int) -> tuple[bool, int]:
        return lexicon.fields[at].type is FieldType.DATE, -lexicon.documents[at]

    return sorted(dated, key=order)
