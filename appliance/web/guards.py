"""Who may call a route: the key in X-API-Key or Authorization: Bearer, and the role the route asks for."""

import ipaddress
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler

from appliance.app import Appliance
from appliance.errors import Forbidden, Unauthenticated
from appliance.types import Principal, Role
from appliance.web.endpoint import Endpoint, Scope

_RANK = {Role.READER: 0, Role.EDITOR: 1, Role.ADMIN: 2}
_LONGEST_KEY = 512  # characters


async def authorize(connection: ASGIConnection[Any, Any, Any, Any], route: BaseRouteHandler) -> None:
    """Litestar guard of every route: sets `scope["principal"]`. A coroutine, so that it costs no thread.

    Raises Unauthenticated, Forbidden. A route that does not say who may call it is for admins.
    """
    scope: Scope = connection.scope
    described: Endpoint | None = route.opt.get("endpoint")
    if scope["method"] == "OPTIONS" or (described is not None and described.role is None):
        return
    if described is not None and described.open_from_loopback and _asked_from_this_host(scope):
        return
    needed = Role.ADMIN if described is None or described.role is None else described.role
    appliance: Appliance = connection.app.state.web.appliance
    principal = appliance.authenticate(key_of(scope))
    scope["principal"] = principal
    if _RANK[principal.role] < _RANK[needed]:
        raise Forbidden(
            f"This needs the role {needed.value}; the key {principal.name!r} has {principal.role.value}.",
            code="role_needed",
            hint=f"Ask an admin for a key with the role {needed.value}.",
        )


def principal_of(scope: Scope) -> Principal:
    """Who was authorised for this request."""
    principal: Principal = scope["principal"]
    return principal


def key_of(scope: Scope) -> str | None:
    """The key of a request, from either header.

    Raises Unauthenticated for anything that cannot be one.
    """
    found: bytes | None = None
    for name, value in scope["headers"]:
        if name == b"x-api-key":
            found = value
            break
        if name == b"authorization" and value[:7].lower() == b"bearer ":
            found = value[7:]
    if found is None:
        return None
    try:
        key = found.strip().decode("ascii")
    except UnicodeDecodeError:
        key = ""
    if not key or len(key) > _LONGEST_KEY:
        raise Unauthenticated("This key is not valid.", code="invalid_key", hint="Keys look like rag_….")
    return key


def _asked_from_this_host(scope: Scope) -> bool:
    """True for a loopback peer that no proxy speaks for."""
    client = scope.get("client")
    forwarded = any(name in {b"x-forwarded-for", b"forwarded"} for name, _ in scope["headers"])
    if not client or forwarded:
        return False
    try:
        return ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
