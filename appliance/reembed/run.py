"""One change of model from its first chunk to the switch; every step can be cut off anywhere and goes on from the rows.

The chunks of a collection get vectors of the new model in id order, a batch a transaction. Documents that are added
meanwhile have larger ids and come last; those that are deleted take both models' vectors with them. Ingestion pauses
for the last few, so that the switch finds nothing missing.
"""

import json
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import msgspec
import numpy as np
import structlog

from appliance.collections import Collections, Serving
from appliance.errors import ApplianceError, Conflict
from appliance.faults import reached
from appliance.inference import Embedders
from appliance.ingest.breaker import Breaker, Stopped
from appliance.ingest.progress import Progress
from appliance.ingest.unit import SPECIAL_TOKENS, Readable, fitted
from appliance.priority import give_way
from appliance.reembed.gate import Find, Gate, Report
from appliance.reembed.spec import ChangeSpec
from appliance.store import ChangeRow, ChunkText, Space, Store
from appliance.types import Embedder, Ids
from appliance.vectors import CollectionIndex

BATCH_CHUNKS = 32  # a cancel or a stop waits for one batch
FEW_CHUNKS = 512  # so many may be left when ingestion is paused
ROUNDS = 3  # of catching up with an ingestion that is as fast as we are; then it is paused all the same
LOOKED_AT = 200  # chunks whose length in the new model's tokens is counted before anything is embedded
TRUNCATED_SHARE = 0.05  # of them may be longer than the new model reads

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every change works with. `paused` stops ingestion within its block."""

    store: Store
    collections: Collections
    embedders: Embedders
    find: Find
    busy: Callable[[], bool]
    paused: Callable[[], AbstractContextManager[None]]


class Refused(ApplianceError):
    """The new model is not to serve. `report` holds the figures, if it came to them."""

    status = 409
    default_code = "model_refused"

    def __init__(self, message: str, *, hint: str, code: str | None = None, report: Report | None = None) -> None:
        super().__init__(message, hint=hint, code=code)
        self.report = report


class ChangeRun:
    """Works on one change in the calling thread. `stop` ends it from any thread within a batch."""

    def __init__(self, row: ChangeRow, around: Surroundings) -> None:
        self.row = row
        self.progress = Progress()
        self.stopped = threading.Event()
        self._spec = msgspec.json.decode(row.spec, type=ChangeSpec)
        self._around = around
        self._store = around.store
        self._breaker = Breaker("reembedding")
        self._known: list[Ids] = []  # chunk ids that the new index was given

    @property
    def waiting(self) -> str:
        """What it waits for, when it waits for something."""
        return self._breaker.waiting

    def stop(self) -> None:
        self.stopped.set()

    def run(self) -> None:
        """Everything that is left to do. Raises Refused, Stopped, and ApplianceError when it cannot be done."""
        embedder = self._around.embedders.of(self.row.embedder)
        space = self._opened(embedder)
        index = self._around.collections.open_index(self.row.collection, space)
        self._known = [self._store.documents.vector_source(self.row.collection, space.embedder).ids()]
        switched = False
        try:
            self._step("embedding")
            space = self._catch_up(space, embedder, index)
            report = self._judged(Serving(embedder, index)) if not self._spec.rollback else None
            switched = self._switch(space, embedder, index, report)
        finally:
            if not switched:
                self._closed(index, space)

    def _closed(self, index: CollectionIndex, space: Space) -> None:
        index.close()
        if self._store.documents.collection(self.row.collection) is None:  # dropped meanwhile, with its folder
            self._around.collections.remove_index(space)

    # --- filling -----------------------------------------------------------------------------------------------------

    def _opened(self, embedder: Embedder) -> Space:
        """The space of the new model, as far as it was filled before; vectors of a third model make room."""
        kept = self._store.shadow.find(self.row.collection)
        if kept is None or kept.embedder != embedder.fingerprint:
            self._check_lengths(embedder)
            if kept is not None:
                self._step("removing older vectors")
                self._store.shadow.empty(self.row.collection)
                self._around.collections.remove_index(kept)
        space = self._store.shadow.open(self.row.collection, embedder.fingerprint, embedder.dimensions)
        reached("model.space_opened")
        return space

    def _check_lengths(self, embedder: Embedder) -> None:
        """Raises Refused when too many chunks are longer than the model reads: they were cut for another one."""
        ids = self._store.documents.chunk_ids(self.row.collection)
        looked_at = ids[np.linspace(0, len(ids) - 1, min(LOOKED_AT, len(ids)), dtype=np.int64)]
        chunks = self._store.documents.chunks(looked_at.tolist()).values()
        cut_off = sum(_tokens(chunk.text, embedder) > embedder.max_tokens - SPECIAL_TOKENS for chunk in chunks)
        if cut_off > TRUNCATED_SHARE * len(looked_at) and not self._spec.force:
            raise Refused(
                f"{cut_off} of {len(looked_at)} passages looked at are longer than {embedder.name} reads "
                f"({embedder.max_tokens} tokens); the rest of each would not be found by meaning.",
                code="chunks_too_long",
                hint="Ingest the documents into a new collection with a smaller chunk_tokens, or use --force.",
            )

    def _catch_up(self, space: Space, embedder: Embedder, index: CollectionIndex, *, enough: int = 0) -> Space:
        """Embed what has no vectors yet, until no more than `enough` chunks are left."""
        while self._store.shadow.missing_count(space) > enough:
            self._check()
            give_way(self._around.busy, self.stopped)
            space = self._breaker.run(lambda space=space: self._batch(space, embedder, index), self.stopped)  # type: ignore[misc]
        return space

    def _batch(self, space: Space, embedder: Embedder, index: CollectionIndex) -> Space:
        chunks = self._store.shadow.missing(space, BATCH_CHUNKS)
        if not chunks:
            return space
        readable = [_readable(chunk, embedder) for chunk in chunks]
        made = embedder.embed_passages(list(fitted(readable, embedder)))
        entries = [
            (chunk.id, vectors.vector, chunk.sentences, vectors.sentences)
            for chunk, vectors in zip(chunks, made, strict=True)
        ]
        truncated = sum(item.tokens > embedder.max_tokens - SPECIAL_TOKENS for item in readable)
        filled = self._store.shadow.fill(space, entries, self.row.id, truncated)
        reached("model.vectors_committed")
        ids = np.array([entry[0] for entry in entries], dtype=np.int64)
        self._known.append(ids)
        index.add(ids, np.stack([entry[1] for entry in entries]))
        self.progress.advance(0.0, len(entries))
        return filled

    # --- deciding ----------------------------------------------------------------------------------------------------

    def _judged(self, new: Serving) -> Report | None:
        """The comparison, None when it cannot be made and need not be. Raises Refused."""
        self._step("comparing")
        gate = Gate(self._store, self._around.find, self._around.busy, self.stopped)
        try:
            with self._around.collections.serving(self.row.collection) as old:
                report = gate.compare(self.row.collection, self._spec, old, new)
        except Conflict as error:  # the model that serves is not on this host
            if self._spec.force:
                return None
            raise Refused(f"The two models cannot be compared: {error}", hint="Use --force to change all the same.",
                          code="models_not_comparable") from error  # fmt: skip
        reached("model.compared")
        if report.worse and not self._spec.force:
            hint = "The vectors are kept: `models use` with --force switches to them, `models discard` removes them."
            raise Refused(" ".join(report.worse), hint=hint, report=report)
        return report

    def _switch(self, space: Space, embedder: Embedder, index: CollectionIndex, report: Report | None) -> bool:
        for _ in range(ROUNDS):
            if self._store.shadow.missing_count(space) <= FEW_CHUNKS:
                break
            space = self._catch_up(space, embedder, index, enough=FEW_CHUNKS)
        self._step("switching")
        figures = None if report is None else json.dumps(report.plain())
        with self._around.paused():
            switched = False
            while not switched:
                space = self._catch_up(space, embedder, index)
                self._check()
                switched = self._around.collections.switch(
                    self.row.collection,
                    index,
                    np.concatenate(self._known),
                    lambda space=space: self._commit(space, figures),  # type: ignore[misc]
                )
        log.info("model_switched", collection=self.row.collection, model=self.row.model, change=self.row.id)
        return True

    def _commit(self, space: Space, figures: str | None) -> bool:
        return self._store.shadow.switch(self.row.collection, space, self.row.id, figures, time.time()) is not None

    def _check(self) -> None:
        if self.stopped.is_set():
            raise Stopped

    def _step(self, step: str) -> None:
        self.progress.step = step
        self._store.changes.step(self.row.id, step)


def _readable(chunk: ChunkText, embedder: Embedder) -> Readable:
    return Readable(chunk.title, chunk.section, chunk.text, _tokens(chunk.text, embedder), chunk.sentences)


def _tokens(text: str, embedder: Embedder) -> int:
    return len(embedder.token_spans(text))
