"""/admin/calibrations: fit the evidence below which a collection's questions are declined, see it, remove it."""

from dataclasses import asdict
from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.calibration import CalibrationQuestion, CalibrationSpec, CalibrationStatus
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, reply
from appliance.web.rooms import rooms

QUESTIONS_BODY = 8 * 1024**2  # bytes


class CalibrateRequest(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Which collection, by which questions, to which rate. Without questions, `made` are made from its documents."""

    collection: str = "default"
    questions: list[CalibrationQuestion] = []
    max_wrong: Annotated[float, Meta(gt=0, lt=1, description="Of uncovered questions, the share answered.")] = 0.05
    confidence: Annotated[float, Meta(gt=0, lt=1, description="That the share is not greater.")] = 0.9
    made: Annotated[int, Meta(ge=1, le=2_000)] = 300
    min_answered: Annotated[
        float, Meta(ge=0, le=1, description="Share of covered questions; what answers fewer is not put to use.")
    ] = 0.75
    apply: bool = True


class CalibrationBody(msgspec.Struct, frozen=True):
    """A calibration under way or ended; `done` and `total` count questions. `report` has the threshold and figures."""

    calibration_id: str
    status_url: str
    collection: str
    state: str
    step: str
    done: int
    total: int
    report: dict[str, Any] | None
    code: str | None
    error: str | None
    hint: str | None


class ThresholdBody(msgspec.Struct, frozen=True):
    """`abstain_below` in force; `stale`: one was fitted, but for another model or version, and is not used."""

    collection: str
    abstain_below: float
    calibrated: bool
    stale: bool
    made_at: float | None
    report: dict[str, Any] | None


class ThresholdsBody(msgspec.Struct, frozen=True):
    """The threshold of every collection."""

    collections: list[ThresholdBody]


class RemovedBody(msgspec.Struct, frozen=True):
    """Whether there was a calibration; the setting `abstain_below` is in force now."""

    collection: str
    removed: bool


def _body(status: CalibrationStatus) -> CalibrationBody:
    values = asdict(status)
    number = values.pop("id")
    return CalibrationBody(number, f"/admin/calibrations/{number}", **values)


@post(
    "/admin/calibrations",
    status_code=202,
    opt=endpoint(Role.ADMIN, "admin", body=(CalibrateRequest,), returns=CalibrationBody, status=202),
)
async def calibrate(request: Request[Any, Any, Any]) -> ASGIApp:
    """Fit `abstain_below` of a collection, so that at most a stated share of what it does not cover is answered."""
    web = rooms(request)
    asked = await read_json(request, CalibrateRequest, QUESTIONS_BODY)
    spec = CalibrationSpec(
        *(tuple(asked.questions), asked.max_wrong, asked.confidence, asked.made, asked.min_answered, asked.apply)
    )
    return reply(_body(await web.desk.run(lambda: web.appliance.calibrator.begin(asked.collection, spec))), 202)


@get("/admin/calibrations", opt=endpoint(Role.ADMIN, "admin", returns=ThresholdsBody))
async def thresholds(request: Request[Any, Any, Any]) -> ASGIApp:
    """What is in force for each collection, and the figures it was fitted by."""
    web = rooms(request)
    found = await web.desk.run(web.appliance.calibrator.in_force)
    return reply(ThresholdsBody([ThresholdBody(**row) for row in found]))


@get("/admin/calibrations/{calibration_id:str}", opt=endpoint(Role.ADMIN, "admin", returns=CalibrationBody))
async def show_calibration(request: Request[Any, Any, Any], calibration_id: FromPath[str]) -> ASGIApp:
    """How far a calibration is, and at its end the report."""
    web = rooms(request)
    return reply(_body(await web.desk.run(lambda: web.appliance.calibrator.status(calibration_id))))


@delete(
    "/admin/calibrations/{collection:str}",
    status_code=200,
    opt=endpoint(Role.ADMIN, "admin", returns=RemovedBody),
)
async def remove_calibration(request: Request[Any, Any, Any], collection: FromPath[str]) -> ASGIApp:
    """Go back to the setting `abstain_below` for a collection."""
    web = rooms(request)
    removed = await web.desk.run(lambda: web.appliance.calibrator.remove(collection))
    return reply(RemovedBody(collection, removed))


ROUTES: tuple[HTTPRouteHandler, ...] = (calibrate, thresholds, show_calibration, remove_calibration)
