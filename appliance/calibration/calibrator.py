"""One calibration at a time, in a thread of its own that gives way to questions."""

import threading
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import msgspec
import structlog

from appliance.answer import evidence_rules, strength
from appliance.asking import Asking
from appliance.calibration.measure import report, strengths
from appliance.calibration.probes import asked_probes, made_probes
from appliance.calibration.spec import CalibrationSpec, CalibrationStatus, check_spec
from appliance.collections import Collections
from appliance.config import Settings
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.priority import give_way, lower_priority
from appliance.store import Store
from appliance.types import Query, SearchResult

KEPT = 20  # finished ones that can still be asked for
STOP_S = 10.0

log = structlog.get_logger(__name__)


class _Stopped(Exception):
    """The appliance is closing."""


class Calibrator:
    """Thread-safe. What it fits is stored; what is under way when the appliance ends is simply gone."""

    def __init__(
        self, store: Store, collections: Collections, asking: Asking, settings: Settings, busy: Callable[[], bool]
    ) -> None:
        self._store, self._collections, self._asking = store, collections, asking
        self._settings, self._busy = settings, busy
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._known: OrderedDict[str, CalibrationStatus] = OrderedDict()
        self._thread: threading.Thread | None = None

    def stop(self) -> None:
        """End the work at its next question."""
        self._stopping.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def begin(self, collection: str, spec: CalibrationSpec) -> CalibrationStatus:
        """Start a calibration. Raises InvalidRequest, NotFound (collection), Conflict while another one is at work."""
        check_spec(spec)
        if self._store.documents.collection(collection) is None:
            raise NotFound(f"There is no collection {collection!r}.", code="unknown_collection",
                           hint="`collections list` shows those that exist.")  # fmt: skip
        with self._lock:
            if self._thread is not None and self._thread.is_alive():
                raise Conflict("A calibration is under way.", code="calibration_under_way",
                               hint="It takes a minute or so: try again after it.")  # fmt: skip
            status = CalibrationStatus(uuid.uuid4().hex, collection, "PENDING", "waiting", 0, 0)
            self._known[status.id] = status
            while len(self._known) > KEPT:
                self._known.popitem(last=False)
            self._thread = threading.Thread(target=self._run, args=(status, spec), name="calibrate", daemon=True)
            self._thread.start()
        return status

    def status(self, calibration_id: str) -> CalibrationStatus:
        """Raises NotFound."""
        with self._lock:
            found = self._known.get(calibration_id)
        if found is None:
            raise NotFound(f"There is no calibration {calibration_id!r}.", code="unknown_calibration",
                           hint="A restart forgets them; `calibrate --show` tells what is in force.")  # fmt: skip
        return found

    def in_force(self) -> list[dict[str, Any]]:
        """Each collection's threshold: fitted and still valid, fitted for another model (`stale`), or the setting."""
        stored = {row.collection: row for row in self._store.calibrations.all()}
        told = []
        for collection in self._collections.all():
            row = stored.get(collection.name)
            stale = row is not None and row.rules != evidence_rules(collection.embedder)
            told.append(
                {
                    "collection": collection.name,
                    "abstain_below": row.abstain_below if row and not stale else self._settings.abstain_below,
                    "calibrated": row is not None and not stale,
                    "stale": stale,
                    "made_at": row.made_at if row else None,
                    "report": msgspec.json.decode(row.report) if row else None,
                }
            )
        return told

    def remove(self, collection: str) -> bool:
        """Go back to the setting. Whether there was anything to remove. Raises NotFound."""
        removed = self._store.calibrations.remove(collection)
        self._collections.publish(collection)
        return removed

    # --- the work ----------------------------------------------------------------------------------------------------

    def _run(self, status: CalibrationStatus, spec: CalibrationSpec) -> None:
        lower_priority()
        try:
            self._note(status, state="SUCCESS", step="done", report=self._calibrate(status, spec))
        except _Stopped:
            return
        except ApplianceError as error:
            self._note(status, state="FAILURE", step="done", code=error.code, error=str(error), hint=error.hint)
        except Exception as error:
            log.exception("calibration_failed", collection=status.collection)
            self._note(
                status, state="FAILURE", step="done", code="internal_error", error=repr(error), hint="See the log."
            )

    def _calibrate(self, status: CalibrationStatus, spec: CalibrationSpec) -> dict[str, Any]:
        name = status.collection
        if spec.questions:
            probes = asked_probes(self._store, name, spec.questions)
        else:
            probes = made_probes(self._store, name, spec.made)

        def progress(done: int, total: int) -> None:
            give_way(self._busy, self._stopping)
            if self._stopping.is_set():
                raise _Stopped
            self._note(status, state="PROGRESS", step="asking", done=done, total=total)

        with self._collections.serving(name) as serving:
            rules = evidence_rules(serving.embedder.fingerprint)

            def measure(query: Query) -> tuple[SearchResult, float]:
                found = self._asking.as_served(query, serving)
                return found, strength(query, found, self._store, serving.embedder.fingerprint)

            found = strengths(probes, name, measure, progress)
        before = self._store.calibrations.threshold(name, rules)
        made = report(found, spec, self._settings.abstain_below if before is None else before, made=not spec.questions)
        applied = spec.apply and made["fitted"]["answered"] >= spec.min_answered
        if applied:
            self._store.calibrations.put(name, made["abstain_below"], rules, msgspec.json.encode(made))
            self._collections.publish(name)
        return made | {"applied": applied}

    def _note(self, status: CalibrationStatus, **changes: Any) -> None:
        with self._lock:
            if status.id in self._known:
                self._known[status.id] = replace(self._known[status.id], **changes)
