"""A question and a lexicon -> the conditions that the question states."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from appliance.search.selfquery.evidence import evident
from appliance.search.selfquery.lexicon import Entry, Lexicon, Token, tokens
from appliance.search.selfquery.mentions import ASKING, find_mentions
from appliance.search.selfquery.numbers import negated, number_of
from appliance.search.selfquery.quantities import (
    compared,
    of_dates,
    of_numbers,
    of_ranges,
    of_years,
    plain,
    ranged,
)
from appliance.search.selfquery.question import NAMED, Asked, Condition, Ordinary
from appliance.words import FUNCTION_WORDS

_ALSO_COMMON = """
    other others first last least all no yes one new number total game year please list find get also only each every
    between same different s t d m re ve ll n y
"""
_COMMON = FUNCTION_WORDS | ASKING | set(_ALSO_COMMON.split())  # never a value where one stands alone in small letters
_TIE = 0.05  # nearness that decides nothing
_OFTEN = 3  # a value that occurs so many times less often in a field is not meant of it
_COUNTED = 0.3  # nearness without which "2 professors" is a number of professors
_NAMED_PART = 0.3  # of a name that stands for the values it is a word of


def read(text: str, lexicon: Lexicon, ordinary: Ordinary | None = None) -> list[Condition]:
    """The conditions that a question states, in its order.

    Ranges and dates come first. Then stored values are found by their words; which field a value belongs to is decided
    by the nearest mention of a field, then by the documents that have it. A value that is an `ordinary` word is taken
    only where the question shows that it is meant. Then come compared numbers and years, then parts of values.
    """
    words = tokens(text)
    if not words:
        return []
    asked = Asked(text, words, find_mentions(words, lexicon), lexicon, ordinary)
    found: list[Condition] = []
    taken: set[int] = set()

    def take(read_ones: Iterable[tuple[Condition, range]]) -> None:
        for condition, at in read_ones:
            if taken.isdisjoint(at):
                found.append(condition)
                taken.update(at)

    for part in (of_ranges, of_dates, _of_values):
        take(list(part(asked)))
    for later in (of_numbers, of_years, _of_parts):
        take(list(later(asked, taken)))
    return sorted(found, key=lambda condition: condition.start)


def _of_values(asked: Asked) -> Iterable[tuple[Condition, range]]:
    for start, end, entries in _value_spans(asked):
        if (one := _of_value(asked, start, end, entries)) is not None:
            yield one


def _value_spans(asked: Asked) -> list[tuple[int, int, list[Entry]]]:
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


def _may_stand_alone(asked: Asked, at: int) -> bool:
    """Common words and names of fields are values only where they are written as names."""
    word, text = asked.words[at], asked.text
    raw = text[word.start : word.end]
    if word.text in _COMMON:
        quoted = text[max(0, word.start - 1)] in "\"'“"
        named = word.capital and at > 0 and word.text not in FUNCTION_WORDS
        return len(raw) > 1 and (raw.isupper() or quoted or named)
    names_field = any(m.start <= at < m.end and m.share >= 1 for m in asked.mentions)
    return number_of(word.text) is not None or not names_field or (word.capital and at > 0)


def _of_value(asked: Asked, start: int, end: int, entries: Sequence[Entry]) -> tuple[Condition, range] | None:
    words = asked.words
    number = number_of(words[start].text) if end - start == 1 else None
    said = compared(asked, start, end) if number is not None else None
    scores = {entry.field: asked.near(start, end, entry.field) for entry in entries}
    if said is not None and number is not None:
        scores = ranged(asked, start, end, scores)
        if not scores:
            return None
        at = range(said.start, said.end)
        return asked.condition([max(scores, key=lambda f: scores[f])], said.operator, [plain(number)], at), at
    if number is not None and _counts_something_else(words, end, scores):
        return None
    chosen = _chosen(entries, scores, asked.lexicon)
    value = next(entry.value for entry in entries if entry.field in chosen)
    sure = any(evident(asked, start, end, field) for field in chosen)
    if not sure and _is_ordinary(asked, chosen, value):
        return None
    op = "contains" if asked.lexicon.fields[chosen[0]].listed else "="
    denied = negated(words, start)
    at = range(start if denied is None else denied, end)
    if denied is not None:
        op = "!=" if op == "=" else "not contains"
    return replace(asked.condition(chosen, op, [value], at), sure=sure), at


def _is_ordinary(asked: Asked, fields: Sequence[int], value: str) -> bool:
    if asked.ordinary is None:
        return False
    return any(asked.ordinary(asked.lexicon.fields[field].name, value) for field in fields)


def _chosen(entries: Sequence[Entry], scores: Mapping[int, float], lexicon: Lexicon) -> list[int]:
    """The fields meant: the one named nearest; else the one in which most documents have the value.

    A value that several listed fields hold about as often is meant of each of them.
    """
    documents = {entry.field: entry.documents for entry in entries}
    best = max(scores.values())
    near = [field for field, score in scores.items() if score >= best - _TIE]
    if all(lexicon.fields[field].listed for field in scores) and best < NAMED:
        near = list(scores)
    if all(lexicon.fields[field].listed for field in near):
        most = max(documents[field] for field in near)
        return [field for field in near if documents[field] * _OFTEN >= most]
    return [max(near, key=lambda field: (documents[field], len(lexicon.fields[field].values)))]


def _counts_something_else(words: Sequence[Token], end: int, scores: Mapping[int, float]) -> bool:
    """Whether a number is one of "2 professors": a plural follows, and no field that may be meant is named."""
    following = words[end] if end < len(words) else None
    return following is not None and following.singular != following.text and max(scores.values()) <= _COUNTED


def _of_parts(asked: Asked, taken: set[int]) -> list[tuple[Condition, range]]:
    """A name that is a word of some values: "papers by Knuth" where the field holds "Knuth, D. E."."""
    found = []
    for at, word in enumerate(asked.words):
        if at in taken or at == 0 or not word.capital or word.text in _COMMON:
            continue
        by = asked.words[at - 1].text == "by"
        values = asked.lexicon.values_with(word.text)
        scores = {field: asked.near(at, at + 1, field) for field in values}
        named = {field: score for field, score in scores.items() if by or score >= _NAMED_PART}
        if not named:
            continue
        best = max(named, key=lambda field: (named[field], sum(entry.documents for entry in values[field])))
        start = at - 1 if by else at
        denied = negated(asked.words, start)
        whole = range(start if denied is None else denied, at + 1)
        chosen = sorted({entry.value for entry in values[best]})
        found.append((asked.condition([best], "=" if denied is None else "!=", chosen, whole), whole))
    return found
