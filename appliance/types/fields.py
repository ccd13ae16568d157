"""What the metadata of a collection looks like: its fields, their types and values."""

from dataclasses import dataclass
from enum import StrEnum


class FieldType(StrEnum):
    """What all values of a field read as. A list's type is that of its elements."""

    TEXT = "text"
    NUMBER = "number"
    DATE = "date"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class FieldInfo:
    """A field of a collection, as inferred from what is stored.

    `listed`: some documents hold a list of values. `least` and `greatest` are numbers, dates or texts (case-folded) by
    `type`; `examples` are frequent values as they were given.
    """

    name: str
    type: FieldType
    listed: bool
    documents: int
    distinct: int
    least: str | float
    greatest: str | float
    examples: tuple[str, ...] = ()
