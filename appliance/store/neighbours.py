"""BM25 of single chunks that counts the words of the chunks beside them, too, where their document is short."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import apsw

from appliance.store import bm25, kernel
from appliance.store.bm25 import K1, B, Counted
from appliance.store.collections import Collection
from appliance.store.database import carray, fetch
from appliance.store.recent import Recent
from appliance.types import Ids

# A short document speaks of one thing, so a word beside a chunk counts 1 / (the chunks of its document); in documents
# of more chunks than SHORT it does not. nDCG@10 of the fusion without | with 1 / chunks | with 1/2 for documents of any
# length, over eight settings of it: SciFact train .7404 | .7449 | .7448; every second question of CACM .530 | .530 |
# .530, Cranfield .486 | .487 | .487, CISI .519 | .525 | .525; passages of whole articles (SQuAD 2.0 dev, those of odd
# number, mean with the share found first) .833 | .833 | .804.
SHORT = 8

_PLACES = (  # the chunks of a document follow each other, so the first and their number tell which there are
    "SELECT d.id, d.chunks, (SELECT min(id) FROM chunks WHERE document_id = d.id) "
    "FROM documents d WHERE d.id IN (SELECT value FROM carray(?)) AND +d.collection_id = ?"
)
KEPT_DOCUMENTS, KEPT_AVERAGES = 16_384, 64  # asked for last
Count = Callable[[Ids], Counted]  # of ascending ids, all of which exist
Place: TypeAlias = tuple[int, int, int]  # a chunk, the first of its document, the number of that document's chunks


@dataclass(frozen=True, slots=True)
class Places:
    """Where chunks stand, as far as it was asked for: documents as (the first chunk, their number), and the average
    length of a row of a collection in tokens.
    """

    documents: Recent[range] = field(default_factory=lambda: Recent(KEPT_DOCUMENTS))
    averages: Recent[float] = field(default_factory=lambda: Recent(KEPT_AVERAGES))

    def chunks(self, connection: apsw.Connection, collection: Collection, documents: Iterable[int]) -> dict[int, range]:
        """Document -> its chunks, which follow each other; those that have any."""

        def read(missing: list[int]) -> dict[int, range]:
            found = fetch(connection, _PLACES, (carray(missing), collection.id))
            return {document: range(first, first + number) for document, number, first in found if number}

        return self.documents.of(collection.version, list(set(documents)), read)

    def average(self, connection: apsw.Connection, collection: Collection) -> float:
        read = lambda _: {collection.id: bm25.average_length(connection, collection.id)}  # noqa: E731
        return self.averages.of(collection.version, [collection.id], read)[collection.id]


def scores(
    connection: apsw.Connection,
    collection: Collection,
    ids: Mapping[int, int],
    bounds: Sequence[float],
    count: Count,
    places: Places,
) -> dict[int, float]:
    """Those of the chunks (`ids`: chunk -> document) that exist, each scored as if its neighbours in a short document
    belonged to it in part.

    BM25F with the neighbours as a field of their own weight (Robertson, Zaragoza, Taylor 2004, "Simple BM25 Extension
    to Multiple Weighted Fields"): their weighted occurrences and tokens are added before the score saturates.
    """
    documents = places.chunks(connection, collection, ids.values())
    known = [
        (chunk, own.start, len(own))
        for chunk, document in ids.items()
        if (own := documents.get(document)) and chunk in own
    ]
    if not known:
        return {}
    read = kernel.with_neighbours(known, SHORT)
    average = places.average(connection, collection) * _grown(collection)
    return kernel.in_context(known, SHORT, read, count(read), bounds, K1 * (1 - B), K1 * B / average)


def _grown(collection: Collection) -> float:
    """By how much a row grows with its neighbours, as if all documents had the same number m of chunks: each has
    2 (m - 1) neighbours, which count 1 / m.
    """
    size = max(1.0, collection.chunks / max(1, collection.documents))
    return 1 + 2 * (size - 1) / size**2
