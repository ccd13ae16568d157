"""/admin/calibrations: who may, what is refused, and a calibration from beginning to end."""

import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.erasure.conftest import unique_text
from tests.web.conftest import Service

PATH = "/admin/calibrations"


@pytest.fixture
def service(open_service: Callable[..., Service]) -> Service:
    return open_service()


def ended(service: Service, begun: dict[str, Any]) -> dict[str, Any]:
    with service.client() as client:
        until = time.monotonic() + 60
        while (status := client.get(begun["status_url"]).json())["state"] not in ("SUCCESS", "FAILURE"):
            assert time.monotonic() < until, status
            time.sleep(0.02)
    return dict(status)


@pytest.mark.slow
def test_from_beginning_to_end(service: Service) -> None:
    for number in range(20):  # three passages each, enough for 50 questions
        service.add(f"{number}.txt", unique_text(str(number), sentences=60))
    with service.client() as client:
        begun = client.post(PATH, json={"made": 60, "max_wrong": 0.1})
        assert begun.status_code == 202, begun.text
        status = ended(service, begun.json())
        assert status["state"] == "SUCCESS", status
        assert status["report"]["uncovered"] >= 45
        [row] = client.get(PATH).json()["collections"]
        assert (row["collection"], row["calibrated"], row["stale"]) == ("default", True, False)
        assert row["abstain_below"] == status["report"]["abstain_below"]
        assert client.delete(f"{PATH}/default").json() == {"collection": "default", "removed": True}
        assert client.get(PATH).json()["collections"][0]["calibrated"] is False


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"max_wrong": 0}, 400),
        ({"confidence": 1}, 400),
        ({"made": 0}, 400),
        ({"questions": [{"question": ""}]}, 400),
        ({"questions": [{"asked": "x"}]}, 400),
        ({"collection": "nowhere"}, 404),
    ],
)
def test_what_is_refused(empty: Service, body: dict[str, Any], status: int) -> None:
    with empty.client() as client:
        answer = client.post(PATH, json=body)
    assert answer.status_code == status, answer.text
    assert answer.json()["code"]


def test_too_few_questions_are_told(service: Service) -> None:
    with service.client() as client:
        begun = client.post(PATH, json={"questions": [{"question": "Where is it?", "answerable": False}]}).json()
        status = ended(service, begun)
    assert (status["state"], status["code"]) == ("FAILURE", "too_few_questions")
    assert "45 can" in status["error"]
