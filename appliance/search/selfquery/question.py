"""A question being read, and what is read out of it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from appliance.search.selfquery.lexicon import Lexicon, Token
from appliance.search.selfquery.mentions import Mention, nearness

NAMED = 0.8  # nearness of a field that is named right there

# (name of a field, value) -> whether it is also an ordinary word: documents that lack this value have it in their text.
Ordinary: TypeAlias = Callable[[str, str], bool]


@dataclass(frozen=True, slots=True)
class Condition:
    """`[start, end)`: the characters that say it.

    `sure`: the question shows that it is meant; else it may be no more than words.
    `fields` are several where nothing decides between them; `values` where a part of a value names some of them.
    """

    fields: tuple[str, ...]
    op: str  # = != < <= > >= contains "not contains"
    values: tuple[str | int | float, ...]
    start: int
    end: int
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Asked:
    """A question being read: its words, its mentions of fields. Without `ordinary` no word is one."""

    text: str
    words: Sequence[Token]
    mentions: Sequence[Mention]
    lexicon: Lexicon
    ordinary: Ordinary | None

    def near(self, start: int, end: int, field: int) -> float:
        return nearness(self.words, start, end, field, self.mentions)

    def condition(self, fields: Sequence[int], op: str, values: Sequence[str | int | float], at: range) -> Condition:
        """Of the words in the range `at`."""
        names = tuple(self.lexicon.fields[field].name for field in fields)
        return Condition(names, op, tuple(values), self.words[at[0]].start, self.words[at[-1]].end)
