"""A request to a route: what it answers with, and what must not be in the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.web.conftest import Service


@dataclass(frozen=True)
class Scenario:
    name: str
    method: str
    path: str
    status: int
    role: str | None = "admin"
    json: Any = None
    content: bytes | None = None
    headers: dict[str, str] = field(default_factory=dict)
    expected: tuple[str, ...] = ()
    not_expected: tuple[str, ...] = ("Traceback", 'File \\"', "sqlite", "apsw", "local_")


def check(corpus: Service, scenarios: Sequence[Scenario], subtests: pytest.Subtests) -> None:
    """Send each and look at what it answers."""
    for scenario in scenarios:
        with subtests.test(scenario.name), corpus.client(scenario.role) as client:
            response = send(client, scenario)
            shown = f"{response.status_code} {response.text[:600]}"
            assert response.status_code == scenario.status, shown
            assert response.headers["x-query-id"]
            assert response.headers["x-content-type-options"] == "nosniff"
            for text in scenario.expected:
                assert text in response.text, shown
            for text in scenario.not_expected:
                assert text not in response.text, shown
            for key in corpus.keys.values():
                assert key not in response.text


def send(client: httpx.Client, scenario: Scenario) -> httpx.Response:
    more: dict[str, Any] = {"content": scenario.content} if scenario.content is not None else {}
    if scenario.json is not None:
        more["json"] = scenario.json
    headers = [(name.encode(), value.encode("utf-8")) for name, value in scenario.headers.items()]
    return client.request(scenario.method, scenario.path, headers=headers, **more)
