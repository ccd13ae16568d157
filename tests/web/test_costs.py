"""What requests took: counted by key and day, also from the cache, and written beside the questions."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from appliance import accounting
from appliance.inference.scripted import ScriptedGenerator
from appliance.types import GenerationRequest
from tests.web.conftest import CORPUS, QUESTION, Service
from tests.web.test_openai_chat import with_generator
from tests.web.test_query import ask

SAID = "The boiler must be serviced every twelve months by a licensed engineer."


def costs(service: Service, role: str = "admin", **parameters: Any) -> dict[str, Any]:
    with service.client(role) as client:
        response = client.get("/costs", params=parameters)
    assert response.status_code == 200, response.text
    found: dict[str, Any] = response.json()
    return found


@pytest.mark.slow
def test_every_kind_of_request_is_counted_for_its_key(open_service: Callable[..., Service]) -> None:
    service = with_generator(open_service, ScriptedGenerator(default=SAID), watts_per_core=36.0, prompt_tokens=16)
    with service.client("reader") as client:
        first = ask(client, mode="generative")
        for _ in range(2):
            assert ask(client, mode="generative")["cache_hit"]
        client.post("/search", json={"question": QUESTION}).raise_for_status()
        chat = {"model": "scripted", "messages": [{"role": "user", "content": "one two three"}]}
        alone = client.post("/v1/chat/completions", json=chat).json()["usage"]
        vectors = client.post("/v1/embeddings", json={"model": "hash", "input": ["one two", "three"]}).json()["usage"]
    found = costs(service)
    reader = next(day for day in found["days"] if day["name"] == "reader")["sums"]
    kinds = ("questions", "cached", "searches", "completions", "embeddings")
    assert [reader[kind] for kind in kinds] == [3, 2, 1, 1, 1]
    usage = first["usage"]
    assert reader["prompt_tokens"] == usage["prompt_tokens"] + alone["prompt_tokens"] > 3
    assert reader["completion_tokens"] == usage["completion_tokens"] + alone["completion_tokens"]
    assert reader["embedded_tokens"] == vectors["total_tokens"] == 3
    assert reader["cache_saved_tokens"] == 2 * (usage["prompt_tokens"] + usage["completion_tokens"])
    assert reader["cache_saved_s"] == pytest.approx(2 * usage["compute_s"])
    assert reader["compression_saved_tokens"] == usage["compression_saved_tokens"] > 0
    assert reader["compute_s"] > usage["compute_s"] > 0
    assert usage["watt_hours"] == pytest.approx(usage["compute_s"] * 36 / 3600, rel=1e-3, abs=1e-9)
    assert reader["watt_hours"] == pytest.approx(reader["compute_s"] / 100)


@pytest.mark.slow
def test_a_reader_sees_itself_and_an_admin_everyone(corpus: Service) -> None:
    for role in ("reader", "editor"):
        with corpus.client(role) as client:
            ask(client)
    names = {day["name"] for day in costs(corpus)["days"]}
    assert {"reader", "editor"} <= names
    own = costs(corpus, "reader")["days"]
    assert [day["name"] for day in own] == ["reader"]
    other = next(day for day in costs(corpus)["days"] if day["name"] == "editor")["principal"]
    with corpus.client("reader") as client:
        assert client.get("/costs", params={"principal": other}).status_code == 403
    assert [day["name"] for day in costs(corpus, principal=other)["days"]] == ["editor"]
    assert costs(corpus, principal="nobody")["days"] == []


@pytest.mark.slow
def test_a_failed_question_still_costs(corpus: Service) -> None:
    with corpus.client("reader") as client:
        assert client.post("/query", json={"question": "a", "collection": "nope"}).status_code == 404
    sums = costs(corpus, "reader")["total"]
    assert sums["questions"] == 0
    assert sums["compute_s"] > 0


@pytest.mark.slow
def test_the_sums_are_written_beside_the_questions_and_at_the_end(
    open_service: Callable[..., Service], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounting, "WRITE_EVERY_S", 3600.0)
    service = open_service(generator="none")
    service.add("a.txt", CORPUS["notes/heating.txt"])
    store = service.appliance.store
    with service.client("reader") as client:
        for _ in range(20):
            ask(client)
    assert store.costs.since("2000-01-01") == []
    service.appliance.accounts.close()
    (day,) = store.costs.since("2000-01-01")
    assert (day.sums.questions, day.sums.cached) == (20, 19)


def test_days_beyond_the_setting_are_forgotten(open_service: Callable[..., Service]) -> None:
    service = open_service(costs_days=3)
    store = service.appliance.store
    days = [accounting.first_day(back) for back in (1, 2, 3, 4, 5)]
    for day in days:
        store.costs.add({(day, "local"): {"questions": 1}}, keep_from="2000-01-01")
    assert [found["day"] for found in costs(service)["days"]] == days
    service.appliance.accounts.add("local", {"searches": 1})
    assert [found["day"] for found in costs(service)["days"]] == days[:3]


@pytest.mark.slow
def test_requests_at_once_share_the_generators_time() -> None:
    from concurrent.futures import ThreadPoolExecutor
    from threading import Event

    from appliance.inference import Metered, SharedTime

    shared, never = SharedTime(), Event()
    generator = ScriptedGenerator(default="a b c d e f g h", token_delay_s=0.02)
    lent = [Metered(generator, shared) for _ in range(4)]
    request = GenerationRequest([{"role": "user", "content": "go"}], 8, time.monotonic() + 60)
    began = time.monotonic()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda one: one.generate(request, never), lent))
    busy = time.monotonic() - began
    total = sum(one.seconds for one in lent)
    assert 0.5 * busy < total <= busy
    assert [one.completion_tokens for one in lent] == [8] * 4
