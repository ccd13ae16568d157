"""Changes of model as a durable queue: noted, worked off one after another at low priority, gone on with at a start."""

import json
import threading
import time
import uuid

import msgspec
import structlog

from appliance.allocator import give_back
from appliance.errors import ApplianceError, Conflict, ModelError, NotFound
from appliance.ingest.breaker import Stopped
from appliance.priority import lower_priority
from appliance.reembed.run import ChangeRun, Refused, Surroundings
from appliance.reembed.spec import ChangeSpec, ChangeStatus, check_spec, status_of
from appliance.store import ChangeRow, NewChange, Space
from appliance.types import Embedder

CRASHES = 5  # starts without progress; then the model is not tried again
STOP_S = 30.0
RETRY_S = 30.0

log = structlog.get_logger(__name__)


class Reembedding:
    """Takes changes at any time, works on one at a time. Thread-safe."""

    def __init__(self, around: Surroundings) -> None:
        self._around = around
        self._store, self._changes = around.store, around.store.changes
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._finished = threading.Condition()
        self._lock = threading.Lock()
        self._run: ChangeRun | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Go on with what is unfinished, in a thread of its own. Call it once."""
        self._thread = threading.Thread(target=self._work, name="reembed", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the work within a batch; it is taken up again at the next start."""
        self._stopping.set()
        self._wake.set()
        with self._lock:
            if self._run is not None:
                self._run.stop()
        if self._thread is not None:
            self._thread.join(STOP_S)

    @property
    def waiting(self) -> str:
        """What the change that is worked on waits for; "" while it goes on, or where there is none."""
        return run.waiting if (run := self._run) else ""

    # --- changes -----------------------------------------------------------------------------------------------------

    def submit(self, collection: str, model: str, spec: ChangeSpec) -> ChangeStatus:
        """Queue a change of the collection's embedding model; it is durable on return.

        Raises InvalidRequest, NotFound (collection, model), Conflict when the model serves already or a change is under
        way, ModelError when the model cannot be used.
        """
        check_spec(spec)
        serving = self._serving(collection)
        embedder = self._named(model)
        if embedder.fingerprint == serving.embedder:
            raise Conflict(f"Collection {collection!r} uses {model} already.", code="model_in_use",
                           hint="`models list` shows the others.")  # fmt: skip
        return self._add(collection, model, embedder.fingerprint, serving, spec)

    def rollback(self, collection: str) -> ChangeStatus:
        """Queue the way back to the model before the last change. Documents added since are embedded with it first.

        Raises NotFound (collection), Conflict when its vectors are not kept, its model is not on this host, or a change
        is under way.
        """
        serving, kept = self._serving(collection), self._store.shadow.find(collection)
        last = self._last_switch(collection)
        previous = msgspec.json.decode(last.spec, type=ChangeSpec).previous if last else ""
        if kept is None or kept.embedder != previous:
            raise Conflict(
                f"The vectors of an earlier model of collection {collection!r} are not kept.",
                code="nothing_to_roll_back",
                hint="`models use NAME` changes to any model; `models changes` shows what was done.",
            )
        model = self._around.embedders.of(kept.embedder).name
        return self._add(collection, model, kept.embedder, serving, ChangeSpec(rollback=True))

    def discard(self, collection: str) -> str | None:
        """Remove the vectors and the index that do not serve: no way back without embedding again.

        Returns the fingerprint of their model, None when there were none. Raises NotFound (collection), Conflict while
        a change is under way.
        """
        if any(row.collection == collection and row.finished_at is None for row in self._changes.newest(100)):
            raise Conflict(
                f"The model of collection {collection!r} is being changed.",
                code="model_change_under_way",
                hint="`models cancel ID` ends the change; then discard.",
            )
        removed = self._store.shadow.empty(collection)
        if removed is not None:
            self._around.collections.remove_index(removed)
        return removed.embedder if removed else None

    def status(self, change_id: str) -> ChangeStatus:
        """Raises NotFound."""
        return self._status(self._changes.get(change_id))

    def changes(self, limit: int = 20) -> list[ChangeStatus]:
        """The newest first."""
        return [self._status(row) for row in self._changes.newest(max(1, min(limit, 100)))]

    def cancel(self, change_id: str) -> ChangeStatus:
        """End a change within a batch; what it embedded is kept for the next one. Raises NotFound, Conflict."""
        row = self._changes.cancel(change_id)
        with self._lock:
            if self._run is not None and self._run.row.id == change_id:
                self._run.stop()
        self._wake.set()
        return self._status(row)

    def wait(self, change_id: str, timeout_s: float) -> ChangeStatus:
        """The status once the change is finished, or after `timeout_s` seconds. Raises NotFound."""
        until = time.monotonic() + timeout_s
        with self._finished:
            while (status := self.status(change_id)).finished_at is None and time.monotonic() < until:
                self._finished.wait(0.5)
        return status

    def _named(self, model: str) -> Embedder:
        try:
            return self._around.embedders.named(model)
        except ModelError as error:
            if error.code != "model_missing":
                raise
            raise NotFound(str(error), code="unknown_model", hint=error.hint) from error

    def _serving(self, collection: str) -> Space:
        return self._store.shadow.serving(collection)

    def _last_switch(self, collection: str) -> ChangeRow | None:
        done = (row for row in self._changes.newest(100) if row.collection == collection and row.state == "SUCCESS")
        return next(done, None)

    def _add(self, collection: str, model: str, fingerprint: str, serving: Space, spec: ChangeSpec) -> ChangeStatus:
        previous = self._around.embedders.name_of(serving.embedder) or serving.embedder
        asked = msgspec.json.encode(msgspec.structs.replace(spec, previous=serving.embedder)).decode()
        new = NewChange(uuid.uuid4().hex, collection, model, previous, fingerprint, asked, time.time())
        row = self._changes.add(new)
        self._wake.set()
        return self._status(row)

    def _status(self, row: ChangeRow) -> ChangeStatus:
        found = self._store.documents.collection(row.collection)
        kept = self._store.shadow.find(row.collection) if found else None
        total = found.chunks if found else 0
        left = self._store.shadow.missing_count(kept) if kept and kept.embedder == row.embedder else total
        run = self._run
        live = run if run is not None and run.row.id == row.id and row.finished_at is None else None
        return status_of(row, total - left, total, live.progress.chunks_per_s if live else None)

    # --- work --------------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        lower_priority()
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                row = self._changes.next()
                if row is None:
                    give_back()
                    self._wake.wait()
                else:
                    self._work_on(row)
            except Exception:
                log.exception("reembedding_failed")
                self._stopping.wait(RETRY_S)

    def _work_on(self, row: ChangeRow) -> None:
        run = ChangeRun(row, self._around)
        with self._lock:
            self._run = run
        if self._stopping.is_set() or self._changes.get(row.id).cancelled:
            run.stop()
        try:
            if row.crashes >= CRASHES:
                raise Refused(
                    f"The appliance died {row.crashes} times at the beginning of this change.",
                    code="appliance_died",
                    hint="Look for the reason in the system log (memory?) before you try this model again.",
                )
            self._changes.begin(row.id)
            run.run()
        except Stopped:
            if self._changes.get(row.id).cancelled:
                self._end(row, ("cancelled", "The change was cancelled.", "What was embedded is kept."), None)
            else:
                self._changes.put_down(row.id)
        except ApplianceError as error:
            report = error.report if isinstance(error, Refused) else None
            figures = None if report is None else json.dumps(report.plain())
            self._end(row, (error.code, str(error), error.hint), figures)
        except Exception as error:
            log.exception("model_change_failed", change=row.id)
            self._end(row, ("internal_error", f"Internal error: {error!r}.", "The log has the details."), None)
        finally:
            with self._lock:
                self._run = None
            with self._finished:
                self._finished.notify_all()

    def _end(self, row: ChangeRow, why: tuple[str, str, str], report: str | None) -> None:
        log.warning("model_not_switched", change=row.id, code=why[0], error=why[1])
        self._changes.fail(row.id, why, report, time.time())
