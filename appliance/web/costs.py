"""GET /costs: tokens, compute and energy by principal and day; and the counting of what the cache saves."""

from dataclasses import asdict, astuple
from typing import Annotated, Any

import msgspec
from litestar import Request, get
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.accounting import WRITE_EVERY_S, first_day, watt_hours
from appliance.app import Appliance
from appliance.errors import Forbidden
from appliance.store import Sums
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_parameters, reply
from appliance.web.guards import principal_of
from appliance.web.rooms import rooms
from appliance.web.wire import UsageBody

FORMULA = (
    "compute_s = CPU seconds of the request's own thread (time x threads for a batch to embed) + threads x its share "
    "of the generator's time (of each second, every one of m requests at once pays 1/m); "
    "watt_hours = compute_s x watts_per_core / 3600"
)


class CostsParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """The last `days`, today included. `principal` is the id of a key; without it an admin sees all."""

    days: Annotated[int, Meta(ge=1, le=3660)] = 30
    principal: str | None = None


class SumsBody(msgspec.Struct, frozen=True):
    """Requests by kind, tokens in and out, estimated core-seconds and watt-hours, and what was saved."""

    questions: int
    cached: int
    searches: int
    completions: int
    embeddings: int
    prompt_tokens: int
    completion_tokens: int
    embedded_tokens: int
    compute_s: float
    cache_saved_tokens: int
    cache_saved_s: float
    compression_saved_tokens: int
    watt_hours: float
    cache_saved_watt_hours: float


class DayBody(msgspec.Struct, frozen=True):
    """What one principal took on one day (UTC)."""

    day: str
    principal: str
    name: str
    sums: SumsBody


class CostsBody(msgspec.Struct, frozen=True):
    """Days, latest first, and their total. `per_request` divides core-seconds and watt-hours by all requests."""

    days: list[DayBody]
    total: SumsBody
    per_request: dict[str, float]
    watts_per_core: float
    threads: int
    formula: str
    kept_days: int
    written_every_s: float


class _Kept(msgspec.Struct):
    usage: UsageBody


@get("/costs", opt=endpoint(Role.READER, "state", parameters=CostsParameters, returns=CostsBody))
async def show_costs(request: Request[Any, Any, Any]) -> ASGIApp:
    """Tokens, compute and energy by principal and day: an admin sees everyone's, others their own.

    Ingestion is not part of it. Seconds and watt-hours are estimates; `formula` says how they are made.
    """
    web = rooms(request)
    asked = read_parameters(request, CostsParameters)
    who = principal_of(request.scope)
    if who.role is not Role.ADMIN and asked.principal not in (None, who.id):
        raise Forbidden(
            "Only an admin may see what others take.", code="role_needed", hint="Leave `principal` out to see your own."
        )
    principal = asked.principal if who.role is Role.ADMIN else who.id
    return reply(await web.desk.run(lambda: _costs(web.appliance, asked.days, principal)))


def count_cached(request: Request[Any, Any, Any], stored: bytes) -> None:
    """An answer came from the cache: `stored` is an encoded AnswerCore, whose usage was not needed again."""
    usage = msgspec.json.decode(stored, type=_Kept).usage
    amounts = {
        "questions": 1,
        "cached": 1,
        "cache_saved_tokens": usage.prompt_tokens + usage.completion_tokens,
        "cache_saved_s": usage.compute_s,
    }
    rooms(request).appliance.accounts.add(principal_of(request.scope).id, amounts)


def _costs(appliance: Appliance, days: int, principal: str | None) -> CostsBody:
    settings = appliance.settings
    appliance.accounts.write()
    found = appliance.store.costs.since(first_day(days), principal)
    whole = Sums(*map(sum, zip(*(astuple(day.sums) for day in found), strict=True)))
    requests = max(1, whole.questions + whole.searches + whole.completions + whole.embeddings)
    spent = _body(whole, settings.watts_per_core)
    return CostsBody(
        days=[DayBody(day.day, day.principal, day.name, _body(day.sums, settings.watts_per_core)) for day in found],
        total=spent,
        per_request={"compute_s": spent.compute_s / requests, "watt_hours": spent.watt_hours / requests},
        watts_per_core=settings.watts_per_core,
        threads=settings.threads,
        formula=FORMULA,
        kept_days=settings.costs_days,
        written_every_s=WRITE_EVERY_S,
    )


def _body(sums: Sums, watts: float) -> SumsBody:
    energy = (watt_hours(sums.compute_s, watts), watt_hours(sums.cache_saved_s, watts))
    return SumsBody(**asdict(sums), watt_hours=energy[0], cache_saved_watt_hours=energy[1])
