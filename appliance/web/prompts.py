"""/admin/prompts: the prompts of generated answers, which of them are in use, and the way back."""

from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.handlers import HTTPRouteHandler
from litestar.params import FromPath
from litestar.types import ASGIApp
from msgspec import Meta

from appliance.answer.prompt_files import By, Choice
from appliance.types import Role
from appliance.web.endpoint import endpoint, read_json, reply
from appliance.web.rooms import rooms


class NewPrompt(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """`text` is a whole prompt file: [system], instructions, [user], {passages}, and {question} last."""

    name: str
    text: str


class NewShares(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Weights by the names of prompts; `by` says whether the question or the caller decides which one answers."""

    shares: Annotated[dict[str, float], Meta(min_length=1)]
    by: By = "question"


class PromptBody(msgspec.Struct, frozen=True):
    """A prompt and the share of questions it answers; `id` is what answers and metrics call it."""

    name: str
    id: str
    origin: str
    characters: int
    share: float


class PromptsBody(msgspec.Struct, frozen=True):
    """All prompts. `since` is when this choice was made (seconds since the epoch, 0: never)."""

    prompts: list[PromptBody]
    by: str
    since: float


class PromptTextBody(msgspec.Struct, frozen=True):
    """A prompt as its file holds it; `warning` says what may go wrong with it."""

    name: str
    id: str
    origin: str
    text: str
    warning: str = ""


class ChoiceBody(msgspec.Struct, frozen=True):
    """Shares of the questions by prompt; they add up to 1."""

    shares: dict[str, float]
    by: str


@get("/admin/prompts", opt=endpoint(Role.ADMIN, "admin", returns=PromptsBody))
async def list_prompts(request: Request[Any, Any, Any]) -> ASGIApp:
    """The prompts and their shares."""
    prompts = rooms(request).appliance.prompts
    choice = prompts.choice
    found = [PromptBody(p.name, p.id, p.origin, len(p.text), choice.shares.get(p.name, 0.0)) for p in prompts.all()]
    return reply(PromptsBody(found, choice.by, choice.since))


@get("/admin/prompts/{name:str}", opt=endpoint(Role.ADMIN, "admin", returns=PromptTextBody))
async def show_prompt(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """The text of a prompt."""
    found = rooms(request).appliance.prompts.named(name)
    return reply(PromptTextBody(found.name, found.id, found.origin, found.text))


@post("/admin/prompts", status_code=201, opt=endpoint(
    Role.ADMIN, "admin", body=(NewPrompt,), returns=PromptTextBody, status=201
))  # fmt: skip
async def add_prompt(request: Request[Any, Any, Any]) -> ASGIApp:
    """Keep a prompt of one's own. It answers nobody before `use` or `split`."""
    web = rooms(request)
    wanted = await read_json(request, NewPrompt)
    made, warning = await web.desk.run(lambda: web.appliance.prompts.add(wanted.name, wanted.text))
    return reply(PromptTextBody(made.name, made.id, made.origin, made.text, warning), 201)


@post("/admin/prompts/{name:str}/use", status_code=200, opt=endpoint(Role.ADMIN, "admin", returns=ChoiceBody))
async def use_prompt(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """Answer every question with one prompt from now on."""
    web = rooms(request)
    return _chosen(await web.desk.run(lambda: web.appliance.prompts.split({name: 1.0})))


@post("/admin/prompts/split", status_code=200, opt=endpoint(
    Role.ADMIN, "admin", body=(NewShares,), returns=ChoiceBody
))  # fmt: skip
async def split_prompts(request: Request[Any, Any, Any]) -> ASGIApp:
    """Share the questions among prompts, to compare them; the same question, or caller, always has the same one."""
    web = rooms(request)
    wanted = await read_json(request, NewShares)
    return _chosen(await web.desk.run(lambda: web.appliance.prompts.split(wanted.shares, wanted.by)))


@post("/admin/prompts/rollback", status_code=200, opt=endpoint(Role.ADMIN, "admin", returns=ChoiceBody))
async def roll_back_prompts(request: Request[Any, Any, Any]) -> ASGIApp:
    """Return to the choice before the last `use` or `split`."""
    web = rooms(request)
    return _chosen(await web.desk.run(web.appliance.prompts.roll_back))


def _chosen(choice: Choice) -> ASGIApp:
    return reply(ChoiceBody(dict(choice.shares), choice.by))


ROUTES: tuple[HTTPRouteHandler, ...] = (
    list_prompts,
    show_prompt,
    add_prompt,
    use_prompt,
    split_prompts,
    roll_back_prompts,
)
