"""Readiness: 503 when questions cannot be answered, and only then."""

from collections.abc import Callable

import pytest

from appliance.errors import StorageError
from appliance.telemetry.log import OFTEN
from tests.web.conftest import Service


def test_a_missing_generator_leaves_the_appliance_ready(open_service: Callable[..., Service]) -> None:
    with open_service(generator="absent").client(None) as client:
        response = client.get("/health/ready")
    assert response.status_code == 200
    body = response.json()
    assert body["ready"]
    assert not body["components"]["generator"]["ready"]
    assert "absent" in body["components"]["generator"]["detail"]


def test_a_part_that_questions_need_makes_it_unready(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fails() -> str:
        raise StorageError("the database cannot be read")

    monkeypatch.setattr(service.appliance.collections, "all", fails)
    with service.client(None) as client:
        client.get("/health")
        response = client.get("/health/ready")
    OFTEN.flush()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if '"route":"/health' in line]
    assert response.headers["x-query-id"] in line, "what is well has no line, what is not has one"
    assert response.status_code == 503
    assert not response.json()["ready"]
    assert response.json()["components"]["database"] == {"ready": False, "detail": "the database cannot be read"}
