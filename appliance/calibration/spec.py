"""What is asked of a calibration, and what it tells."""

from dataclasses import dataclass
from typing import Any

import msgspec

from appliance.errors import InvalidRequest
from appliance.reembed import AskedQuestion

MOST_QUESTIONS = 2_000


class CalibrationQuestion(AskedQuestion, forbid_unknown_fields=True, frozen=True):
    """A question of the operator's own, as for a change of model.

    Not `answerable`: the documents do not cover it. With `source` (or the end of it) or `document` (its id) it also
    serves as one that they do not cover, by leaving that document out.
    """

    answerable: bool = True


class CalibrationSpec(msgspec.Struct, frozen=True):
    """`max_wrong`: share of the questions that the documents do not cover which may be answered all the same.

    `confidence`: how sure that is, given how many questions there were. `made`: questions made from the documents,
    where the operator gives none. `min_answered`: share of the covered questions that must still be answered; a
    threshold that declines more is told and not put to use.
    """

    questions: tuple[CalibrationQuestion, ...] = ()
    max_wrong: float = 0.05
    confidence: float = 0.9
    made: int = 300
    min_answered: float = 0.75
    apply: bool = True


def check_spec(spec: CalibrationSpec) -> None:
    """Raises InvalidRequest."""
    if not 0 < spec.max_wrong < 1 or not 0 < spec.confidence < 1:
        raise InvalidRequest("max_wrong and confidence are shares between 0 and 1, such as 0.05 and 0.9.")
    if not 0 <= spec.min_answered <= 1:
        raise InvalidRequest("min_answered is a share from 0 to 1, such as 0.75.")
    if len(spec.questions) > MOST_QUESTIONS or not 1 <= spec.made <= MOST_QUESTIONS:
        raise InvalidRequest(f"A calibration takes 1 to {MOST_QUESTIONS} questions.", hint="A few hundred are enough.")


@dataclass(frozen=True, slots=True)
class CalibrationStatus:
    """A calibration as seen from outside: `state` PENDING, PROGRESS, SUCCESS or FAILURE; `report` at the end."""

    id: str
    collection: str
    state: str
    step: str
    done: int
    total: int
    report: dict[str, Any] | None = None
    code: str | None = None
    error: str | None = None
    hint: str | None = None
