"""/admin/models/…/use and its kin: who may, what is refused, and a change from beginning to end."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.web.conftest import CORPUS, QUESTION, Service

INT8 = "minilm-l6-v2.int8"
USE = f"/admin/models/{INT8}/use"
JUDGED = {"question": "How often is the boiler serviced?", "source": "heating.txt"}


@pytest.fixture
def service(open_service: Callable[..., Service]) -> Service:
    opened = open_service()
    for source, text in CORPUS.items():
        opened.add(source, text)
    return opened


def finished(service: Service, change: dict[str, Any]) -> dict[str, Any]:
    with service.client() as client:
        until = time.monotonic() + 60
        while (status := client.get(change["status_url"]).json())["finished_at"] is None:
            assert time.monotonic() < until, status
            time.sleep(0.02)
    return dict(status)


def post(service: Service, path: str, body: dict[str, Any], status: int = 202) -> dict[str, Any]:
    with service.client() as client:
        answer = client.post(path, json=body)
    assert answer.status_code == status, answer.text
    return dict(answer.json())


def in_use(service: Service) -> set[str]:
    with service.client() as client:
        return {model["name"] for model in client.get("/admin/models").json()["models"] if model["in_use"]}


@pytest.mark.slow
def test_changed_listed_rolled_back_and_discarded(service: Service) -> None:
    made = post(service, USE, {"questions": [JUDGED, {"question": QUESTION}], "min_overlap": 0, "tolerance": 1})
    assert (made["collection"], made["model"], made["previous_model"]) == ("default", INT8, "hash")
    done = finished(service, made)
    assert (done["state"], done["error"], done["done"], done["progress"]) == ("SUCCESS", None, done["total"], 1.0)
    kinds = {one["kind"]: one for one in done["report"]["comparisons"]}
    assert {"judged", "plain"} <= set(kinds)
    assert (kinds["judged"]["questions"], kinds["judged"]["new"]["recall"]) == (1, 1.0)
    assert set(kinds["judged"]["new"]) == {"recall", "mrr", "p50_ms", "p95_ms"}
    assert INT8 in in_use(service)
    with service.client() as client:
        assert client.get("/admin/models/changes").json() == {"changes": [done]}
    told = post(service, "/query", {"question": QUESTION}, 200)
    assert "twelve months" in told["answer"]
    assert not told["cache_hit"]

    back = finished(service, post(service, "/admin/models/rollback", {}))
    assert (back["state"], back["model"], back["rollback"], back["report"]) == ("SUCCESS", "hash", True, None)
    assert INT8 not in in_use(service)
    assert post(service, "/admin/models/discard", {}, 200)["discarded"]
    assert post(service, "/admin/models/discard", {}, 200) == {"collection": "default", "discarded": None}
    assert post(service, "/admin/models/rollback", {}, 409)["code"] == "nothing_to_roll_back"


@pytest.mark.slow
def test_a_cached_answer_does_not_outlive_the_model(service: Service) -> None:
    asked = {"question": QUESTION}
    post(service, "/query", asked, 200)
    assert post(service, "/query", asked, 200)["cache_hit"]
    assert finished(service, post(service, USE, {"force": True}))["state"] == "SUCCESS"
    assert not post(service, "/query", asked, 200)["cache_hit"]
    assert post(service, "/query", asked, 200)["cache_hit"]


def test_only_an_admin_may(service: Service) -> None:
    for role in ("reader", "editor"):
        with service.client(role) as client:
            answers = [client.post(path, json={}) for path in (USE, "/admin/models/rollback", "/admin/models/discard")]
            answers += [client.get("/admin/models/changes"), client.delete("/admin/models/changes/x")]
        assert {answer.status_code for answer in answers} == {403}
    with service.client() as client:
        assert client.get("/admin/models/changes").json() == {"changes": []}


@pytest.mark.parametrize(
    ("path", "body", "status", "code"),
    [
        (USE, {"tolerance": 2}, 400, "invalid_request"),
        (USE, {"min_overlap": -0.1}, 400, "invalid_request"),
        (USE, {"questions": [{"question": ""}]}, 400, "invalid_request"),
        (USE, {"questions": [{"question": "a", "sources": "b"}]}, 400, "invalid_request"),
        (USE, {"questions": [{"question": "a"}] * 2001}, 400, "invalid_request"),
        (USE, {"previous": "x"}, 400, "invalid_request"),
        (USE, {"collection": "nope"}, 404, "unknown_collection"),
        ("/admin/models/nope/use", {}, 404, "unknown_model"),
        ("/admin/models/..%2Fetc/use", {}, 404, None),
        ("/admin/models/hash/use", {}, 409, "model_in_use"),
        ("/admin/models/rollback", {"collection": "nope"}, 404, "unknown_collection"),
        ("/admin/models/discard", {"collection": "nope"}, 404, "unknown_collection"),
    ],
)
def test_what_is_refused(empty: Service, path: str, body: dict[str, Any], status: int, code: str | None) -> None:
    told = post(empty, path, body, status)
    assert code is None or told["code"] == code
    with empty.client() as client:
        assert client.get("/admin/models/changes").json() == {"changes": []}
        assert client.get("/admin/models/changes/nope").json()["code"] == "unknown_model_change"
        assert client.delete("/admin/models/changes/nope").status_code == 404


@pytest.mark.slow
def test_a_second_change_waits_for_nobody_and_a_cancelled_one_ends(service: Service) -> None:
    with service.appliance.ingestion.paused():  # the switch waits for this
        made = post(service, USE, {"force": True})
        assert post(service, "/admin/models/hash/use", {}, 409)["code"] == "model_in_use"
        assert post(service, USE, {}, 409)["code"] == "model_change_under_way"
        assert post(service, "/admin/models/discard", {}, 409)["code"] == "model_change_under_way"
        with service.client() as client:
            assert client.delete(made["status_url"]).status_code == 200
    done = finished(service, made)
    if done["state"] == "FAILURE":
        assert (done["code"], INT8 in in_use(service)) == ("cancelled", False)
    with service.client() as client:
        assert client.delete(made["status_url"]).json()["code"] == "model_change_finished"
