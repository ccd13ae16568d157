"""/cache: how the answer cache does, and emptying it."""

from typing import Any

import msgspec
from litestar import Request, delete, get
from litestar.types import ASGIApp

from appliance.types import Role
from appliance.web.endpoint import endpoint, read_parameters, reply
from appliance.web.rooms import rooms


class CacheBody(msgspec.Struct, frozen=True):
    """Counts since the start (hits, misses, errors) and what is on disk (entries, bytes)."""

    hits: int
    misses: int
    entries: int
    bytes: int
    errors: int


class PurgeParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`tag` is a collection; without it everything goes."""

    tag: str | None = None


class PurgedBody(msgspec.Struct, frozen=True):
    """How many answers were removed."""

    removed: int


@get("/cache/stats", opt=endpoint(Role.ADMIN, "state", returns=CacheBody))
async def cache_stats(request: Request[Any, Any, Any]) -> ASGIApp:
    """Hits, misses and size of the answer cache."""
    web = rooms(request)
    stats = await web.desk.run(web.appliance.cache.stats)
    return reply(CacheBody(stats.hits, stats.misses, stats.entries, stats.bytes, stats.errors))


@delete("/cache", status_code=200, opt=endpoint(Role.ADMIN, "state", parameters=PurgeParameters, returns=PurgedBody))
async def purge_cache(request: Request[Any, Any, Any]) -> ASGIApp:
    """Forget kept answers, of one collection (`tag`) or all."""
    web = rooms(request)
    tag = read_parameters(request, PurgeParameters).tag
    return reply(PurgedBody(await web.desk.run(lambda: web.appliance.cache.clear(tag))))
