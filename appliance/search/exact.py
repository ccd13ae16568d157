"""Exact matches: chunks that hold an identifier or a quoted phrase of the question to the letter."""

from collections.abc import Sequence

from appliance.store import Store
from appliance.types import Chunk, Ids
from appliance.words import exact_terms, holds

MATCHES = 50  # chunks looked at for one term
# A term found in more chunks than this names a topic more than a place; its bonus falls with 1 / chunks.
# SciFact train, nDCG@10: .737 without a bonus, .737 with 3, .736 with 10.
RARE = 3


def exact_bonus(store: Store, collection: str, text: str, eligible: Ids | None) -> dict[int, float]:
    """Chunk id -> 0..1: the share of the question's exact terms that the chunk holds, less for terms that are common.

    Added to a fused score (0..1), a bonus of 1 puts the chunk before every one that lacks the term.
    """
    terms = exact_terms(text)
    bonus: dict[int, float] = {}
    for term in terms:
        rows = store.lexical.search(collection, term, MATCHES, eligible).rows
        holders = holding(term, list(store.documents.chunks([chunk for chunk, _ in rows]).values()))
        for chunk in holders:
            bonus[chunk] = bonus.get(chunk, 0.0) + min(1.0, RARE / len(holders)) / len(terms)
    return bonus


def holding(term: str, chunks: Sequence[Chunk]) -> list[int]:
    """Ids of the chunks whose text, title, section or source has `term` whole, or else as part of a longer name."""
    texts = {chunk.id: "\n".join((chunk.text, chunk.title, chunk.section, chunk.source)) for chunk in chunks}
    for whole in (True, False):
        found = [chunk for chunk, text in texts.items() if holds(text, term, whole=whole)]
        if found:
            return found
    return []
