"""BM25 as FTS5 computes it (https://www.sqlite.org/fts5.html#the_bm25_function): its bounds, and single chunks.

For a row of D tokens (A on average), f the occurrences of a term in it, each weighted by its column:

    score = sum over terms of idf * f * (K1 + 1) / (f + K1 * (1 - B + B * D / A))

The fraction grows with f and stays below K1 + 1, so no row can get idf * (K1 + 1) from a term.
"""

import math
from collections.abc import Callable, Iterable, Sequence

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.store import fulltext
from appliance.store.database import fetch
from appliance.store.fulltext import WEIGHTS, Term
from appliance.types import Ids

K1, B = 1.2, 0.75
SQL_WEIGHTS = ", ".join(map(str, WEIGHTS))
# Terms of a question: those that weigh most are kept, by how often it has them times idf. nDCG@10 of the fusion with
# 64 | 48 | 32 of them on every second question of CISI, over eight settings: .5248 | .5262 | .5170. Others ask less.
MAX_TERMS = 48
LEAST_IDF = 1e-6  # of a term in half of all rows or more

_TEXTS = (
    "SELECT k.id, d.title, d.source, k.section, k.text FROM chunks k JOIN documents d ON d.id = k.document_id "
    "WHERE k.id IN (SELECT value FROM carray(?))"
)

Tokens = Sequence[str]
Counted = NDArray[np.float64]  # (n, terms + 1) of n chunks: weighted occurrences of each term, and the number of tokens


class Weighted(msgspec.Struct, frozen=True):
    """A term with the number of rows it occurs in and its idf.

    For a phrase, which no vocabulary counts, upper bounds: the rows of its rarest token, the idf of a single row.
    """

    term: Term
    rows: int
    idf: float


def idf(total: int, rows: int) -> float:
    """Inverse document frequency, never below LEAST_IDF."""
    return max(math.log((total - rows + 0.5) / (rows + 0.5)), LEAST_IDF) if total >= rows else LEAST_IDF


def weighted(term: Term, rows: int, total: int) -> Weighted:
    """A term by the rows of its rarest token, in a collection of `total`."""
    return Weighted(term, rows, idf(total, rows if len(term.tokens) == 1 else 1))


def weightiest(terms: Sequence[Weighted]) -> list[Weighted]:
    """The MAX_TERMS terms that weigh most, rarest first."""
    kept = sorted(terms, key=lambda term: -term.term.count * term.idf)[:MAX_TERMS]
    return sorted(kept, key=lambda term: term.rows)


def most(terms: Iterable[Weighted]) -> float:
    """What no row's score from these terms can reach."""
    return sum(term.term.count * term.idf * (K1 + 1) for term in terms)


def scores(connection: apsw.Connection, collection_id: int, ids: Ids, terms: Sequence[Weighted]) -> dict[int, float]:
    """What each chunk gets from the terms, from its text: FTS5's own figures without a walk through the terms' rows.

    About 40 us a chunk.
    """
    average, read = average_length(connection, collection_id), columns_reader(connection)
    found: dict[int, float] = {}
    for chunk_id, *texts in fetch(connection, _TEXTS, (apsw.carray(ids),)):
        columns = read(*texts)
        found[chunk_id] = _score(columns, terms, K1 * (1 - B + B * sum(map(len, columns)) / average))
    return found


def counted(connection: apsw.Connection, ids: Ids, terms: Sequence[Term]) -> Counted:
    """Of ascending ids of chunks, which must exist, from their texts. About 40 us a chunk."""
    read = columns_reader(connection)
    rows = fetch(connection, f"{_TEXTS} ORDER BY k.id", (apsw.carray(ids),))
    return np.stack([_counted(read(*texts), terms) for _, *texts in rows])


def _counted(columns: Sequence[Tokens], terms: Sequence[Term]) -> NDArray[np.float64]:
    places = {term.tokens[0]: place for place, term in enumerate(terms) if len(term.tokens) == 1}
    phrases = [(place, term.tokens) for place, term in enumerate(terms) if len(term.tokens) > 1]
    found = np.zeros(len(terms) + 1)
    for weight, column in zip(WEIGHTS, columns, strict=True):
        for token in column:
            if token in places:
                found[places[token]] += weight
        for place, tokens in phrases:
            found[place] += weight * count(column, tokens)
    found[-1] = sum(map(len, columns))
    return found


def columns_reader(connection: apsw.Connection) -> Callable[[str, str, str, str], tuple[Tokens, Tokens, Tokens]]:
    """Gives of a chunk's title, source, section and text the tokens of each column of the index."""
    tokenize = _tokenize(connection)
    titles: dict[tuple[str, str], Tokens] = {}  # of the last document alone

    def read(title: str, source: str, section: str, text: str) -> tuple[Tokens, Tokens, Tokens]:
        prepared = fulltext.columns(title, source, section, text)
        if (title, source) not in titles:
            titles.clear()
            titles[title, source] = tokenize(prepared[0])
        return titles[title, source], tokenize(prepared[1]) if section else (), tokenize(prepared[2])

    return read


def _score(columns: Sequence[Tokens], terms: Sequence[Weighted], norm: float) -> float:
    total = 0.0
    for weighted in terms:
        tokens = weighted.term.tokens
        found = sum(weight * count(column, tokens) for weight, column in zip(WEIGHTS, columns, strict=True))
        total += weighted.term.count * weighted.idf * found * (K1 + 1) / (found + norm)
    return total


def count(column: Tokens, phrase: Tokens) -> int:
    """How often the phrase stands in the column; overlapping places count each."""
    if len(phrase) == 1:
        return column.count(phrase[0])
    last, wanted = len(phrase) - 1, list(phrase)
    return sum(
        1
        for start, token in enumerate(column[: len(column) - last])
        if token == phrase[0] and list(column[start : start + last + 1]) == wanted
    )


def _tokenize(connection: apsw.Connection) -> Callable[[str], Tokens]:
    tokenizer = fulltext.tokenizer(connection)

    def tokens(text: str) -> Tokens:
        return tokenizer(  # type: ignore[return-value]  # a list of str without offsets and colocated tokens
            text.encode("utf-8", "ignore"),
            apsw.FTS5_TOKENIZE_DOCUMENT,
            None,
            include_offsets=False,
            include_colocated=False,
        )

    return tokens


def average_length(connection: apsw.Connection, collection_id: int) -> float:
    """Tokens a row on average, from FTS5's record of totals: rows, then tokens of each column, as varints."""
    record = connection.execute(f"SELECT block FROM {fulltext.table(collection_id)}_data WHERE id = 1").get
    rows, *tokens = _varints(record)
    return max(1.0, sum(tokens) / rows) if rows else 1.0


def _varints(record: bytes) -> list[int]:
    """SQLite's variable-length integers: seven bits a byte, the highest first; a ninth byte has eight."""
    found, value, length = [], 0, 0
    for byte in record:
        length += 1
        value = value << 8 | byte if length == 9 else value << 7 | byte & 0x7F
        if byte < 0x80 or length == 9:
            found.append(value)
            value, length = 0, 0
    return found
