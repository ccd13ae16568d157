"""The documents of a pack with the vectors of another model: a pack again, sealed with a key that lives no longer."""

from collections.abc import Callable
from itertools import chain
from pathlib import Path

import msgspec

from appliance.ingest.unit import Readable, embedded, fitted
from appliance.packs import form
from appliance.packs.content import packed
from appliance.packs.export import write_listing
from appliance.packs.form import Ended, Kind, PackManifest, Removed, write_record
from appliance.packs.seal import seal
from appliance.packs.verify import Reading
from appliance.store.exchange import WholeDocument
from appliance.store.rows import sentence_blobs
from appliance.trust import PublicKey, generate_key
from appliance.types import Embedder, NewDocument

BATCH = 64  # passages at a time

Progress = Callable[[int, int], None]


def reembedded(reading: Reading, embedder: Embedder, target: Path, progress: Progress) -> PublicKey:
    """Write `target`, a pack of the same documents for this model; returns the key that vouches for it.

    Raises what reading a pack raises, OSError, and what the model raises.
    """
    with target.open("xb") as file:
        file.write(form.HEADER)
        documents = reading.documents(progress)
        first = next(documents, None)  # now the manifest and the list are known
        manifest = reading.manifest
        made: PackManifest = msgspec.structs.replace(
            manifest,
            embedder=embedder.fingerprint,
            embedder_name=embedder.name,
            dimensions=embedder.dimensions,
            indexed=0,
        )
        write_record(file, Kind.MANIFEST, made)
        write_listing(file, reading.listed)
        for new in chain([first] if first else [], documents):
            write_record(file, Kind.DOCUMENT, *packed(_whole(new, embedder)))
        for start in range(0, len(reading.removed), form.LISTED):
            write_record(file, Kind.REMOVED, Removed(reading.removed[start : start + form.LISTED]))
        write_record(file, Kind.END, Ended(manifest.documents, manifest.chunks, manifest.removed))
    key = generate_key("re-embedding")
    seal(target, key)
    return key.public


def _whole(new: NewDocument, embedder: Embedder) -> WholeDocument:
    """The document as it would be stored with this model's vectors."""
    spans = [chunk.span for chunk in new.chunks]
    read = (Readable(new.read.title, s.section, s.text, s.tokens, s.sentences) for s in spans)
    passages = list(fitted(read, embedder))
    vectors = [v for at in range(0, len(passages), BATCH) for v in embedder.embed_passages(passages[at : at + BATCH])]
    chunks = [embedded(span, vector) for span, vector in zip(spans, vectors, strict=True)]
    blobs = [sentence_blobs(chunk.span.sentences, chunk.sentence_vectors) for chunk in chunks]
    return WholeDocument(
        *(new.source, new.sha256, new.read.title, new.read.media_type, new.read.text),
        pages=[(page.number, page.start, page.end) for page in new.read.pages],
        metadata=new.metadata,
        chunks=[(s.section, s.page, s.start, s.end, s.tokens) for s in spans],
        vectors=b"".join(chunk.vector.astype("<f2").tobytes() for chunk in chunks),
        spans=[spans_ for spans_, _ in blobs],
        sentences=[vectors_ for _, vectors_ in blobs],
    )
