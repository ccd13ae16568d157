"""Citations: exact spans of documents, compared with the stored text before they leave."""

import re
from bisect import bisect_right
from collections.abc import Mapping

from appliance.errors import NotFound
from appliance.store import Store
from appliance.types import Chunk, Citation, Hit, Quoted

LONGEST_QUOTE = 600  # characters
_WORD_START = re.compile(r"(?<!\S)\S")


class Citer:
    """Makes the citations of one answer."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def cite(self, hit: Hit, start: int, end: int) -> Citation | None:
        """The span `hit.chunk.text[start:end]` as a place in its document.

        None when the stored document no longer has that text there: it was replaced or deleted since the search.
        """
        chunk = hit.chunk
        first, last = chunk.start + start, chunk.start + end
        quote = chunk.text[start:end]
        try:
            stored = self._store.documents.quoted(chunk.document_id, first, last)
        except NotFound:
            return None
        if not quote or stored.text != quote:
            return None
        page = _page(stored, chunk, first)
        return Citation(chunk.document_id, stored.source, stored.title, page, first, last, quote)


def _page(stored: Quoted, chunk: Chunk, position: int) -> int | None:
    """The page that `position` of the document's text stands on."""
    index = bisect_right(stored.pages, position, key=lambda page: page.start) - 1
    return stored.pages[index].number if index >= 0 else chunk.page


def trimmed(text: str, start: int, end: int, weights: Mapping[str, float]) -> tuple[int, int]:
    """`[start, end)` cut to LONGEST_QUOTE characters at blanks, where the words of `weights` (stems) stand closest.

    A span that is short enough stays as it is.
    """
    if end - start <= LONGEST_QUOTE:
        return start, end
    starts: list[int] = []
    for match in _WORD_START.finditer(text[start:end]):
        starts.append(start + match.start())
        if starts[-1] >= end - LONGEST_QUOTE:  # the quotes that begin later lie within this one
            break
    lowered = text.lower()
    best = max(starts or [start], key=lambda at: (_worth(lowered[at : min(end, at + LONGEST_QUOTE)], weights), -at))
    stop = min(end, best + LONGEST_QUOTE)
    if stop < end and not text[stop].isspace():
        blank = max(text.rfind(" ", best, stop), text.rfind("\n", best, stop))
        stop = blank if blank > best else stop
    return best, best + len(text[best:stop].rstrip())


def _worth(text: str, weights: Mapping[str, float]) -> float:
    return sum(weight for word, weight in weights.items() if word in text)
