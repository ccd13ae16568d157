"""What FTS5 is given: the tables of a collection, text prepared for its tokeniser, and questions as safe terms."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import apsw
import msgspec
import numpy as np
from numpy.typing import NDArray

from appliance.words import FUNCTION_WORDS, place

# remove_diacritics 2 also folds characters with several marks; porter: SciFact nDCG@10 .672 -> .688.
_TOKENIZER = ("porter", ["unicode61", "remove_diacritics", "2"])
# Title, section, text. A title counts more than its words in running text; 1.5 gains on SciFact (.688 -> .690) and
# Cranfield; 2 and more loses on collections where many rows are little more than a title (CACM .413 -> .399).
WEIGHTS = (1.5, 1.0, 1.0)
HALVES = tuple(int(2 * weight) for weight in WEIGHTS)  # occurrences are counted in halves: a title's weigh 1.5
MOST_COUNT = 65_535
MAX_TEXT = 20_000  # characters of a question that are looked at
MAX_PHRASE_TOKENS = 32
KEPT_PIECES, LONGEST_KEPT = 16_384, 40  # words whose tokens are remembered, and their characters
KEPT_QUESTIONS, LONGEST_QUESTION = 256, 2_000  # whose terms are remembered, and their characters: they are asked for
# several times on a question's way
# Repeats of a word in a question that count. They tell what a long question is about: nDCG@10 of CISI .304 -> .365, of
# CACM .410 -> .460.
MAX_REPEATS = 4

_CJK = "\u1100-\u11ff\u2e80-\u2fdf\u3005-\u3007\u3040-\u30ff\u3130-\u318f\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
_CJK += "\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\U00020000-\U0003ffff"
_SOUTH_EAST = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"  # Thai, Lao, Myanmar, Khmer: written without spaces as well
_UNSPACED = re.compile(f"[{_CJK}{_SOUTH_EAST}]")
_RUNS = re.compile(f"[{_CJK}]+|[{_SOUTH_EAST}]+|[^{_CJK}{_SOUTH_EAST}]+")
_CJK_RUN = re.compile(f"[{_CJK}]")
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ufeff]")  # soft hyphens and joiners would split a word in two
_POSSESSIVE = re.compile(r"['\u2019]s?$", re.IGNORECASE)
_OUTER = "\"'`.,;:!?()[]{}<>\u2018\u2019\u201c\u201d\u00ab\u00bb\u2026*"
# What makes a word an identifier, to be found as a whole: a digit, an underscore, or a joint that prose has no use for.
_IDENTIFIER = re.compile(r"\d|_|\w(?:\.|::|\\|@|#|\(\))\w|^[/~\\]\w|\w\(\)")


class Term(msgspec.Struct, frozen=True):
    """A part of a question: `expression` for MATCH (a quoted phrase), `tokens` as they stand in the vocabulary, and
    `count`, how often the question has it.
    """

    expression: str
    tokens: tuple[str, ...]
    count: int = 1


def table(collection_id: int) -> str:
    return f"fts_{collection_id}"


def vocabulary(collection_id: int) -> str:
    return f"fts_{collection_id}_terms"


def create(connection: apsw.Connection, collection_id: int) -> None:
    """Make the collection's index (rowid = chunk id; the text itself stays in `chunks`) and its vocabulary."""
    name, arguments = _TOKENIZER
    connection.execute(
        f"CREATE VIRTUAL TABLE {table(collection_id)} USING fts5(title, section, text, content='', "
        f"contentless_delete=1, tokenize='{name} {' '.join(arguments)}')"
    )
    connection.execute(
        f"CREATE VIRTUAL TABLE {vocabulary(collection_id)} USING fts5vocab({table(collection_id)}, 'row')"
    )


def drop(connection: apsw.Connection, collection_id: int) -> None:
    connection.execute(f"DROP TABLE {vocabulary(collection_id)}")
    connection.execute(f"DROP TABLE {table(collection_id)}")


def index_text(text: str) -> str:
    """The text as the tokeniser shall see it: ligatures and widths folded, unspaced scripts one character a word."""
    if text.isascii():
        return text
    text = _INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    return _UNSPACED.sub(r" \g<0> ", text) if _UNSPACED.search(text) else text


def columns(title: str, source: str, section: str, text: str) -> tuple[str, str, str]:
    """What a chunk's row of the index is made of: title with the names in its source, section, text."""
    return index_text(f"{title} {place(source)}"), index_text(section), index_text(text)


def tokenizer(connection: apsw.Connection) -> apsw.FTS5Tokenizer:
    """The one that rows and questions go through."""
    return connection.fts5_tokenizer(*_TOKENIZER)


def document_terms(connection: apsw.Connection) -> Callable[[str], list[str]]:
    """A function that gives the terms the index keeps of a text."""
    tokenize = tokenizer(connection)

    def terms(text: str) -> list[str]:
        data = index_text(text).encode("utf-8", "ignore")
        spans: list[tuple[Any, ...]] = tokenize(data, apsw.FTS5_TOKENIZE_DOCUMENT, None)  # type: ignore[assignment]
        return [token for _, _, *tokens in spans for token in tokens]

    return terms


def add_functions(connection: apsw.Connection) -> None:
    """Makes `occurrences` possible on the connection."""
    connection.register_fts5_function("phrase_halves", _phrase_halves)


def _phrase_halves(api: apsw.FTS5ExtensionApi, /, *_: Any) -> int:
    """How often the row has the one phrase asked for, weighted by column, in halves."""
    if 0 not in api.phrase_columns(0):  # the others weigh 1
        return 2 * api.inst_count
    return sum(halves * len(api.phrase_column_offsets(0, column)) for column, halves in enumerate(HALVES))


def occurrences(
    connection: apsw.Connection, collection_id: int, expression: str
) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    """The chunks (ascending) that hold a phrase, and how often, weighted by column, in halves.

    Only FTS5 knows where words stand. Its own bm25() walks through the rows twice and reads the length of each.
    """
    name = table(collection_id)
    query = f"SELECT rowid, phrase_halves({name}) FROM {name} WHERE {name} MATCH ? ORDER BY rowid"
    rows = np.array(connection.execute(query, (expression,)).fetchall(), dtype=np.int64).reshape(-1, 2)
    return rows[:, 0].copy(), np.minimum(rows[:, 1], MOST_COUNT).astype(np.uint16)


def query_terms(connection: apsw.Connection, text: str) -> tuple[Term, ...]:
    """The distinct terms of a plain question, in its order. No character of it acts as FTS5 syntax.

    A word is a term; an identifier (`SKU-A1234`, `stripe.checkout.Session.create()`) is a phrase; a run of an unspaced
    script becomes overlapping phrases of two characters (three for Thai and its neighbours). Function words count only
    where a question has nothing else (van Rijsbergen 1979, "Information Retrieval", chapter 2). Without them BM25 alone
    has nDCG@10 .689 on SciFact train (.684 with) and, on every second question, CACM .453 (.435), Cranfield .430
    (.428), CISI .424 (.394); and most rows of a large collection need not be scored.
    """
    known = _questions.get(text)
    if known is None:
        known = tuple(_terms(connection, text[:MAX_TEXT]))
        if len(text) <= LONGEST_QUESTION:
            if len(_questions) >= KEPT_QUESTIONS:
                _questions.clear()
            _questions[text] = known
    return known


def _terms(connection: apsw.Connection, text: str) -> Iterable[Term]:
    groups = list(_word_groups(tokenizer(connection), text))
    found: dict[tuple[str, ...], Term] = {}
    for words in _topical(groups, shouted=text.isupper()) or groups:
        tokens = tuple(token for _, token in words)
        expression, count = f'"{" ".join(word for word, _ in words)}"', 1
        if tokens in found:
            expression, count = found[tokens].expression, min(found[tokens].count + 1, MAX_REPEATS)
        found[tokens] = Term(expression, tokens, count)
    return found.values()


Words = list[tuple[str, str]]  # (the word as written, its token)

_pieces: dict[str, tuple[Words, ...]] = {}  # what `_spaced` made of a piece
_questions: dict[str, tuple[Term, ...]] = {}


def forget() -> None:
    """No word stays in memory."""
    _pieces.clear()
    _questions.clear()


def _topical(groups: Sequence[Words], *, shouted: bool) -> list[Words]:
    """Without function words. In capitals one is a name ("WHO", "IT"), a letter only behind a name ("vitamin A")."""
    kept: list[Words] = []
    behind_a_name = False
    for words in groups:
        written = words[0][0]
        named = written.isupper() and not shouted and (len(written) > 1 or behind_a_name)
        behind_a_name = len(words) > 1 or named or written.lower() not in FUNCTION_WORDS
        if behind_a_name:
            kept.append(words)
    return kept


def _word_groups(tokenizer: apsw.FTS5Tokenizer, text: str) -> Iterable[Words]:
    if text.isascii():
        for piece in text.split():
            yield from _spaced(tokenizer, piece)
        return
    for piece in _INVISIBLE.sub("", unicodedata.normalize("NFKC", text)).split():
        for run in _RUNS.findall(piece):
            if _UNSPACED.match(run):
                words = _words(tokenizer, index_text(run))
                yield from _windows(words, 2 if _CJK_RUN.match(run) else 3)
            else:
                yield from _spaced(tokenizer, run)


def _spaced(tokenizer: apsw.FTS5Tokenizer, piece: str) -> tuple[Words, ...]:
    found = _pieces.get(piece)
    if found is None:
        found = _cut(tokenizer, piece)
        if len(piece) <= LONGEST_KEPT:
            if len(_pieces) >= KEPT_PIECES:
                _pieces.clear()
            _pieces[piece] = found
    return found


def _cut(tokenizer: apsw.FTS5Tokenizer, piece: str) -> tuple[Words, ...]:
    piece = _POSSESSIVE.sub("", piece.strip(_OUTER)) if not piece.endswith("()") else piece
    words = _words(tokenizer, piece)
    if len(words) > 1 and _IDENTIFIER.search(piece):
        return (words[:MAX_PHRASE_TOKENS],)
    return tuple([word] for word in words)


def _windows(words: Words, width: int) -> Iterable[Words]:
    if words:
        yield from (words[start : start + width] for start in range(max(1, len(words) - width + 1)))


def _words(tokenizer: apsw.FTS5Tokenizer, text: str) -> Words:
    data = text.encode("utf-8", "ignore")
    spans: list[tuple[Any, ...]] = tokenizer(data, apsw.FTS5_TOKENIZE_QUERY, None)  # type: ignore[assignment]
    return [(data[start:end].decode("utf-8", "ignore"), token) for start, end, token, *_ in spans]
