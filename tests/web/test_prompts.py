"""Prompts and routes of a running server: switched, shared and rolled back while it answers."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.answer.prompts import BUNDLED
from appliance.inference.scripted import ScriptedGenerator
from appliance.types import GenerationRequest
from tests.answer.test_prompts import GOOD
from tests.web.conftest import QUESTION, Service
from tests.web.test_costs import SAID
from tests.web.test_openai_chat import with_generator
from tests.web.test_query import ask

MINE = GOOD.replace("Be brief.", "Speak like a boiler.")


@pytest.fixture
def generator() -> ScriptedGenerator:
    return ScriptedGenerator(default=SAID)


@pytest.fixture
def generating(open_service: Callable[..., Service], generator: ScriptedGenerator) -> Service:
    return with_generator(open_service, generator)


def metric(client: Any, line: str) -> float:
    for found in client.get("/metrics").text.splitlines():
        if found.startswith(line):
            return float(found.rsplit(" ", 1)[1])
    return 0.0


def test_a_switch_holds_at_once_and_so_does_the_way_back(generating: Service, generator: ScriptedGenerator) -> None:
    told: list[str] = []
    generate = generator.generate

    def listening(request: GenerationRequest, *more: Any) -> Any:
        told.append(request.messages[0]["content"])
        return generate(request, *more)

    generator.generate = listening  # type: ignore[method-assign, assignment]
    with generating.client() as client:
        first = ask(client, mode="generative")
        assert first["prompt_id"].startswith(f"{BUNDLED}@")
        made = client.post("/admin/prompts", json={"name": "mine", "text": MINE})
        assert made.status_code == 201
        assert ask(client, mode="generative")["cache_hit"]
        client.post("/admin/prompts/mine/use").raise_for_status()
        second = ask(client, mode="generative")
        assert second["prompt_id"] == made.json()["id"]
        assert not second["cache_hit"]  # the prompt is part of what a cached answer depends on
        assert "Speak like a boiler." in told[-1]
        assert client.post("/admin/prompts/rollback").json()["shares"] == {BUNDLED: 1.0}
        third = ask(client, mode="generative")
        assert (third["prompt_id"], third["cache_hit"]) == (first["prompt_id"], True)
        assert ask(client, mode="extractive")["prompt_id"] == ""
        shown = client.get("/admin/prompts").json()["prompts"]
        assert [(one["name"], one["share"]) for one in shown] == [(BUNDLED, 1.0), ("mine", 0.0)]
        assert client.get("/admin/prompts/mine").json()["text"] == MINE
    assert (generating.appliance.paths.prompts.stat().st_mode & 0o777) == 0o700


@pytest.mark.slow
def test_shared_questions_are_counted_by_prompt(open_service: Callable[..., Service]) -> None:
    generating = with_generator(open_service, ScriptedGenerator(default=f"{SAID} The moon is made of cheese."))
    with generating.client() as client:
        client.post("/admin/prompts", json={"name": "other", "text": MINE}).raise_for_status()
        shares = {"shares": {BUNDLED: 1, "other": 1}}
        assert client.post("/admin/prompts/split", json=shares).json()["shares"] == {BUNDLED: 0.5, "other": 0.5}
        answers = [ask(client, f"{QUESTION} {number}", mode="generative") for number in range(12)]
        names = {answer["prompt_id"] for answer in answers}
        assert len(names) == 2
        for name in names:
            count = sum(answer["prompt_id"] == name for answer in answers)
            label = f'{{prompt="{name}"'
            asked = f'rag_prompt_questions_total{{prompt="{name}",outcome="generative"}}'
            assert metric(client, asked) >= count
            assert metric(client, f'rag_prompt_claims_total{{prompt="{name}",outcome="dropped"}}') >= count
            assert metric(client, f'rag_prompt_tokens_total{{prompt="{name}",direction="written"}}') >= count
            assert metric(client, f"rag_prompt_seconds_count{label}") >= count


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        ("", {"name": "mine", "text": "no prompt"}, 400, "invalid_prompt"),
        ("", {"name": "../mine", "text": GOOD}, 400, "invalid_prompt"),
        ("", {"name": BUNDLED, "text": GOOD}, 409, "prompt_exists"),
        ("", {"name": "mine"}, 400, "invalid_request"),
        ("/nope/use", {}, 404, "unknown_prompt"),
        ("/rollback", {}, 409, "no_previous_prompts"),
        ("/split", {"shares": {}}, 400, "invalid_request"),
        ("/split", {"shares": {BUNDLED: 0}}, 400, "invalid_split"),
        ("/split", {"shares": {BUNDLED: 1, "nope": 1}}, 404, "unknown_prompt"),
        ("/split", {"shares": {BUNDLED: 1}, "by": "moon"}, 400, "invalid_request"),
    ],
)
def test_refusals(empty: Service, path: str, body: dict[str, Any], status: int, code: str) -> None:
    with empty.client() as client:
        response = client.post(f"/admin/prompts{path}", json=body)
        assert (response.status_code, response.json()["code"]) == (status, code), response.text


ROUTES = [
    {"name": "part numbers", "mode": "extractive", "shape": ["identifier", "keywords"]},
    {"name": "editors ask long", "mode": "generative", "words_from": 8, "role": ["editor"]},
    {"name": "birds", "mode": "generative", "collection": ["birds"]},
]


@pytest.mark.slow
def test_rules_choose_the_mode_and_the_answer_says_which(
    open_service: Callable[..., Service], generator: ScriptedGenerator
) -> None:
    service = with_generator(open_service, generator, routes=ROUTES)
    service.add("birds.txt", "Penguins live in the south of the world.", collection="birds")
    with service.client("reader") as reader, service.client("editor") as editor:
        plain = ask(reader)
        assert (plain["mode"], plain["route"], plain["prompt_id"]) == ("extractive", "", "")
        routed = ask(editor)
        assert (routed["mode"], routed["route"], routed["cache_hit"]) == ("generative", "editors ask long", False)
        assert ask(reader)["cache_hit"]
        assert ask(editor)["cache_hit"]
        assert ask(editor, "boiler pressure gauge")["route"] == "part numbers"
        assert ask(reader, "Where do penguins live, and why?", collection="birds")["route"] == "birds"
        assert ask(editor, mode="extractive")["route"] == ""  # whoever names a mode gets it
        chat = {"model": "rag-appliance", "messages": [{"role": "user", "content": QUESTION}]}
        message = editor.post("/v1/chat/completions", json=chat).json()["choices"][0]["message"]
    assert (message["route"], message["prompt_id"]) == (routed["route"], routed["prompt_id"])
