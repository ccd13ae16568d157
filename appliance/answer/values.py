"""The values that a sentence may give for what a question asks, each with the words beside it.

"It lies in Harlan County" and "the county, known as Brennan" have different names in like places: beside the thing that
"what county …" asks for. A heuristic over shapes of words, without a grammar.
"""

import re
from collections.abc import Collection, Sequence
from enum import Enum, auto
from itertools import takewhile

import msgspec

from appliance.evidence.question import Question, Wanted
from appliance.words import FUNCTION_WORDS, stem, stem_line, stems

BESIDE, REACH = 2, 4  # content words on either side that are a value's place, and how many words away they may be
LONGEST = 3  # words of a value in small letters
ASKED, OTHER, ACROSS = 2.0, 0.5, 0.75  # worth of a neighbour that is the thing asked for; of others; on the other side
SHORT = 3  # letters of a word of the question that may be an abbreviation in the passage ("nj")
BESIDES = 2  # content words that a plain sentence may have beside the question's and the value
FRAME, SAME = 6, 0.3  # words on either side that may be the same, and the worth of each beyond the first

_NAMES = re.compile(r"\b[A-Z][a-z]+(?: [A-Z][a-z]+)*")
_FUNCTION = frozenset(map(stem, FUNCTION_WORDS))
_TOKEN = re.compile(r"\d[\d,]*(?:[.:/]\d+)*(?:st|nd|rd|th)?|%|[^\W\d_]+(?:['’][^\W\d_]+)?|[.,;:()]")
_ORDINAL = re.compile(r"(?<=\d)(?:st|nd|rd|th)$")
_END = frozenset(".;:()")
_TIME = re.compile(r"1\d{3}|20\d\d|\d+:\d\d")
_MONTHS = (
    *("january", "february", "march", "april", "may", "june", "july", "august"),
    *("september", "october", "november", "december"),
)
_COUNTS = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
DIGITS = {word: str(number) for number, word in enumerate(_COUNTS)}
_AUXILIARY = r"(?:is|are|was|were|do|does|did|has|have|had|can|will|would|should)\b"
ONE_THING = re.compile(  # "what county", "which band"; "what is …" may have several answers
    rf"\b(?:what|which) (?!{_AUXILIARY})\w+", re.IGNORECASE
)
_VALUE_OF = re.compile(  # "what is the default port", and not "what is London"
    r"\b[Ww]hat(?: is| was|['’]s) (?:the|our|your|its) [a-z]"
)
_KEYWORDS = re.compile(
    r"^(?!.*\b(?:what|which|who|whom|whose|why|how|when|where)\b)", re.IGNORECASE
)  # "capital of Peru"
_DOES = re.compile(r"\bhow (?:long|much) (?:do|does|did|will|can) .*\b(\w+)\W*$", re.IGNORECASE)  # "last", "weigh"
_ASKED = (
    re.compile(  # "what county is", "which time zone is", "what kind of gas", "how long", "how many calories", "age"
        rf"\b(?:what|which) (?:\w+ of )?(\w+)(?: (\w+)(?= {_AUXILIARY}))?|"
        r"\bhow (?:(?:many|much) )?(\w+)|\b(age|percentage|rate)\b",
        re.IGNORECASE,
    )
)
_EITHER = re.compile(
    r"^(?!.*\btrue or false\b).*?\b(\w+),? or (?:(?:the|an?|in|on|at|by|from|of) )*(\w+)\W*$", re.IGNORECASE
)
_UNITS = tuple(  # what an amount of that kind is counted in
    (re.compile(rf"\b(?:{asks})\b", re.IGNORECASE), frozenset(map(stem, units.split())))
    for asks, units in (
        ("how old|age", "age aged old year month"),
        ("how long", "second minute hour day week month year foot feet inch metre meter mile kilometre kilometer"),
        ("how (?:far|tall|high|deep|wide)", "foot feet inch metre meter mile kilometre kilometer cm km"),
        ("how much|cost|price", "dollar euro pound cent"),
        ("percent(?:age)?|rate|share|proportion", "% percent"),
        ("how hot|how cold|temperature", "degree fahrenheit celsius"),
    )
)
_MEASURE = re.compile(r"\b(?:age|percent\w*|number|rate|price|cost|size)\b", re.IGNORECASE)


class Shape(Enum):
    """What a value looks like: only values of one shape are compared."""

    DATE = auto()
    NUMBER = auto()
    NAME = auto()
    WORD = auto()

    __hash__ = object.__hash__  # in C, unlike Enum's own: shapes are looked up in sets for every word


DATE, NUMBER, NAME, WORD = Shape  # for the same reason: `Shape.DATE` is a call
PROPER = frozenset((DATE, NUMBER, NAME))
_COUNTED = frozenset((DATE, NUMBER))
_COUNT = re.compile(rf"\d|\b(?:{'|'.join((*_COUNTS, *_MONTHS))})\b", re.IGNORECASE)


class Value(msgspec.Struct, frozen=True, eq=False):
    """Stems of a value, its shape, and the stems on either side, nearest first: `before` and `after` of content words
    (`beside`: both), `left` and `right` of all words.
    """

    keys: frozenset[str]
    shape: Shape
    before: tuple[str, ...]
    after: tuple[str, ...]
    left: tuple[str, ...]
    right: tuple[str, ...]
    beside: frozenset[str]


def shapes_of(question: Question) -> frozenset[Shape]:
    """The shapes that an answer may have; none where a question may rightly have several answers."""
    match question.wanted:
        case Wanted.WHEN:
            return frozenset((DATE, NUMBER))
        case Wanted.AMOUNT:
            return frozenset((NUMBER,))
        case Wanted.VERSION:
            return PROPER
        case Wanted.WHO:
            return frozenset((NAME,))
        case Wanted.WHERE:
            return frozenset((NAME, WORD))
        case Wanted.OTHER if _MEASURE.search(question.text):
            return frozenset((NUMBER,))
        case Wanted.OTHER | Wanted.CODE if any(
            asks.search(question.text) for asks in (ONE_THING, _VALUE_OF, _KEYWORDS)
        ):
            return frozenset(Shape)
    return frozenset()


def asked_of(question: Question) -> frozenset[str]:
    """Stems of the thing whose value is asked for, and of its units: "county" of "what county is it in"."""
    matches = (match for asks in (_ASKED, _DOES) for match in asks.finditer(question.text))
    found = (word for match in matches for word in match.groups() if word)
    units = (own for asks, own in _UNITS if asks.search(question.text))
    return frozenset(stem(word) for word in found if word.lower() not in FUNCTION_WORDS).union(*units)


def choice_of(question: Question) -> frozenset[str]:
    """Stems of the two things between which a question lets choose."""
    found = _EITHER.search(question.text)
    return frozenset(map(stem, found.groups())) if found else frozenset()


def values_in(text: str, question: Question, shapes: frozenset[Shape]) -> list[Value]:
    """The values of these shapes that the question does not name itself, in order."""
    if shapes <= _COUNTED and not _COUNT.search(text):
        return []
    tokens = _TOKEN.findall(text)
    keys = list(map(stem, tokens))
    kinds = [_kind(token, key, question.weights) for token, key in zip(tokens, keys, strict=True)]
    left_out = {None, NAME, WORD} - shapes  # runs of these hold nothing else
    found, at = [], 0
    while at < len(tokens):
        if kinds[at] in left_out:
            at += 1
            continue
        end, shape = _run(tokens, kinds, at)
        if shape in shapes and _stands(tokens, keys, at, end, shape, question):
            own = [_number(token) for token in tokens[at:end] if token != ","] if shape in _COUNTED else keys[at:end]
            before = _beside(tokens, keys, range(at - 1, max(-1, at - 1 - REACH), -1))
            after = _beside(tokens, keys, range(end, min(len(tokens), end + REACH)))
            left, right = tuple(keys[max(0, at - FRAME) : at][::-1]), tuple(keys[end : end + FRAME])
            found.append(Value(frozenset(own), shape, before, after, left, right, frozenset((*before, *after))))
        at = end
    return found


def numbers_in(text: str) -> set[str]:
    """All numbers of a text, as keys of values."""
    return {_number(token) for token in _TOKEN.findall(text) if token[0].isdigit() or token.lower() in DIGITS}


def is_plain(value: Value, text: str, question: Question, asked: frozenset[str]) -> bool:
    """Whether a sentence says hardly more than that the thing asked for is this: "The front door is blue".

    It may leave some of the question out if it says nothing else: "The door is green", not "The back door is green".
    """
    said = {key for key in stems(text) if key not in DIGITS and not key[0].isdigit()} - _FUNCTION
    more = said - question.weights.keys() - asked - value.keys
    more -= {*value.right[:1]} if value.shape is NUMBER else set()  # its unit
    lacking = question.weights.keys() - said - asked
    return 2 * len(lacking) <= len(question.weights) and len(more) <= (0 if lacking else BESIDES)


def likeness(one: Value, other: Value, asked: Collection[str]) -> float:
    """How alike the places of two values are: the worth of the words beside both; 0 without a content word."""
    shared = one.beside & other.beside
    if not shared:
        return 0.0
    worth = 0.0
    for key in shared:
        nearest = (key in (*one.before[:1], *one.after[:1])) + (key in (*other.before[:1], *other.after[:1]))
        same_side = (key in one.before and key in other.before) or (key in one.after and key in other.after)
        worth += (ASKED if key in asked else OTHER) * nearest / 2 * (1.0 if same_side else ACROSS)
    same = _same(one.left, other.left) + _same(one.right, other.right)
    return worth + SAME * max(0, same - 1)


def interchangeable(one: Value, other: Value) -> bool:
    """Whether either could stand for the other: words after the same two words, numbers not of different units."""
    if one.shape is WORD:
        return one.left[:2] == other.left[:2]
    return one.shape is not NUMBER or not one.after or not other.after or one.after[0] == other.after[0]


def abbreviated(question: Question, text: str) -> frozenset[str]:
    """The short words of the question that stand in a passage, as they are or written out: "nj" of "New Jersey"."""
    short = [key for key in question.weights if len(key) <= SHORT and key.isalpha()]
    if not short:
        return frozenset()
    line = stem_line(text)
    lacking = [key for key in short if f" {key} " not in line]
    names = [name.lower().split() for name in set(_NAMES.findall(text))] if lacking else []
    return frozenset(short).difference(key for key in lacking if not any(_stands_for(key, name) for name in names))


def _same(one: Sequence[str], other: Sequence[str]) -> int:
    """How many words at the beginning of both are the same."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def _kind(token: str, key: str, named: Collection[str]) -> Shape | None:
    first, lowered = token[0], token.lower()
    if first.isdigit():
        return None if token[-1].isalpha() else NUMBER  # "17th" counts nothing
    if lowered in DIGITS:
        return NUMBER
    proper = first.isupper()
    if proper and lowered in _MONTHS:
        return DATE
    if lowered in FUNCTION_WORDS or key in named or not first.isalpha():
        return None
    return NAME if proper else WORD


def _run(tokens: Sequence[str], kinds: Sequence[Shape | None], at: int) -> tuple[int, Shape | None]:
    """The end and the shape of the value that begins at a word."""
    kind, end = kinds[at], at + 1
    if kind is DATE or (kind is NUMBER and tokens[at][0].isdigit() and kinds[end : end + 1] == [DATE]):
        while end < len(tokens) and (kinds[end] is DATE or tokens[end][0].isdigit() or tokens[end] == ","):
            end += 1
        return end, DATE
    if kind in (NAME, WORD):
        last = len(tokens) if kind is NAME else min(len(tokens), at + LONGEST)
        while end < last and kinds[end] is kind:
            end += 1
    return end, kind


def _stands(tokens: Sequence[str], keys: Sequence[str], at: int, end: int, shape: Shape, question: Question) -> bool:
    """Whether it may be an answer: not what the question names, no year where an amount is asked, no mere capital."""
    if shape is NUMBER:
        number = _number(tokens[at])
        return number not in question.weights and (question.wanted is not Wanted.WHEN or bool(_TIME.fullmatch(number)))
    if shape is NAME and at == 0 and end == 1:  # a sentence begins with a capital
        return end < len(keys) and keys[end] in question.weights
    return shape is not DATE or question.weights.keys().isdisjoint(keys[at:end])


def _number(token: str) -> str:
    return DIGITS.get(token.lower()) or _ORDINAL.sub("", token.replace(",", "").lower())


def _beside(tokens: Sequence[str], keys: Sequence[str], places: range) -> tuple[str, ...]:
    found: list[str] = []
    for place in places:
        token = tokens[place]
        if token in _END or len(found) == BESIDE:
            break
        if token != "," and token.lower() not in FUNCTION_WORDS:
            found.append(keys[place])
    return tuple(found)


def _stands_for(short: str, name: Sequence[str]) -> bool:
    """Whether it is made of the first letters of a name's words, or of the first and another letter of one of them."""
    if len(short) <= len(name) and short in "".join([part[0] for part in name]):
        return True
    return len(short) == 2 and any(part[0] == short[0] and short[1] in part[1:] for part in name)
