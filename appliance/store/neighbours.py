"""BM25 of single chunks that counts the words of the chunks beside them, too, where their document is short."""

from collections.abc import Sequence

import apsw
import numpy as np
from numpy.typing import NDArray

from appliance.store import bm25
from appliance.store.bm25 import K1, WEIGHTS, B, Tokens, Weighted
from appliance.store.collections import Collection
from appliance.store.database import carray, fetch

# A short document speaks of one thing, so a word beside a chunk counts 1 / (the chunks of its document); in documents
# of more chunks than SHORT it does not. nDCG@10 of the fusion without | with 1 / chunks | with 1/2 for documents of any
# length, over eight settings of it: SciFact train .7404 | .7449 | .7448; every second question of CACM .530 | .530 |
# .530, Cranfield .486 | .487 | .487, CISI .519 | .525 | .525; passages of whole articles (SQuAD 2.0 dev, those of odd
# number, mean with the share found first) .833 | .833 | .804.
SHORT = 8

_TEXTS = (
    "SELECT k.id, k.document_id, d.chunks, d.title, d.source, k.section, k.text FROM chunks k "
    "JOIN documents d ON d.id = k.document_id WHERE k.id IN (SELECT value FROM carray(?)) ORDER BY k.id"
)

Counted = NDArray[np.float64]  # the weighted occurrences of each term, and the number of tokens


def scores(
    connection: apsw.Connection, collection: Collection, ids: Sequence[int], terms: Sequence[Weighted]
) -> dict[int, float]:
    """Those of the chunks that exist, each scored as if its neighbours in a short document belonged to it in part.

    BM25F with the neighbours as a field of their own weight (Robertson, Zaragoza, Taylor 2004, "Simple BM25 Extension
    to Multiple Weighted Fields"): their weighted occurrences and tokens are added before the score saturates. About
    40 us for each chunk and neighbour.
    """
    read = bm25.columns_reader(connection)
    documents: dict[int, tuple[int, int]] = {}  # chunk -> (document, chunks in it)
    counted: dict[int, Counted] = {}
    for chunk, document, chunks, *texts in fetch(connection, _TEXTS, (carray(ids),)):
        documents[chunk], counted[chunk] = (document, chunks), _counted(read(*texts), terms)
    wanted = list(documents)
    if not wanted:
        return {}
    missing = {other for chunk in wanted for other in _beside(chunk, documents)} - documents.keys()
    for chunk, document, chunks, *texts in fetch(connection, _TEXTS, (carray(sorted(missing)),)) if missing else ():
        documents[chunk] = document, chunks
        if any(documents.get(other, (0, 0))[0] == document for other in (chunk - 1, chunk + 1)):
            counted[chunk] = _counted(read(*texts), terms)
    table = np.stack([_joined(chunk, documents, counted) for chunk in wanted])
    occurrences, lengths = table[:, :-1], table[:, -1:]
    norms = K1 * (1 - B + B * lengths / _average(connection, collection))
    weights = np.array([term.term.count * term.idf * (K1 + 1) for term in terms])
    return dict(zip(wanted, (occurrences / (occurrences + norms) @ weights).tolist(), strict=True))


def _beside(chunk: int, documents: dict[int, tuple[int, int]]) -> tuple[int, ...]:
    """The ids that neighbours have where there are any: a document's chunks are numbered one after the other."""
    return (chunk - 1, chunk + 1) if 1 < documents[chunk][1] <= SHORT else ()


def _joined(chunk: int, documents: dict[int, tuple[int, int]], counted: dict[int, Counted]) -> Counted:
    found = counted[chunk].copy()
    for other in _beside(chunk, documents):
        if documents.get(other) == documents[chunk]:
            found += counted[other] / documents[chunk][1]
    return found


def _counted(columns: Sequence[Tokens], terms: Sequence[Weighted]) -> Counted:
    places = {term.term.tokens[0]: place for place, term in enumerate(terms) if len(term.term.tokens) == 1}
    phrases = [(place, term.term.tokens) for place, term in enumerate(terms) if len(term.term.tokens) > 1]
    found = np.zeros(len(terms) + 1)
    for weight, column in zip(WEIGHTS, columns, strict=True):
        for token in column:
            if token in places:
                found[places[token]] += weight
        for place, tokens in phrases:
            found[place] += weight * bm25.count(column, tokens)
    found[-1] = sum(map(len, columns))
    return found


def _average(connection: apsw.Connection, collection: Collection) -> float:
    """Tokens of a row with its neighbours, as if all documents had the same number m of chunks: each has 2 (m - 1)
    neighbours, which count 1 / m.
    """
    size = max(1.0, collection.chunks / max(1, collection.documents))
    return bm25.average_length(connection, collection.id) * (1 + 2 * (size - 1) / size**2)
