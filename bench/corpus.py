"""A temporary collection for the benchmarks: texts go through chunking, embedding and the store as documents do."""

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from appliance.answer import strength
from appliance.config import Settings
from appliance.inference import ModelRegistry, open_embedder
from appliance.ingest.chunk import chunk_document
from appliance.ingest.unit import Draft, embedded, passages
from appliance.paths import BUNDLED_MODELS, DataPaths
from appliance.search import LateInteraction, Retrieval, TermReranker, search
from appliance.store import Store
from appliance.types import Embedder, Metadata, NewDocument, Query, ReadDocument, SearchResult, TokenEmbedder
from appliance.vectors import CollectionIndex
from bench.progress import tracked

COLLECTION = "bench"
BATCH_DOCUMENTS = 64  # embedded and committed together


@dataclass(frozen=True, slots=True)
class Text:
    """A document of a data set. `source` is the set's own id."""

    source: str
    title: str
    text: str
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Corpus:
    """An open store with one collection in it, and its index."""

    store: Store
    embedder: Embedder
    index: CollectionIndex
    documents: int

    @property
    def retrieval(self) -> Retrieval:
        """The search up to the fusion."""
        return Retrieval(self.store, self.embedder, lambda _: self.index)

    @property
    def served(self) -> Retrieval:
        """The same with the default reranker, as a question gets it."""
        return replace(self.retrieval, reranker=TermReranker())

    @property
    def late(self) -> Retrieval:
        """The same with the reranker that compares tokens; without one where the embedder gives no tokens."""
        reranker = LateInteraction(self.embedder) if isinstance(self.embedder, TokenEmbedder) else None
        return replace(self.retrieval, reranker=reranker)


@contextmanager
def open_models(settings: Settings) -> Iterator[Embedder]:
    """The embedder that the settings name. Raises ModelError."""
    registry = ModelRegistry(BUNDLED_MODELS, DataPaths(settings.data_dir).models)
    embedder = open_embedder(registry, settings.embedder, threads=settings.threads)
    try:
        yield embedder
    finally:
        embedder.close()


@contextmanager
def ingested(texts: Sequence[Text], embedder: Embedder, settings: Settings, *, label: str) -> Iterator[Corpus]:
    """All texts in a collection of a temporary data directory, which is gone at the end.

    A progress bar on a terminal, nothing elsewhere.
    """
    with tempfile.TemporaryDirectory(prefix="rag-bench-") as folder:
        store = Store.open(Path(folder) / "appliance.db")
        try:
            store.documents.ensure_collection(COLLECTION, embedder.fingerprint, embedder.dimensions)
            for batch in _batches(tracked(texts, f"Ingesting {label}")):
                store.documents.put(COLLECTION, embed_texts(batch, embedder, settings.chunk_tokens))
            index = CollectionIndex.open(
                Path(folder) / "index",
                store.documents.vector_source(COLLECTION),
                dimensions=embedder.dimensions,
                fingerprint=embedder.fingerprint,
                exact_scan_below=settings.exact_scan_below,
                threads=settings.threads,
            )
            try:
                yield Corpus(store, embedder, index, len(texts))
            finally:
                index.close()
        finally:
            store.close()


def measured(query: Query, corpus: Corpus) -> tuple[SearchResult, float]:
    """What a question is served, and the strength of its evidence."""
    found = search(query, corpus.served)
    return found, strength(query, found, corpus.store, corpus.embedder.fingerprint)


def embed_texts(batch: Sequence[Text], embedder: Embedder, chunk_tokens: int) -> list[NewDocument]:
    """Cut and embed as ingestion does."""
    drafts = []
    for text in batch:
        read = ReadDocument(text.title, "text/plain", text.text)
        drafts.append(Draft(text.source, read, chunk_document(read, embedder.token_spans, max_tokens=chunk_tokens)))
    vectors = iter(embedder.embed_passages([passage for draft in drafts for passage in passages(draft, embedder)]))
    return [
        NewDocument(
            draft.source,
            sha256(draft.read.text.encode()).hexdigest(),
            draft.read,
            tuple(embedded(span, next(vectors)) for span in draft.spans),
            text.metadata,
        )
        for text, draft in zip(batch, drafts, strict=True)
    ]


def _batches(texts: Iterable[Text]) -> Iterator[list[Text]]:
    batch: list[Text] = []
    for text in texts:
        batch.append(text)
        if len(batch) == BATCH_DOCUMENTS:
            yield batch
            batch = []
    if batch:
        yield batch
