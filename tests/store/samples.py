"""Small documents with vectors of their own, made without a model."""

import hashlib
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from appliance.types import ChunkSpan, EmbeddedChunk, Matrix, Metadata, NewDocument, Page, ReadDocument, Vector

DIMENSIONS = 16
EMBEDDER = "sample-embedder"


def unit(text: str) -> Vector:
    """A unit vector that depends on the text alone."""
    seed = int.from_bytes(hashlib.sha256(text.encode("utf-8", "ignore")).digest()[:8], "little")
    vector = np.random.default_rng(seed).normal(size=DIMENSIONS).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def units(texts: Sequence[str]) -> Matrix:
    return np.array([unit(text) for text in texts], dtype=np.float32).reshape(len(texts), DIMENSIONS)


def document(
    source: str, texts: Sequence[str], *, title: str = "", section: str = "", metadata: Metadata | None = None
) -> NewDocument:
    """One chunk per text, joined by blank lines; every chunk is one page and has a sentence per full stop."""
    chunks, pages, start = [], [], 0
    for number, text in enumerate(texts, 1):
        end = start + len(text)
        cuts = [0, *(i + 1 for i, letter in enumerate(text[:-1]) if letter == "."), len(text)]
        sentences = tuple(pairwise(cuts)) if text else ()
        span = ChunkSpan(section, number, start, end, text, len(text.split()), sentences)
        chunks.append(EmbeddedChunk(span, unit(text), units([text[a:b] for a, b in sentences])))
        pages.append(Page(number, start, end))
        start = end + 2
    whole = "\n\n".join(texts)
    read = ReadDocument(title or source, "text/plain", whole, pages=tuple(pages))
    digest = hashlib.sha256(whole.encode("utf-8", "ignore")).hexdigest()
    return NewDocument(source, digest, read, tuple(chunks), metadata or {})
