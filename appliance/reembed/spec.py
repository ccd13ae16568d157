"""What a change of model is asked to be, and how it is seen from outside."""

import json
from dataclasses import dataclass
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from appliance.errors import InvalidRequest
from appliance.store import ChangeRow

MOST_QUESTIONS = 2_000


class AskedQuestion(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A question of the operator's own; with `source` (or the end of it) or `document` (its id), what must be found."""

    question: Annotated[str, Meta(min_length=1, max_length=4000)]
    source: str | None = None
    document: int | None = None

    @property
    def judged(self) -> bool:
        return self.source is not None or self.document is not None


class ChangeSpec(msgspec.Struct, frozen=True):
    """`tolerance`: how much recall@10 and MRR@10 may fall beyond chance.

    `min_overlap`: least share of the first ten hits in common for questions of which no answer is known. `previous`:
    fingerprint of the model that serves when it is asked for.
    """

    questions: tuple[AskedQuestion, ...] = ()
    tolerance: float = 0.03
    min_overlap: float = 0.5
    force: bool = False
    rollback: bool = False
    previous: str = ""


@dataclass(frozen=True, slots=True)
class ChangeStatus:
    """`done` and `total` count chunks, times are seconds; `report` is the comparison (gate.Report) as plain values."""

    id: str
    collection: str
    model: str
    previous_model: str
    state: str
    step: str
    done: int
    total: int
    progress: float
    chunks_per_s: float | None
    eta_s: float | None
    truncated: int
    forced: bool
    rollback: bool
    report: dict[str, Any] | None
    code: str | None
    error: str | None
    hint: str | None
    created_at: float
    finished_at: float | None


def check_spec(spec: ChangeSpec) -> None:
    """Raises InvalidRequest."""
    if len(spec.questions) > MOST_QUESTIONS:
        raise InvalidRequest(
            f"There are {len(spec.questions)} questions; the limit is {MOST_QUESTIONS}.",
            hint="Take a sample of them.",
        )
    for name, value in (("tolerance", spec.tolerance), ("min_overlap", spec.min_overlap)):
        if not 0 <= value <= 1:
            raise InvalidRequest(f"{name} is {value}; it must be from 0 to 1.")


def status_of(row: ChangeRow, done: int, total: int, rate: float | None) -> ChangeStatus:
    """`rate` is chunks a second of a change that is being worked on."""
    spec = msgspec.json.decode(row.spec, type=ChangeSpec)
    finished = row.state == "SUCCESS"
    return ChangeStatus(
        id=row.id,
        collection=row.collection,
        model=row.model,
        previous_model=row.previous_model,
        state=row.state,
        step=row.step,
        done=total if finished else done,
        total=total,
        progress=1.0 if finished else min(0.999, done / total if total else 0.0),
        chunks_per_s=rate,
        eta_s=(total - done) / rate if rate else None,
        truncated=row.truncated,
        forced=spec.force,
        rollback=spec.rollback,
        report=None if row.report is None else json.loads(row.report),
        code=row.code,
        error=row.message,
        hint=row.hint,
        created_at=row.created_at,
        finished_at=row.finished_at,
    )
