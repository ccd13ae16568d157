"""Exact matches: chunks that hold an identifier or a quoted phrase of the question to the letter."""

from collections.abc import Sequence

from appliance.store import Store
from appliance.types import Chunk, Ids
from appliance.words import FUNCTION_WORDS, bare, exact_terms, holds, is_distinctive

MATCHES = 50  # chunks looked at for one term
# A term found in more than RARE chunks names a topic more than a place; its bonus falls with 1 / chunks. A term that is
# no distinctive name (`words.is_distinctive`) decides the more, the more of the question it is: from LEAST in a long
# sentence to 1 where such terms are half of it. A seventh of SciFact's claims has one ("IL-6", "1.5").
RARE = 3
LEAST = 0.3


def exact_bonus(store: Store, collection: str, text: str, eligible: Ids | None) -> dict[int, float]:
    """Chunk id -> 0..1: the share of the question's exact terms that the chunk holds, less for terms that are common
    and for terms that are little of the question.

    Added to a fused score (0..1), a bonus of 1 puts the chunk before every one that lacks the term.
    """
    terms = exact_terms(text)
    ordinary = weight(text, terms)
    bonus: dict[int, float] = {}
    for term in terms:
        each = (1.0 if is_distinctive(term) else ordinary) / len(terms)
        rows = store.lexical.search(collection, term, MATCHES, eligible).rows
        holders = holding(term, list(store.documents.chunks_of(collection, [chunk for chunk, _ in rows]).values()))
        for chunk in holders:
            bonus[chunk] = bonus.get(chunk, 0.0) + min(1.0, RARE / len(holders)) * each
    return bonus


def weight(text: str, terms: Sequence[str]) -> float:
    """LEAST..1, by how much of the question's topical words the exact terms are."""
    topical = sum(1 for piece in text.split() if (word := bare(piece)) and word.lower() not in FUNCTION_WORDS)
    share = sum(len(term.split()) for term in terms) / max(1, topical)
    return min(1.0, max(LEAST, 2 * share))


def holding(term: str, chunks: Sequence[Chunk]) -> list[int]:
    """Ids of the chunks whose text, title, section or source has `term` whole, or else as part of a longer name."""
    texts = {chunk.id: "\n".join((chunk.text, chunk.title, chunk.section, chunk.source)) for chunk in chunks}
    for whole in (True, False):
        found = [chunk for chunk, text in texts.items() if holds(text, term, whole=whole)]
        if found:
            return found
    return []
