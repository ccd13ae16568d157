"""From a hit to what stands around it: its section, or its document, within a bound (parent-document retrieval)."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass

from appliance.errors import NotFound
from appliance.store import Store
from appliance.types import Chunk, Expand, Hit

LIMITS = {Expand.SECTION: 1000, Expand.DOCUMENT: 4000}  # of one stretch, in the embedder's tokens
AROUND = 32  # chunks looked at on each side of a hit


@dataclass(frozen=True, slots=True)
class Stretch:
    """Chunks in a row, the hits among them (best first) and the document's text from the first chunk to the last."""

    hits: tuple[Hit, ...]
    chunks: tuple[Chunk, ...]
    text: str


def expand(hits: Sequence[Hit], how: Expand, store: Store) -> list[Stretch]:
    """Stretches around the hits, in the order of the best hit of each; no two of them overlap.

    A stretch grows from its hit to both sides in turn while the next chunk belongs to the same section (has the same
    heading path) or document, and while it has room. A hit that lies in the stretch of a better one joins it. A
    document that was deleted or replaced since the search gives its hits as they are. Raises StorageError.
    """
    if how is Expand.NONE:
        return [Stretch((hit,), (hit.chunk,), hit.chunk.text) for hit in hits]
    wanted = {hit.chunk.id + step for hit in hits for step in range(-AROUND, AROUND + 1)}
    near = store.documents.chunks(sorted(wanted))
    rows: list[tuple[list[Hit], list[Chunk]]] = []
    taken: dict[int, list[Hit]] = {}
    for hit in hits:
        if (better := taken.get(hit.chunk.id)) is not None:
            better.append(hit)
            continue
        members, chunks = [hit], grown(hit.chunk, how, near, taken)
        rows.append((members, chunks))
        taken.update((chunk.id, members) for chunk in chunks)
    texts = {number: _text(number, store) for number in {chunks[0].document_id for _, chunks in rows}}
    return [part for members, chunks in rows for part in _stretches(members, chunks, texts[chunks[0].document_id])]


def grown(chunk: Chunk, how: Expand, near: Mapping[int, Chunk], taken: Container[int]) -> list[Chunk]:
    """The chunk with its neighbours, in the order of the document; ids of a document's chunks follow one another."""
    run, tokens = [chunk], chunk.tokens
    sides = [1, -1]
    while sides:
        side = sides.pop(0)
        other = near.get(run[-1].id + 1 if side > 0 else run[0].id - 1)
        if (
            other is None
            or other.id in taken
            or other.document_id != chunk.document_id
            or (how is Expand.SECTION and other.section != chunk.section)
            or tokens + other.tokens > LIMITS[how]
        ):
            continue
        run.insert(len(run) if side > 0 else 0, other)
        tokens += other.tokens
        sides.append(side)
    return run


def _stretches(hits: Sequence[Hit], chunks: Sequence[Chunk], text: str) -> list[Stretch]:
    """One stretch, cut from the document as it is now; the bare hits where its text is no longer that of the chunks."""
    if any(text[chunk.start : chunk.end] != chunk.text for chunk in chunks):
        return [Stretch((hit,), (hit.chunk,), hit.chunk.text) for hit in hits]
    return [Stretch(tuple(hits), tuple(chunks), text[chunks[0].start : chunks[-1].end])]


def _text(document_id: int, store: Store) -> str:
    """The canonical text; empty for a document that was deleted since the search."""
    try:
        return store.documents.get(document_id).text
    except NotFound:
        return ""
