"""/cache: how the caches of questions do, layer by layer, and emptying them."""

from typing import Any

import msgspec
from litestar import Request, delete, get
from litestar.types import ASGIApp

from appliance.types import Role
from appliance.web.endpoint import endpoint, read_parameters, reply
from appliance.web.rooms import rooms


class LayerBody(msgspec.Struct, frozen=True):
    """Counts of one layer since the start, and what it holds; `bound` is the most bytes it may hold."""

    layer: str
    hits: int
    misses: int
    evictions: int
    entries: int
    bytes: int
    bound: int


class CacheBody(msgspec.Struct, frozen=True):
    """The answer cache as a whole: counts since the start (hits, misses, errors) and what is kept (entries, bytes).

    Then each layer: `answers` is that whole, `memory` and `disk` are its two, `retrieval` has what searches found,
    `embedding` the vectors of questions.
    """

    hits: int
    misses: int
    entries: int
    bytes: int
    errors: int
    layers: list[LayerBody]


class PurgeParameters(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`tag`: collection:NAME (or just NAME), document:ID, prompt:ID or model:NAME; without it everything goes."""

    tag: str | None = None


class PurgedBody(msgspec.Struct, frozen=True):
    """How many answers were removed, and how many entries of each layer."""

    removed: int
    layers: dict[str, int]


@get("/cache/stats", opt=endpoint(Role.ADMIN, "state", returns=CacheBody))
async def cache_stats(request: Request[Any, Any, Any]) -> ASGIApp:
    """Hits, misses, evictions and size of every layer."""
    web = rooms(request)
    found = await web.desk.run(web.appliance.cache.stats)
    whole = found[0]
    layers = [LayerBody(s.layer, s.hits, s.misses, s.evictions, s.entries, s.bytes, s.bound) for s in found]
    return reply(CacheBody(whole.hits, whole.misses, whole.entries, whole.bytes, whole.errors, layers))


@delete("/cache", status_code=200, opt=endpoint(Role.ADMIN, "state", parameters=PurgeParameters, returns=PurgedBody))
async def purge_cache(request: Request[Any, Any, Any]) -> ASGIApp:
    """Forget what is kept: all of it, or what stands on a collection, a document, a prompt or a model (`tag`)."""
    web = rooms(request)
    tag = read_parameters(request, PurgeParameters).tag
    gone = await web.desk.run(lambda: web.appliance.cache.clear(tag))
    return reply(PurgedBody(gone["answers"], gone))
