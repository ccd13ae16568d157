"""One task from its listing to its end; every step can be cut off anywhere and goes on from the ledger."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import structlog

from appliance.config import Settings
from appliance.errors import ApplianceError, DocumentError, StorageError
from appliance.faults import reached
from appliance.ingest.breaker import Breaker, Stopped
from appliance.ingest.channel import Channel, Crew
from appliance.ingest.committing import Committing, VectorIndex, update_index
from appliance.ingest.embedding import Embedding
from appliance.ingest.listing import explain, list_files, source_prefix
from appliance.ingest.names import path_to_bytes
from appliance.ingest.progress import Progress
from appliance.ingest.reading import FileReader
from appliance.ingest.sandbox import ReaderProcess
from appliance.ingest.spec import IngestSpec, decode_spec
from appliance.ingest.unit import Unit
from appliance.ingest.version import intake_version
from appliance.priority import lower_priority
from appliance.store import Store
from appliance.store.ingested import take_out, unchanged
from appliance.store.job_rows import Failure, ItemRow, TaskRow, container
from appliance.telemetry.stages import stage
from appliance.types import Embedder

T = TypeVar("T")

UNDER_WAY = 1_500_000  # weight of files between reading and commit, about that many characters
LISTED_ROWS = 1000  # files noted in one transaction
REMOVED_DOCUMENTS = 200  # documents removed in one transaction
CRASHES_BEFORE_CARE = 2

log = structlog.get_logger(__name__)


class TaskFailed(Exception):
    """The task cannot be done; the message says why."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every task works with."""

    store: Store
    embedder: Callable[[str], Embedder]  # of a collection
    reader: ReaderProcess
    index: Callable[[str], VectorIndex]
    changed: Callable[[str], None]
    busy: Callable[[], bool]
    settings: Settings
    scratch: Path
    breaker_s: tuple[float, float, float]  # first wait, longest wait, give up; seconds
    beat: Callable[[], None]  # called whenever there is progress


class TaskRun:
    """Works on one task in the calling thread and two more. `stop` ends it from any thread within a batch."""

    def __init__(self, task: TaskRow, around: Surroundings) -> None:
        self.task = task
        self.progress = Progress()
        self._spec: IngestSpec = decode_spec(task.spec)
        self._around = around
        self._jobs = around.store.jobs
        self._stopped = threading.Event()
        first, longest, give_up = around.breaker_s
        self._breakers = {
            part: Breaker(part, first_s=first, longest_s=longest, give_up_s=give_up, beat=around.beat)
            for part in ("reading", "embedding", "storage", "ledger")
        }
        self._version = intake_version(around.settings.chunk_tokens, self._spec.metadata)
        self._crew_abort: Callable[[], None] = lambda: None

    @property
    def waiting(self) -> str:
        """What the task waits for, when it waits for something."""
        return next((breaker.waiting for breaker in self._breakers.values() if breaker.waiting), "")

    def load(self, task: TaskRow) -> None:
        """The task as it is in the ledger now."""
        self.task = task

    def stop(self) -> None:
        self._stopped.set()
        self._crew_abort()
        self._around.reader.interrupt()

    def run(self) -> None:
        """Everything that is left to do.

        Raises Stopped, TaskFailed, ApplianceError when the collection or the storage cannot be used.
        """
        embedder = self._around.embedder(self.task.collection)
        self._write(
            lambda: self._around.store.documents.ensure_collection(
                self.task.collection, embedder.fingerprint, embedder.dimensions
            )
        )
        if not self.task.listed:
            with stage("ingest.list"):
                self._list()
        self._step("reading")
        after_crash = self.task.crashes >= CRASHES_BEFORE_CARE
        while (due := self._jobs.next_due(self.task.seq)) is not None:
            self._around.beat()
            if self._stopped.wait(max(0.0, min(due - time.time(), 60.0))):
                raise Stopped
            if due <= time.time():
                self._pass(embedder, careful=after_crash)
        if self._spec.sync and self._spec.directory is not None:
            self._remove_gone()

    # --- listing -----------------------------------------------------------------------------------------------------

    def _list(self) -> None:
        self._step("listing")
        self._write(lambda: self._jobs.forget_listing(self.task.seq))
        complete = True
        rows: list[tuple[str, bytes, Failure | None]] = []
        try:
            for source, path, failed in self._listed():
                self._around.beat()
                complete = complete and failed is None
                rows.append((source, path, failed))
                if len(rows) >= LISTED_ROWS:
                    self._add(rows)
                    rows = []
        except (OSError, ApplianceError) as error:
            if isinstance(error, StorageError):
                raise
            raise TaskFailed(explain(error)) from error
        if self._stopped.is_set():
            raise Stopped
        self._add(rows)
        self._write(lambda: self._jobs.listed(self.task.seq, complete=complete))
        reached("ingest.listed")
        self.task = self._jobs.task(self.task.id)

    def _listed(self) -> Iterator[tuple[str, bytes, Failure | None]]:
        spec = self._spec
        for file in spec.files:
            source = f"{spec.label.strip('/')}/{file.name}" if spec.label is not None else file.name
            yield source, path_to_bytes(file.path), None
        if spec.directory is None:
            return
        for listed in list_files(spec.directory, spec.label, self._stopped.is_set):
            failed = None
            if listed.error:
                hint = "Give the user that runs the appliance the right to list it."
                failed = Failure("unlisted_folder", f"The folder {listed.error}.", hint)
            yield listed.source, listed.path, failed

    def _add(self, rows: list[tuple[str, bytes, Failure | None]]) -> None:
        if rows:
            self._write(lambda: self._jobs.add_items(self.task.seq, rows, time.time()))

    # --- files -------------------------------------------------------------------------------------------------------

    def _pass(self, embedder: Embedder, *, careful: bool) -> None:
        """Deal with every file that is due, in three stages that work side by side."""
        around = self._around
        read: Channel[Unit] = Channel(1 if careful else UNDER_WAY)
        done: Channel[Unit] = Channel(1)  # bounded by what `read` has under way

        def abort() -> None:
            read.abort()
            done.abort()

        self._crew_abort = abort
        crew = Crew(abort)
        reading = FileReader(around.reader, embedder, around.settings, around.scratch)
        embedding = Embedding(embedder, self._breakers["embedding"], around.busy, self._stopped)
        committing = Committing(
            around.store,
            embedder.fingerprint,
            self._breakers["storage"],
            around.index,
            around.changed,
            around.settings.ingest_attempts,
            self._stopped,
        )
        crew.start("ingest-read", lambda: self._read(reading, read, careful=careful))
        crew.start(
            "ingest-commit",
            lambda: self._low(
                lambda: committing.run(done, read.release, self.task, self._spec, self._version, self.progress)
            ),
        )
        crew.run_here(lambda: embedding.run(read, done, self.progress))
        crew.join()
        if self._stopped.is_set():
            raise Stopped

    def _low(self, work: Callable[[], None]) -> None:
        lower_priority()
        work()

    def _read(self, reading: FileReader, outgoing: Channel[Unit], *, careful: bool) -> None:
        lower_priority()
        for item in self._due():
            if careful:
                outgoing.wait_idle()
            unit = self._too_often(item) if careful else None
            if unit is None:
                unit = self._breakers["reading"].run(
                    lambda item=item: reading.unit(item, self._unchanged, self._stopped.is_set),  # type: ignore[misc]
                    self._stopped,
                )
            outgoing.put(unit, unit.weight)
        outgoing.close()

    def _due(self) -> Iterator[ItemRow]:
        """The files due now, in the order of the listing."""
        after, now = 0, time.time()
        while rows := self._jobs.due(self.task.seq, after=after, now=now, limit=256):
            for row in rows:
                if self._stopped.is_set():
                    raise Stopped
                yield row
            after = rows[-1].id

    def _too_often(self, item: ItemRow) -> Unit | None:
        """After crashes each try is counted before it is made: a file that kills the process is given up in the end."""
        if item.attempts < self._around.settings.ingest_attempts:
            self._write(lambda: self._jobs.attempt(item))
            return None
        unit = Unit(item)
        unit.fail(
            DocumentError(
                "The appliance died while it worked on this document.",
                code="appliance_died",
                hint="Look for the reason in the system log (memory?); then retry the task.",
            )
        )
        return unit

    def _unchanged(self, source: str, sha256: str) -> bool:
        return unchanged(self._around.store.database, self.task.collection, source, sha256, self._version)

    # --- removing ----------------------------------------------------------------------------------------------------

    def _remove_gone(self) -> None:
        """Documents below the folder whose files were not listed; none when a part of it could not be listed."""
        directory = self._spec.directory
        assert directory is not None
        if self._jobs.task(self.task.id).listed != 1 or not directory.is_dir():
            log.warning("nothing_removed", reason="not all of the folder could be listed")
            return
        self._step("removing")
        prefix = source_prefix(directory, self._spec.label)
        present = self._around.store.documents.hashes(self.task.collection, prefix)
        gone = [(source, number) for source, (number, _) in present.items() if not self._is_file(source)]
        for start in range(0, len(gone), REMOVED_DOCUMENTS):
            if self._stopped.is_set():
                raise Stopped
            part = gone[start : start + REMOVED_DOCUMENTS]
            self._remove(part)

    def _is_file(self, source: str) -> bool:
        seq = self.task.seq
        return self._jobs.has_source(seq, source) or ("!/" in source and self._jobs.has_source(seq, container(source)))

    def _remove(self, documents: list[tuple[str, int]]) -> None:
        store = self._around.store
        removed = self._write(lambda: take_out(store.database, self.task, documents))
        reached("ingest.gone_removed")
        update_index(self._around.index, self.task.collection, removed, removed[:0], [])
        self._around.changed(self.task.collection)

    # --- within ------------------------------------------------------------------------------------------------------

    def _step(self, step: str) -> None:
        self.progress.step = step
        self._write(lambda: self._jobs.step(self.task.seq, step))

    def _write(self, work: Callable[[], T]) -> T:
        return self._breakers["ledger"].run(work, self._stopped)
