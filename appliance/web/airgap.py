"""/admin/airgap: what keeps this process from the network, tried, and what it has open."""

from typing import Any

import msgspec
from litestar import Request, get
from litestar.types import ASGIApp

from appliance import airgap
from appliance.types import Role
from appliance.web.endpoint import endpoint, reply
from appliance.web.rooms import rooms


class AttemptBody(msgspec.Struct, frozen=True):
    """One way out that was tried; `outcome` names the kernel's error, or says that it was not refused."""

    way: str
    refused: bool
    outcome: str


class ConnectionBody(msgspec.Struct, frozen=True):
    """An IP socket of the server. `kind`: listens, caller here, caller elsewhere, outward."""

    kind: str
    local: str
    remote: str


class AirgapBody(msgspec.Struct, frozen=True):
    """`filters` counts system-call filters in force; with none, nothing is tried. `senders` are loaded packages that
    are known to send usage data."""

    filters: int
    attempts: list[AttemptBody]
    connections: list[ConnectionBody]
    senders: list[str]


@get("/admin/airgap", opt=endpoint(Role.ADMIN, "state", returns=AirgapBody))
async def show_airgap(request: Request[Any, Any, Any]) -> ASGIApp:
    """Try every way out of this process, and list its connections."""
    return reply(await rooms(request).desk.run(_examined))


def _examined() -> AirgapBody:
    return AirgapBody(
        airgap.in_force().filters,
        [AttemptBody(tried.way, tried.refused, tried.outcome) for tried in airgap.attempts()],
        [ConnectionBody(found.kind, found.local, found.remote) for found in airgap.connections()],
        airgap.telemetry_senders(),
    )
