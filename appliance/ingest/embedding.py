"""The second stage: chunks of several files are embedded together, a batch at a time."""

import threading
from collections.abc import Callable

import structlog

from appliance.errors import DocumentError, ModelError
from appliance.faults import reached
from appliance.ingest.breaker import Breaker, cause
from appliance.ingest.channel import Channel
from appliance.ingest.progress import Progress
from appliance.ingest.unit import Draft, Unit, embedded, passages
from appliance.priority import give_way
from appliance.telemetry.stages import stage
from appliance.telemetry.tracing import note
from appliance.types import ChunkSpan, Embedder, Passage, PassageVectors

BATCH_CHUNKS = 128

log = structlog.get_logger(__name__)


class _Refused(Exception):
    """The model works, but not on this batch."""


class Embedding:
    """Takes units, fills in their vectors, passes them on in order of completion."""

    def __init__(
        self, embedder: Embedder, breaker: Breaker, busy: Callable[[], bool], stopped: threading.Event
    ) -> None:
        self._embedder = embedder
        self._breaker = breaker
        self._busy = busy
        self._stopped = stopped
        self._batch: list[tuple[Unit, Draft, ChunkSpan, Passage]] = []

    def run(self, incoming: Channel[Unit], outgoing: Channel[Unit], progress: Progress) -> None:
        """Until `incoming` is closed and empty. A batch never waits for more while there is something to do."""
        while True:
            unit = incoming.get(wait=not self._batch)
            if unit is None and not self._batch:
                outgoing.close()
                return
            if unit is None:
                self._flush(outgoing, progress)
            elif not unit.left:
                outgoing.put(unit, 0)
            else:
                self._take(unit, outgoing, progress)

    def _take(self, unit: Unit, outgoing: Channel[Unit], progress: Progress) -> None:
        for draft in list(unit.drafts):
            for span, passage in zip(draft.spans, passages(draft, self._embedder), strict=True):
                if unit.error is not None:
                    return
                self._batch.append((unit, draft, span, passage))
                if len(self._batch) >= BATCH_CHUNKS:
                    self._flush(outgoing, progress)

    def _flush(self, outgoing: Channel[Unit], progress: Progress) -> None:
        batch, self._batch = [entry for entry in self._batch if entry[0].error is None], []
        give_way(self._busy, self._stopped)
        progress.step = "embedding"
        with stage("ingest.embed"):
            note(chunks=len(batch))
            vectors = self._embed([passage for *_, passage in batch])
        reached("ingest.batch_embedded")
        part = 0.0
        for (unit, draft, span, _), vector in zip(batch, vectors, strict=True):
            if unit.error is not None:
                continue
            if isinstance(vector, DocumentError):
                unit.fail(vector)
                outgoing.put(unit, 0)
                continue
            draft.embedded.append(embedded(span, vector))
            part += 1 / unit.chunks
            unit.left -= 1
            if not unit.left:
                outgoing.put(unit, 0)
        progress.advance(part, len(batch))

    def _embed(self, batch: list[Passage]) -> list[PassageVectors | DocumentError]:
        """One result a passage; what the model refuses costs its own document only.

        Raises Stopped; ModelError once the breaker has given up.
        """
        try:
            return list(self._breaker.run(lambda: self._try(batch), self._stopped))
        except _Refused as refused:
            if len(batch) == 1:
                log.error("passage_not_embedded", error=repr(refused.__cause__))
                return [_refusal(refused)]
        half = len(batch) // 2
        return self._embed(batch[:half]) + self._embed(batch[half:])

    def _try(self, batch: list[Passage]) -> list[PassageVectors]:
        """Raises ModelError when the model embeds nothing at all, _Refused when it does embed other texts."""
        try:
            return self._embedder.embed_passages(batch)
        except Exception as error:
            if cause(error):
                raise
            try:
                self._embedder.embed_passages([Passage("", "ready")])
            except Exception as broken:
                raise ModelError(f"The embedding model does not work: {broken}") from broken
            raise _Refused from error


def _refusal(refused: _Refused) -> DocumentError:
    hint = "The embedding model has a defect with this text; try another model or another form of the document."
    message = f"A passage could not be embedded: {refused.__cause__}"
    return DocumentError(message, code="embedding_failed", hint=hint)
