"""What flows through the pipeline: a file with its documents, on their way from bytes to rows."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from appliance.errors import ApplianceError, DocumentError
from appliance.ingest.breaker import backoff_s
from appliance.store.ingested import Intake
from appliance.store.job_rows import Failure, ItemRow, Settled
from appliance.types import (
    ChunkSpan,
    EmbeddedChunk,
    Embedder,
    MetadataValue,
    NewDocument,
    Passage,
    PassageVectors,
    ReadDocument,
)

CHUNK_WEIGHT = 500  # of a chunk beside its text, in characters' worth of memory
UNIT_WEIGHT = 1000
SPECIAL_TOKENS = 2  # that an encoder puts around a text
RETRY_BASE_S = 1.0
RETRY_LONGEST_S = 60.0


@dataclass(slots=True)
class Draft:
    """A document that is cut and being embedded; `embedded` grows in the order of `spans`."""

    source: str
    read: ReadDocument
    spans: Sequence[ChunkSpan]
    embedded: list[EmbeddedChunk] = field(default_factory=list)


@dataclass(slots=True)
class Unit:
    """A file: its drafts, or why there are none. `members` are failed members of an archive."""

    item: ItemRow
    sha256: str | None = None
    skipped: bool = False
    drafts: list[Draft] = field(default_factory=list)
    members: list[tuple[str, DocumentError]] = field(default_factory=list)
    error: ApplianceError | None = None
    weight: int = UNIT_WEIGHT
    left: int = 0  # chunks without a vector

    @property
    def chunks(self) -> int:
        return sum(len(draft.spans) for draft in self.drafts)

    def fail(self, error: ApplianceError) -> None:
        """Give the file up as a whole, with everything made of it so far."""
        self.error = error
        self.drafts.clear()
        self.members.clear()
        self.left = 0


@dataclass(frozen=True, slots=True)
class Readable:
    """A chunk as an embedder is to read it; `tokens` are its own, `sentences` spans relative to its text."""

    title: str
    section: str
    text: str
    tokens: int
    sentences: Sequence[tuple[int, int]]


def passages(draft: Draft, embedder: Embedder) -> Iterator[Passage]:
    """What the model reads of each chunk of a draft."""
    title = draft.read.title
    return fitted((Readable(title, s.section, s.text, s.tokens, s.sentences) for s in draft.spans), embedder)


def fitted(chunks: Iterable[Readable], embedder: Embedder) -> Iterator[Passage]:
    """What the model reads of each chunk: its title and section, as far as they fit beside its text, then the text."""
    lengths: dict[str, Sequence[tuple[int, int]]] = {}
    for chunk in chunks:
        context = context_of(chunk.title, chunk.section)
        if context and context not in lengths:
            lengths = {context: embedder.token_spans(context)}
        room = embedder.max_tokens - SPECIAL_TOKENS - chunk.tokens
        tokens = lengths.get(context, ())
        if len(tokens) > room:
            context = context[: tokens[room - 1][1]] if room > 0 else ""
        yield Passage(context, chunk.text, chunk.sentences)


def context_of(title: str, section: str) -> str:
    """The words that stand over a chunk."""
    if not section or section == title or section.startswith(f"{title} > "):
        return section or title
    return f"{title} > {section}" if title else section


def embedded(span: ChunkSpan, vectors: PassageVectors) -> EmbeddedChunk:
    """Sentence vectors are kept at half precision: a large document waits for its commit as a whole."""
    return EmbeddedChunk(span, vectors.vector, vectors.sentences.astype(np.float16))


def to_intake(
    unit: Unit,
    metadata: Mapping[str, MetadataValue],
    version: str,
    attempts_limit: int,
    now: float,
    present: Callable[[str], Mapping[str, int]],
) -> Intake:
    """What to store of a unit. `present` gives source -> id of the documents that a file has now.

    Members that the file no longer holds go; those that failed keep the version that was read last.
    """
    item, attempts = unit.item, unit.item.attempts + 1
    if unit.error is not None:
        return Intake(_failed(item, unit.error, attempts, attempts_limit, now))
    if unit.skipped:
        return Intake(Settled(item, "skipped", attempts, sha256=None))
    documents = [
        NewDocument(
            draft.source, unit.sha256 or "", draft.read, tuple(draft.embedded), {**draft.read.metadata, **metadata}
        )
        for draft in unit.drafts
    ]
    kept = {draft.source for draft in unit.drafts} | {source for source, _ in unit.members}
    stale = [document_id for source, document_id in present(item.source).items() if source not in kept]
    settled = Settled(
        item,
        "done",
        attempts,
        sha256=unit.sha256,
        version=version,
        documents=[len(document.chunks) for document in documents],
        members=[(source, failure(error)) for source, error in unit.members],
    )
    return Intake(settled, documents, stale)


def failure(error: ApplianceError) -> Failure:
    return Failure(error.code, str(error), error.hint)


def _failed(item: ItemRow, error: ApplianceError, attempts: int, limit: int, now: float) -> Settled:
    passing = isinstance(error, DocumentError) and error.passing
    if not passing or attempts >= limit:
        return Settled(item, "dead", attempts, failure=failure(error))
    wait_s = backoff_s(attempts, base_s=RETRY_BASE_S, longest_s=RETRY_LONGEST_S)
    return Settled(item, "failed", attempts, next_attempt_at=now + wait_s, failure=failure(error))
