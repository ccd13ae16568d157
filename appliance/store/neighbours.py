"""BM25 of single chunks that counts the words of the chunks beside them, too."""

from collections.abc import Sequence

import apsw
import numpy as np
from numpy.typing import NDArray

from appliance.store import bm25
from appliance.store.bm25 import K1, WEIGHTS, B, Tokens, Weighted
from appliance.store.collections import Collection
from appliance.store.database import carray, fetch

# What a word beside the chunk counts. nDCG@10 of the fusion with 0 | .25 | .5, over eight settings of it: SciFact train
# .7404 | .7433 | .7462; every second question of CACM .530 | .530 | .530, Cranfield .486 | .486 | .487, CISI .519 |
# .526 | .526.
NEIGHBOUR = 0.5

_TEXTS = (
    "SELECT k.id, k.document_id, d.title, d.source, k.section, k.text FROM chunks k "
    "JOIN documents d ON d.id = k.document_id WHERE k.id IN (SELECT value FROM carray(?)) ORDER BY k.id"
)


def scores(
    connection: apsw.Connection, collection: Collection, ids: Sequence[int], terms: Sequence[Weighted]
) -> dict[int, float]:
    """Those of the chunks that exist, each scored as if its neighbours in its document belonged to it by NEIGHBOUR.

    BM25F with the neighbours as a field of their own weight (Robertson, Zaragoza, Taylor 2004, "Simple BM25 Extension
    to Multiple Weighted Fields"): their weighted occurrences and tokens are added before the score saturates. About
    40 us for each chunk and neighbour.
    """
    wanted = set(ids)
    around = {chunk + step for chunk in wanted for step in (-1, 0, 1)}
    rows = fetch(connection, _TEXTS, (carray(sorted(around)),))
    documents = {row[0]: row[1] for row in rows}
    read = bm25.columns_reader(connection)
    counted: dict[int, NDArray[np.float64]] = {}
    for chunk, document, *texts in rows:
        if any(other in wanted and documents.get(other) == document for other in (chunk, chunk - 1, chunk + 1)):
            counted[chunk] = _counted(read(*texts), terms)
    found = [chunk for chunk in documents if chunk in wanted]
    if not found:
        return {}
    table = np.stack([_joined(chunk, documents, counted) for chunk in found])
    occurrences, lengths = table[:, :-1], table[:, -1:]
    norms = K1 * (1 - B + B * lengths / _average(connection, collection))
    weights = np.array([term.term.count * term.idf * (K1 + 1) for term in terms])
    return dict(zip(found, (occurrences / (occurrences + norms) @ weights).tolist(), strict=True))


def _counted(columns: Sequence[Tokens], terms: Sequence[Weighted]) -> NDArray[np.float64]:
    """The weighted occurrences of each term, and the number of tokens."""
    places = {term.term.tokens[0]: place for place, term in enumerate(terms) if len(term.term.tokens) == 1}
    found = np.zeros(len(terms) + 1)
    for weight, column in zip(WEIGHTS, columns, strict=True):
        for token in column:
            if token in places:
                found[places[token]] += weight
        for place, term in enumerate(terms):
            if len(term.term.tokens) > 1:
                found[place] += weight * bm25.count(column, term.term.tokens)
    found[-1] = sum(map(len, columns))
    return found


def _joined(chunk: int, documents: dict[int, int], counted: dict[int, NDArray[np.float64]]) -> NDArray[np.float64]:
    beside = [other for other in (chunk - 1, chunk + 1) if documents.get(other) == documents[chunk]]
    return counted[chunk] + NEIGHBOUR * sum((counted[other] for other in beside), np.zeros_like(counted[chunk]))


def _average(connection: apsw.Connection, collection: Collection) -> float:
    """Tokens of a row with its neighbours: each document has two neighbours for every chunk but its first."""
    beside = 2 * max(0, collection.chunks - collection.documents) / max(1, collection.chunks)
    return bm25.average_length(connection, collection.id) * (1 + NEIGHBOUR * beside)
