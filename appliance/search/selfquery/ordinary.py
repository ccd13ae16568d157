"""Which values of metadata are also ordinary words of the texts."""

from appliance.search.selfquery.question import Ordinary
from appliance.store import Store
from appliance.types import Metadata

CHUNKS = 20  # that hold the words of a value, best by BM25, are looked at


def ordinary_in(store: Store, collection: str) -> Ordinary:
    """Whether a document without this value has it in its text or title, by a keyword search. Raises StorageError."""

    def ordinary(field: str, value: str) -> bool:
        wanted = value.casefold()
        rows = store.lexical.search(collection, value, CHUNKS).rows
        for chunk in store.documents.chunks([chunk for chunk, _ in rows]).values():
            said = " " not in wanted or wanted in f"{chunk.title}\n{chunk.text}".casefold()
            if said and wanted not in _values(store.documents.info(chunk.document_id).metadata, field):
                return True
        return False

    return ordinary


def _values(metadata: Metadata, field: str) -> set[str]:
    held = metadata.get(field)
    return {str(value).casefold() for value in (held if isinstance(held, list) else [held])}
