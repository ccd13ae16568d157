"""A canary: a share of the questions under other flags, watched against the rest, and rolled back when it is worse."""

import contextlib
import hashlib
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated, Literal

import msgspec
import structlog
from msgspec import Meta

from appliance.errors import ApplianceError, Conflict
from appliance.flags.live import LiveFlags, chosen
from appliance.flags.registry import changed
from appliance.flags.verdict import Limits, Seen, next_look, percentile, verdict
from appliance.store import Store
from appliance.store.canaries import CanaryRow
from appliance.store.flags import EVERYWHERE
from appliance.telemetry.metrics import CANARY_QUESTIONS, CANARY_ROLLBACKS, CANARY_SECONDS
from appliance.types import Choice, Query

log = structlog.get_logger(__name__)

WINDOW = 2000  # questions of each side that are remembered
SYSTEM = "system"  # who rolls back
Side = Literal["stable", "canary"]


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """`share` of the questions to `collection` (empty: to all) is answered under `flags`."""

    share: Annotated[float, Meta(gt=0, le=0.5)]
    flags: Annotated[dict[str, bool | int | float | str | None], Meta(min_length=1)]
    collection: str = EVERYWHERE
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class SideFigures:
    """What was seen of one side; `p95_ms` of those that did not fail."""

    questions: int
    failed: int
    declined: int
    p95_ms: float


@dataclass(slots=True)
class _Side:
    seen: deque[tuple[float, Seen]] = field(default_factory=lambda: deque(maxlen=WINDOW))
    known: deque[int] = field(default_factory=lambda: deque(maxlen=WINDOW))  # points of questions that were counted
    count: int = 0

    def since(self, start: float) -> list[Seen]:
        return [one for at, one in self.seen if at >= start]


@dataclass(slots=True)
class _Running:
    row: CanaryRow
    spec: Spec
    looks: int
    look_at: int
    sides: Mapping[Side, _Side] = field(default_factory=lambda: {"stable": _Side(), "canary": _Side()})
    choices: dict[str, tuple[Choice, Choice, Choice]] = field(default_factory=dict)  # by collection


@dataclass(slots=True)
class Watch:
    """What a question that is being answered tells at its end."""

    declined: bool = False


class Canary:
    """The one canary of a data directory. Thread-safe; it goes on after a restart, with its figures begun anew."""

    def __init__(self, store: Store, flags: LiveFlags) -> None:
        self._store, self._flags = store, flags
        self._lock = threading.Lock()
        row = store.canaries.newest()
        self._running = self._resumed(row) if row is not None and row.state == "running" else None

    # --- questions ---------------------------------------------------------------------------------------------------

    def choice(self, query: Query) -> Choice:
        """The flags that a question is answered under. The same caller's same question is always on the same side."""
        stable = self._flags.choice(query.collection)
        running = self._running
        if running is None or running.spec.collection not in {EVERYWHERE, query.collection}:
            return stable
        known = running.choices.get(query.collection)
        if known is None or known[0] is not stable:
            known = running.choices[query.collection] = (stable, *_sides(stable, running.spec))
        return known[2] if _point(query, running.row.id) < running.spec.share * 2**64 else known[1]

    @contextlib.contextmanager
    def watching(self, query: Query) -> Iterator[Watch]:
        """Time a question that is computed, and count how it ends; one that the caller got wrong does not count."""
        running, watch, start = self._running, Watch(), time.perf_counter()
        side = query.choice.variant if query.choice is not None else ""
        if running is None or side not in running.sides:
            yield watch
            return
        failed = True
        try:
            yield watch
            failed = False
        except ApplianceError as error:
            if error.status < 500:
                running = None
            raise
        finally:
            if running is not None:
                seen = Seen(time.perf_counter() - start, failed, watch.declined)
                self._count(running, "canary" if side == "canary" else "stable", _point(query, running.row.id), seen)

    def _count(self, running: _Running, name: Side, point: int, seen: Seen) -> None:
        CANARY_QUESTIONS.labels(name, "error" if seen.failed else "declined" if seen.declined else "answered").inc()
        CANARY_SECONDS.labels(name).observe(seen.seconds)
        with self._lock:
            side = running.sides[name]
            if running is not self._running or point in side.known:
                return  # ended meanwhile; or asked before: repeats of one question are no new evidence
            side.known.append(point)
            side.seen.append((time.monotonic(), seen))
            side.count += 1
            due = name == "canary" and side.count >= running.look_at
            if due and running.sides["stable"].count >= running.spec.limits.questions:
                self._look(running)

    def _look(self, running: _Running) -> None:
        """Compare both sides over the time that both are remembered of."""
        canary, stable = running.sides["canary"], running.sides["stable"]
        running.looks += 1
        running.look_at = next_look(canary.count, running.spec.limits)
        start = max(canary.seen[0][0], stable.seen[0][0])
        both = (canary.since(start), stable.since(start))
        reason = verdict(*both, running.looks, running.spec.limits) if all(both) else ""
        try:
            if reason:
                self._end("rolled_back", SYSTEM, reason)
                CANARY_ROLLBACKS.inc()
            else:
                self._store.canaries.looked(running.row.id, running.looks)
        except ApplianceError as error:  # the questions go on as before; what was not written is tried at the next look
            log.error("canary_not_recorded", code=error.code, detail=str(error))
            if reason:
                self._running = None

    # --- changes -----------------------------------------------------------------------------------------------------

    def start(self, spec: Spec, by: str) -> CanaryRow:
        """Raises Conflict while one runs, NotFound, InvalidRequest for flags that cannot be, StorageError."""
        self._flags.check(spec.collection, spec.flags)
        with self._lock:
            if self._running is not None:
                raise Conflict(
                    "A canary is running already.",
                    code="canary_running",
                    hint="`canary status` shows it; promote or stop it first.",
                )
            row = self._store.canaries.start(msgspec.json.encode(spec).decode(), spec.collection, by)
            self._running = _Running(row, spec, 0, spec.limits.questions)
        log.info("canary_started", share=spec.share, collection=spec.collection, flags=spec.flags, principal=by)
        return row

    def stop(self, by: str, reason: str = "") -> None:
        """All questions are answered as before. Raises Conflict where none runs, StorageError."""
        with self._lock:
            self._end("stopped", by, reason)

    def promote(self, by: str, reason: str = "") -> None:
        """Its flags are set for its collection, or for all. Raises Conflict, NotFound, InvalidRequest, StorageError."""
        with self._lock:
            spec = self._required().spec
            self._flags.put(spec.collection, spec.flags, by=by, action="promoted", reason=reason)
            self._end("promoted", by, reason)

    def status(self) -> tuple[CanaryRow | None, dict[str, SideFigures], int]:
        """The newest canary, what was seen of each side since this process started, and at which count of the canary
        both are compared next. Raises StorageError.
        """
        with self._lock:
            running = self._running
            if running is None:
                return self._store.canaries.newest(), {}, 0
            figures = {str(name): _figures([one for _, one in side.seen]) for name, side in running.sides.items()}
            return replace(running.row, looks=running.looks), figures, running.look_at

    def _end(self, state: str, by: str, reason: str) -> None:
        running = self._required()
        self._store.canaries.end(running.row, state, running.spec.collection, by, reason)
        self._running = None
        log.warning("canary_ended", state=state, reason=reason, principal=by, flags=running.spec.flags)

    def _required(self) -> _Running:
        if self._running is None:
            raise Conflict("No canary is running.", code="no_canary", hint="`canary start` starts one.")
        return self._running

    @staticmethod
    def _resumed(row: CanaryRow) -> _Running | None:
        """One that was running when the process ended; None where this version cannot read it."""
        try:
            spec = msgspec.json.decode(row.spec, type=Spec)
        except msgspec.MsgspecError as error:
            log.error("canary_unusable", detail=str(error))
            return None
        return _Running(row, spec, row.looks, spec.limits.questions)


def _sides(stable: Choice, spec: Spec) -> tuple[Choice, Choice]:
    """What both sides are answered under; a canary that a later version cannot read is as the stable side."""

    try:
        canary = chosen(changed(stable.flags, spec.flags))
    except ApplianceError as error:
        log.error("canary_unusable", detail=str(error))
        canary = stable
    return replace(stable, variant="stable"), replace(canary, variant="canary")


def _point(query: Query, number: int) -> int:
    """Where caller and question fall, evenly in [0, 2^64); another canary shuffles them anew."""
    asked = f"{number}\n{query.principal}\n{' '.join(query.text.split()).casefold()}"
    return int.from_bytes(hashlib.blake2b(asked.encode("utf-8", "replace"), digest_size=8).digest())


def _figures(seen: Sequence[Seen]) -> SideFigures:
    p95 = percentile([one.seconds for one in seen if not one.failed])
    counts = (len(seen), sum(one.failed for one in seen), sum(one.declined for one in seen))
    return SideFigures(*counts, round(p95 * 1000, 3))
