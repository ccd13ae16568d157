"""Canaries on a real server: sides, caches, rollback by itself, promotion, restarts."""

from collections.abc import Callable
from typing import Any

import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.flags.canary import Spec
from appliance.types import Query
from tests.web.conftest import QUESTION, Service

WORDS = "boiler engineer pressure gauge bar system roses February tomatoes sunlight hours day scripts text".split()  # noqa: SIM905


def questions(count: int) -> list[str]:
    pairs = ((WORDS[n % 14], WORDS[n // 14 % 14], n) for n in range(count))
    return [f"What about the {one} and the {other} number {n}?" for one, other, n in pairs]


def start(client: Any, **more: Any) -> Any:
    body = {"share": 0.5, "flags": {"conflicts": False}, "limits": {"questions": 30}} | more
    made = client.post("/admin/canary", json=body)
    assert made.status_code == 201, made.text
    return made.json()


@pytest.mark.slow
def test_a_harmful_one_is_rolled_back_by_itself(corpus: Service) -> None:
    with corpus.client() as client:
        start(client, flags={"abstain_below": 1.0})
        for question in questions(250):
            assert client.post("/query", json={"question": question}).status_code == 200
            state = client.get("/admin/canary").json()
            if state["state"] != "running":
                break
        assert state["state"] == "rolled_back"
        assert "declined" in state["reason"]
        change = client.get("/admin/flags/changes").json()["changes"][0]
        assert (change["action"], change["principal"], change["reason"]) == (
            "canary rolled_back", "system", state["reason"],
        )  # fmt: skip
        answers = [client.post("/query", json={"question": question}).json() for question in questions(20)]
        assert not any(answer["abstained"] for answer in answers)


@pytest.mark.slow
def test_a_harmless_one_stays_and_can_be_promoted(corpus: Service) -> None:
    with corpus.client() as client:
        start(client, flags={"conflicts": False}, limits={"questions": 30, "slower": 5.0}, collection="default")
        for question in questions(150):
            client.post("/query", json={"question": question})
        state = client.get("/admin/canary").json()
        assert state["state"] == "running", state["reason"]
        assert state["looks"] >= 1
        sides = state["sides"]
        assert sides["canary"]["questions"] + sides["stable"]["questions"] == 150
        assert 45 < sides["canary"]["questions"] < 105
        assert client.post("/admin/canary/promote", json={"reason": "as good"}).json()["state"] == "promoted"
        assert client.get("/admin/flags/conflicts?collection=default").json()["source"] == "collection"
        assert client.get("/admin/flags/conflicts").json()["source"] == "setting"
        metrics = client.get("/metrics").text
        assert 'rag_canary_questions_total{variant="canary",outcome="answered"}' in metrics


def sides(appliance: Appliance) -> dict[str, str]:
    """A question on each side."""
    return {appliance.settling.chosen(Query(text, principal="local")).choice.variant: text for text in questions(40)}  # type: ignore[union-attr]


@pytest.mark.slow
def test_answers_of_one_side_are_served_on_the_other_only_under_equal_flags(corpus: Service) -> None:
    keys: Callable[[], set[str | None]] = lambda: {  # noqa: E731
        corpus.appliance.cache_key(Query(QUESTION, principal=str(who))) for who in range(30)
    }
    with corpus.client() as client:
        start(client, flags={"alpha": 0.9})
        assert len(keys()) == 2
        client.delete("/admin/canary")
        start(client, flags={"conflicts": True, "answer_cache": True})
        assert len(keys()) == 1


@pytest.mark.slow
def test_repeats_stay_on_their_side_and_count_once(corpus: Service) -> None:
    with corpus.client() as client:
        start(client, flags={"answer_cache": False, "retrieval_cache": False})
        assert set(sides(corpus.appliance)) == {"stable", "canary"}
        for question in sides(corpus.appliance).values():
            for _ in range(3):
                client.post("/query", json={"question": question})
        found = client.get("/admin/canary").json()["sides"]
        assert [found[name]["questions"] for name in ("stable", "canary")] == [1, 1]


def test_a_restart_goes_on_with_it(tmp_path: Any) -> None:
    arguments = {"data_dir": tmp_path / "data", "embedder": "hash", "generator": "none", "threads": 1}
    with Appliance.open(load_settings(arguments), purpose="tests") as appliance:
        appliance.canary.start(Spec(share=0.5, flags={"alpha": 0.9}), "ada")
        before = {text: appliance.settling.chosen(Query(text)).choice for text in questions(30)}
    with Appliance.open(load_settings(arguments), purpose="tests") as appliance:
        row, _, _ = appliance.canary.status()
        assert row is not None
        assert row.state == "running"
        for text, choice in before.items():
            again = appliance.settling.chosen(Query(text)).choice
            assert again == choice
            assert again is not None
            assert choice is not None
            assert again.variant == choice.variant


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"share": 0.9}, 400, "invalid_request"),
        ({"flags": {}}, 400, "invalid_request"),
        ({"flags": {"colour": 1}}, 404, "unknown_flag"),
        ({"flags": {"alpha": 3}}, 400, "invalid_flag"),
        ({"flags": {"rewrite": "multi"}}, 400, "impossible_flag"),
        ({"collection": "nowhere"}, 404, "unknown_collection"),
    ],
)
def test_mistakes_are_told(service: Service, body: dict[str, Any], status: int, code: str) -> None:
    with service.client() as client:
        refused = client.post("/admin/canary", json={"share": 0.1, "flags": {"alpha": 0.3}} | body)
        assert (refused.status_code, refused.json()["code"]) == (status, code)
        assert client.delete("/admin/canary").json()["code"] == "no_canary"
        start(client)
        assert (
            client.post("/admin/canary", json={"share": 0.1, "flags": {"alpha": 0.3}}).json()["code"]
            == "canary_running"
        )
