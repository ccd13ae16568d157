"""/admin/models: which model files there are, an operator's own ones, and whether every file is what it should be."""

from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.errors import ApplianceError
from appliance.inference.registry import ModelFile
from appliance.types import Role
from appliance.web.endpoint import InvalidField, endpoint, read_json, reply
from appliance.web.rooms import Rooms, rooms

_Path = Annotated[str, Meta(min_length=1, max_length=4096)]


class NewModel(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A GGUF generator, or an ONNX embedder or reranker with its tokenizer.json, on the appliance's host (absolute
    paths). Without `kind` an ONNX file is an embedder.
    """

    path: _Path
    tokenizer: _Path | None = None
    name: str | None = None
    kind: Literal["embedder", "generator", "reranker"] | None = None


class ModelBody(msgspec.Struct, frozen=True):
    """A model file; `kind` is embedder, generator or reranker, `origin` bundled or added."""

    name: str
    kind: str
    format: str
    bytes: int
    sha256: str
    licence: str
    origin: str
    in_use: bool


class ModelsBody(msgspec.Struct, frozen=True):
    """All models."""

    models: list[ModelBody]


class VerifiedBody(msgspec.Struct, frozen=True):
    """How many models were read, and what is wrong with them, one sentence each."""

    models: int
    problems: list[str]


def _body(model: ModelFile, web: Rooms) -> ModelBody:
    settings, collections = web.appliance.settings, web.appliance.collections.all()
    used = {web.appliance.embedders.name_of(collection.embedder) for collection in collections}
    in_use = model.name in {*used, settings.embedder, settings.generator, settings.reranker}
    return ModelBody(
        model.name, model.kind, model.format, model.size, model.sha256, model.licence, model.origin, in_use
    )


@get("/admin/models", opt=endpoint(Role.ADMIN, "admin", returns=ModelsBody))
async def list_models(request: Request[Any, Any, Any]) -> ASGIApp:
    """The models that settings may name."""
    web = rooms(request)
    found = await web.desk.run(lambda: [_body(model, web) for model in web.appliance.registry.list()])
    return reply(ModelsBody(found))


@post(
    "/admin/models", status_code=201, opt=endpoint(Role.ADMIN, "admin", body=(NewModel,), returns=ModelBody, status=201)
)
async def add_model(request: Request[Any, Any, Any]) -> ASGIApp:
    """Take a model file of this host in: copied, opened and tried before it counts."""
    web = rooms(request)
    wanted = await read_json(request, NewModel)
    path = _absolute("path", wanted.path)
    tokenizer = _absolute("tokenizer", wanted.tokenizer) if wanted.tokenizer else None
    added = await web.upkeep.run(
        lambda: _body(web.appliance.registry.add(path, tokenizer, wanted.name, wanted.kind), web)
    )
    return reply(added, 201)


@post("/admin/models/verify", status_code=200, opt=endpoint(Role.ADMIN, "admin", returns=VerifiedBody))
async def verify_models(request: Request[Any, Any, Any]) -> ASGIApp:
    """Read every model file and compare it with its recorded SHA-256."""
    web = rooms(request)

    def verified() -> VerifiedBody:
        models = web.appliance.registry.list()
        problems = []
        for model in models:
            try:
                web.appliance.registry.verify(model.name)
            except ApplianceError as error:
                problems.append(str(error))
        return VerifiedBody(len(models), problems)

    return reply(await web.upkeep.run(verified))


def _absolute(field: str, given: str) -> Path:
    path = Path(given)
    if "\0" in given or not path.is_absolute():
        raise InvalidField(f"`{field}` must be an absolute path on the appliance's host.", field)
    return path


ROUTES: tuple[HTTPRouteHandler, ...] = (list_models, add_model, verify_models)
