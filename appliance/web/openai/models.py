"""Which models there are at /v1, and what each does."""

import re
from typing import Any

from litestar import Request, get
from litestar.params import FromPath
from litestar.types import ASGIApp

from appliance.app import Appliance
from appliance.errors import NotFound
from appliance.types import Mode, Role
from appliance.web.endpoint import endpoint, reply
from appliance.web.openai.wire import ModelCard, ModelList
from appliance.web.rooms import Rooms, rooms

AUTO = "rag-appliance"
_QUANTISATION = re.compile(r"[.-](?:i?q\d\w*|b?f16|f32)$", re.IGNORECASE)


def chat_mode(name: str, appliance: Appliance) -> Mode | None:
    """How a model answers a chat: from the documents in a mode, or (None) as the generator alone.

    Raises NotFound.
    """
    known, name = _chat_models(appliance), _whole(name, appliance)
    if name not in known:
        raise unknown_model(name, list(known))
    return known[name]


def embedding_models(appliance: Appliance) -> dict[str, str | None]:
    """The embedding models in use by name, with a collection that each serves; None for that of new collections."""
    used: dict[str, str | None] = {appliance.settings.embedder: None}
    for collection in appliance.collections.all():
        name = appliance.embedders.name_of(collection.embedder)
        if name is not None:
            used[name] = collection.name
    return used


def unknown_model(name: str, known: list[str]) -> NotFound:
    return NotFound(
        f"There is no model {name[:100]!r} here.", code="model_not_found", hint=f"There is {', '.join(known)}."
    )


def _whole(name: str, appliance: Appliance) -> str:
    """The generator may be named without its quantisation."""
    generator = appliance.generator
    short = generator is not None and name == _QUANTISATION.sub("", generator.name)
    return generator.name if generator is not None and short else name


def _chat_models(appliance: Appliance) -> dict[str, Mode | None]:
    found: dict[str, Mode | None] = {AUTO: Mode.AUTO, f"{AUTO}-{Mode.EXTRACTIVE}": Mode.EXTRACTIVE}
    if appliance.generator is not None:
        found |= {f"{AUTO}-{Mode.GENERATIVE}": Mode.GENERATIVE, appliance.generator.name: None}
    return found


def _cards(web: Rooms) -> list[ModelCard]:
    names = [*_chat_models(web.appliance), *embedding_models(web.appliance)]
    return [ModelCard(name, int(web.opened_at)) for name in dict.fromkeys(names)]


@get("/v1/models", opt=endpoint(Role.READER, "openai", returns=ModelList))
async def list_v1_models(request: Request[Any, Any, Any]) -> ASGIApp:
    """The models that a client of the OpenAI API may name: ways to answer, the generator, the embedding models."""
    web = rooms(request)
    return reply(ModelList(await web.desk.run(lambda: _cards(web))))


@get("/v1/models/{model:str}", opt=endpoint(Role.READER, "openai", returns=ModelCard))
async def show_v1_model(request: Request[Any, Any, Any], model: FromPath[str]) -> ASGIApp:
    """One of these models."""
    web = rooms(request)
    cards = await web.desk.run(lambda: _cards(web))
    wanted = _whole(model, web.appliance)
    found = next((card for card in cards if card.id == wanted), None)
    if found is None:
        raise unknown_model(model, [card.id for card in cards])
    return reply(found)
