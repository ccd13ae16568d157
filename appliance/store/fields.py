"""The fields of a collection: inferred from the metadata rows of its documents, nothing is declared."""

import json
from typing import Any

import apsw

from appliance.store.database import Database, fetch
from appliance.store.filters import IS_DATE, IS_PLAIN
from appliance.types import FieldInfo, FieldType, MetadataValue

MAX_FIELDS = 500
EXAMPLES = 5
EXAMPLE_CHARACTERS = 60

_DOCUMENTS = "(SELECT id, collection_id FROM documents)"  # without its column `text`
_OF = (
    f"FROM {_DOCUMENTS} d JOIN metadata m ON m.document_id = d.id "
    "WHERE d.collection_id = (SELECT id FROM collections WHERE name = ?1)"
)
_BOOLEAN = "text IN ('true', 'false')"
_SUMMARY = (
    "SELECT m.field, count(DISTINCT d.id), count(*), count(number), "
    f"sum({IS_DATE}), sum({_BOOLEAN}), max(listed), count(DISTINCT text), "
    f"min(number), max(number), min(text), max(text) {_OF} "
)
# What a value in a filter can be compared with.
_HELD = {
    FieldType.NUMBER: "number IS NOT NULL",
    FieldType.DATE: IS_DATE,
    FieldType.BOOLEAN: _BOOLEAN,
    FieldType.TEXT: f"({IS_PLAIN} OR listed)",
}


class Fields:
    """The fields of the collections of one database. Thread-safe; every method may raise StorageError."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def all(self, collection: str) -> list[FieldInfo]:
        """The fields of a collection by name, at most MAX_FIELDS: one pass over its metadata."""
        query = f"{_SUMMARY} GROUP BY m.field ORDER BY m.field LIMIT {MAX_FIELDS}"
        with self._database.read(snapshot=True) as connection:
            rows = fetch(connection, query, (collection,))
            return [_info(row, self._examples(connection, collection, row[0])) for row in rows]

    def one(self, collection: str, field: str) -> FieldInfo | None:
        """One field; None where no document of the collection has it."""
        with self._database.read(snapshot=True) as connection:
            rows = fetch(connection, f"{_SUMMARY} AND m.field = ?2 GROUP BY m.field", (collection, field))
            return _info(rows[0], self._examples(connection, collection, field)) if rows else None

    def names(self, collection: str) -> list[str]:
        """The names of the fields, at most MAX_FIELDS."""
        with self._database.read() as connection:
            query = f"SELECT DISTINCT m.field {_OF} LIMIT {MAX_FIELDS}"
            return [name for (name,) in fetch(connection, query, (collection,))]

    def exists(self, collection: str, field: str) -> bool:
        """Whether some document of the collection has it."""
        return self._any(collection, field, "1")

    def holds(self, collection: str, field: str, kind: FieldType) -> bool:
        """Whether some value of the field is of this kind; a number that could be a year is a date as well."""
        return self._any(collection, field, _HELD[kind])

    def values(self, collection: str, field: str, limit: int) -> list[tuple[str, int]]:
        """The (case-folded value, documents) of a field, most frequent first, at most `limit`."""
        query = f"SELECT text, count(*) {_OF} AND m.field = ?2 GROUP BY text ORDER BY 2 DESC, 1 LIMIT ?3"
        with self._database.read() as connection:
            return [(str(text), int(count)) for text, count in fetch(connection, query, (collection, field, limit))]

    def _any(self, collection: str, field: str, condition: str) -> bool:
        query = (  # by the field first, which stops at the first row that will do
            f"SELECT EXISTS (SELECT 1 FROM metadata m CROSS JOIN {_DOCUMENTS} d ON d.id = m.document_id "
            f"WHERE m.field = ?2 AND {condition} AND d.collection_id = (SELECT id FROM collections WHERE name = ?1))"
        )
        with self._database.read() as connection:
            return bool(connection.execute(query, (collection, field)).get)

    def _examples(self, connection: apsw.Connection, collection: str, field: str) -> tuple[str, ...]:
        """Frequent values, with the case in which one of the documents has them."""
        query = (
            f"SELECT text, max(d.id) {_OF} AND m.field = ?2 GROUP BY text ORDER BY count(*) DESC, text LIMIT {EXAMPLES}"
        )
        found = []
        for text, document_id in fetch(connection, query, (collection, field)):
            metadata = connection.execute("SELECT metadata FROM documents WHERE id = ?", (document_id,)).get
            found.append(_as_given(json.loads(str(metadata)).get(field), text))
        return tuple(found)


def _as_given(value: MetadataValue | None, text: str) -> str:
    items = value if isinstance(value, list) else [value]
    shown = next((item for item in items if isinstance(item, str) and item.casefold() == text), text)
    return shown if len(shown) <= EXAMPLE_CHARACTERS else shown[: EXAMPLE_CHARACTERS - 1] + "…"


def _info(row: tuple[Any, ...], examples: tuple[str, ...]) -> FieldInfo:
    name, documents, rows, numbers, dates, booleans, listed, distinct, *limits = row
    least_number, greatest_number, least_text, greatest_text = limits
    kind = FieldType.TEXT
    if booleans == rows:
        kind = FieldType.BOOLEAN
    elif numbers == rows:
        kind = FieldType.NUMBER
    elif dates == rows:
        kind = FieldType.DATE
    ends = (least_number, greatest_number) if kind is FieldType.NUMBER else (least_text, greatest_text)
    return FieldInfo(name, kind, bool(listed), documents, distinct, *ends, examples)
