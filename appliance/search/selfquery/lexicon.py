"""The words of a collection's metadata: values and names of fields, looked up by the words of a question."""

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from appliance.types import FieldType
from appliance.words import FUNCTION_WORDS, stem

LONGEST = 16  # words of a value that are compared; longer values are not looked for
PART_VALUES = 20  # a word that more values of a field have says nothing about which is meant
_TOKEN = re.compile(
    r"n['’]t(?![^\W_])|[^\W_]+?(?=n['’]t(?![^\W_]))"
    r"|(?:(?<![^\s(\"'])[-–−])?\d+(?:,\d+)*(?:\.\d+)?(?:st|nd|rd|th)?(?![^\W_])|\.\d+(?![^\W_])"
    r"|[^\W_]+[+-](?=[\s?.!,;\"')]|$)|[^\W_]+"  # A+, B-
)
_LETTERS = str.maketrans({"ł": "l", "Ł": "l", "ø": "o", "Ø": "o", "đ": "d", "Đ": "d", "ı": "i"})
_DASHES = str.maketrans("–−", "--")
_NAME = re.compile(r"[^\W\d_]+|\d+(?:st|nd|rd|th)?|#")
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])")
# Stem of a word in a field's name -> other words for it.
SYNONYMS: Mapping[str, tuple[str, ...]] = {
    "number": ("no", "num", "nr"),
    "no": ("number",),
    "author": ("writer", "wrote", "write", "written"),
    "written": ("writer", "wrote", "author"),
    "direct": ("director",),
    "date": ("day",),
    "name": ("named", "called"),
    "titl": ("titled", "entitled", "called"),
    "creat": ("made", "written"),
    "location": ("located", "place"),
    "city": ("town",),
    "result": ("outcome",),
    "nationality": ("country", "nation"),
}


@dataclass(frozen=True, slots=True)
class Token:
    """A word of a question, folded, with its place `[start, end)` in the text; `capital` as it is written."""

    text: str
    stem: str
    singular: str
    start: int
    end: int
    capital: bool


@dataclass(frozen=True, slots=True)
class Field:
    """A field and its (value, documents) pairs. Conditions on a `listed` one are `contains`, else `=`."""

    name: str
    type: FieldType
    listed: bool
    values: Sequence[tuple[str, int]]

    @property
    def ordered(self) -> bool:
        return self.type in {FieldType.NUMBER, FieldType.DATE}


@dataclass(frozen=True, slots=True)
class Entry:
    """A value, the field (by its place) that has it, and in how many documents."""

    field: int
    value: str
    documents: int


class Lexicon:
    """Values by their words, fields by the words of their names. Immutable; its memory grows with the values."""

    def __init__(self, fields: Sequence[Field]) -> None:
        self.fields = tuple(fields)
        self.documents = [sum(documents for _, documents in field.values) for field in self.fields]
        self.names = [name_words(field.name) for field in self.fields]
        self.by_word: dict[str, list[int]] = {}  # stem -> fields whose name has it
        self._values: dict[str, list[Entry]] = {}
        self._singular: dict[str, list[Entry]] = {}
        self._parts: dict[str, list[Entry]] = {}  # word -> values of several words that have it
        self._lengths: dict[str, int] = {}  # first word -> bits: how many words the values have that begin with it
        for number, field in enumerate(self.fields):
            for value, documents in field.values:
                self._add(Entry(number, value, documents), tokens(value))
            for word in dict.fromkeys(self.names[number]):
                for form in dict.fromkeys((word, *map(stem, SYNONYMS.get(word, ())))):
                    self.by_word.setdefault(form, []).append(number)

    def _add(self, entry: Entry, words: Sequence[Token]) -> None:
        if not 0 < len(words) <= LONGEST:
            return
        self._values.setdefault(" ".join(word.text for word in words), []).append(entry)
        self._singular.setdefault(" ".join(word.singular for word in words), []).append(entry)
        self._lengths[words[0].singular] = self._lengths.get(words[0].singular, 0) | 1 << len(words)
        if len(words) > 1 and self.fields[entry.field].type is FieldType.TEXT:
            for word in {word.text for word in words if len(word.text) > 2 and word.text.isalpha()}:
                self._parts.setdefault(word, []).append(entry)

    def values_at(self, words: Sequence[Token], at: int) -> Iterable[tuple[int, list[Entry]]]:
        """(end, entries) of the values that begin at a word, longest first; plurals count where none is exact."""
        lengths = self._lengths.get(words[at].singular, 0)
        for length in range(min(lengths.bit_length() - 1, len(words) - at), 0, -1):
            if lengths >> length & 1:
                part = words[at : at + length]
                entries = self._values.get(" ".join(word.text for word in part))
                entries = entries or self._singular.get(" ".join(word.singular for word in part))
                if entries:
                    yield at + length, entries

    def values_with(self, word: str) -> dict[int, list[Entry]]:
        """By field, the values of several words that have this one: few enough to mean something by it."""
        found: dict[int, list[Entry]] = {}
        for entry in self._parts.get(word, ()):
            found.setdefault(entry.field, []).append(entry)
        return {field: entries for field, entries in found.items() if len(entries) <= PART_VALUES}


def tokens(text: str) -> list[Token]:
    """The words of a text; numbers lose their thousands separators, `-8` keeps its sign."""
    found = []
    for match in _TOKEN.finditer(text):
        word = fold(match[0]).translate(_DASHES)
        if word[-1:].isdigit():
            word = word.replace(",", "")
        found.append(Token(word, stem(word), singular(word), match.start(), match.end(), match[0][:1].isupper()))
    return found


def fold(text: str) -> str:
    """Without case and accents."""
    decomposed = unicodedata.normalize("NFKD", text.translate(_LETTERS).casefold())
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def singular(word: str) -> str:
    """A word without the ending of a plural; short words and numbers stay."""
    if len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")) or not word.isalpha():
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes")) else word[:-1]


def name_words(name: str) -> tuple[str, ...]:
    """The stems of a field's name: `home_team_score` -> home, team, score; `pick_#` -> pick, number."""
    parts = _NAME.findall(_CAMEL.sub(" ", name))
    words = [fold("number" if part in {"#", "no", "No"} else part) for part in parts]
    kept = [stem(word) for word in words if word not in FUNCTION_WORDS]
    return tuple(kept or [stem(word) for word in words])
