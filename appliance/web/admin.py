"""/admin: keys, the database and vector indexes; for admins alone."""

from typing import Annotated, Any

import msgspec
from litestar import Request, delete, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, reply
from appliance.web.rooms import rooms


class NewKey(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A name for people and what the key may do."""

    name: Annotated[str, Meta(min_length=1, max_length=100)]
    role: Role = Role.READER


class MadeKey(msgspec.Struct, frozen=True):
    """A new key. `key` is shown this once; only its hash is kept."""

    id: str
    name: str
    role: str
    key: str


class KeyBody(msgspec.Struct, frozen=True):
    """A key without its secret; times in seconds since the epoch."""

    id: str
    name: str
    role: str
    created_at: float
    revoked_at: float | None


class KeysBody(msgspec.Struct, frozen=True):
    """All keys."""

    keys: list[KeyBody]


class RevokedBody(msgspec.Struct, frozen=True):
    """The id of the key that works no more."""

    revoked: str


@get("/admin/keys", opt=endpoint(Role.ADMIN, "admin", returns=KeysBody))
async def list_keys(request: Request[Any, Any, Any]) -> ASGIApp:
    """The keys, never their secrets."""
    web = rooms(request)
    found = await web.desk.run(web.appliance.store.keys.list)
    return reply(KeysBody([KeyBody(k.id, k.name, k.role.value, k.created_at, k.revoked_at) for k in found]))


@post("/admin/keys", status_code=201, opt=endpoint(Role.ADMIN, "admin", body=(NewKey,), returns=MadeKey, status=201))
async def make_key(request: Request[Any, Any, Any]) -> ASGIApp:
    """Make a key. The answer is the only place where it is ever shown."""
    web = rooms(request)
    wanted = await read_json(request, NewKey)
    principal, key = await web.desk.run(lambda: web.appliance.store.keys.create(wanted.name, wanted.role))
    return reply(MadeKey(principal.id, principal.name, principal.role.value, key), 201)


@delete("/admin/keys/{key_id:str}", status_code=200, opt=endpoint(Role.ADMIN, "admin", returns=RevokedBody))
async def revoke_key(request: Request[Any, Any, Any], key_id: FromPath[str]) -> ASGIApp:
    """A key stops working at once."""
    web = rooms(request)
    await web.desk.run(lambda: web.appliance.revoke_key(key_id))
    return reply(RevokedBody(key_id))


class DatabaseCheckedBody(msgspec.Struct, frozen=True):
    """What is inconsistent in the database, one sentence each; empty when all is well."""

    problems: list[str]


@post("/admin/database/verify", status_code=200, opt=endpoint(Role.ADMIN, "admin", returns=DatabaseCheckedBody))
async def verify_database(request: Request[Any, Any, Any]) -> ASGIApp:
    """Compare documents, chunks, keyword index, vectors and sentences with each other; writing waits meanwhile."""
    web = rooms(request)
    return reply(DatabaseCheckedBody(await web.upkeep.run(web.appliance.store.documents.check)))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    list_keys,
    make_key,
    revoke_key,
    verify_database,
)
