"""One error shape: problem+json of RFC 9457 with code, hint and query id, on every route and for every cause."""

import re
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from appliance.web.application import create_app
from appliance.web.endpoint import Endpoint
from appliance.web.openapi import endpoints
from tests.web.conftest import Service
from tests.web.test_openai_errors import refused

FIELDS = {"type", "title", "status", "detail", "code", "hint", "query_id"}
RANK = ["reader", "editor", "admin"]


def assert_problem(response: httpx.Response, status: int) -> dict[str, Any]:
    if response.url.path.startswith("/v1/"):
        return refused(response, status)
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert response.headers["cache-control"] == "no-store"
    document: dict[str, Any] = response.json()
    assert set(document) - {"errors"} == FIELDS
    assert document["status"] == status
    assert document["query_id"] == response.headers["x-query-id"]
    assert document["code"].replace("_", "").isalnum()
    assert document["detail"]
    for error in document.get("errors", []):
        assert set(error) == {"field", "message"}
    return document


def routes(service: Service) -> list[tuple[str, str, Endpoint]]:
    return [(method, path, described) for path, method, _, described in endpoints(create_app(service.appliance))]


def filled(path: str) -> str:
    """With something in place of each parameter."""
    return re.sub(r"\{\w+:(\w+)\}", lambda found: "1" if found[1] == "int" else "x", path)


def test_there_are_routes(service: Service) -> None:
    assert len(routes(service)) > 25


@pytest.mark.slow
def test_every_route_without_a_key(service: Service, subtests: pytest.Subtests) -> None:
    with service.client(None) as client:
        for method, path, described in routes(service):
            with subtests.test(f"{method} {path}"):
                response = client.request(method, filled(path), headers={"X-Forwarded-For": "10.1.1.1"})
                if described.role is None:
                    assert response.status_code not in {401, 403}
                else:
                    assert_problem(response, 401)
                    assert response.headers["www-authenticate"].startswith("Bearer")


@pytest.mark.slow
def test_every_route_with_too_small_a_role(service: Service, subtests: pytest.Subtests) -> None:
    for method, path, described in routes(service):
        for role in RANK[: RANK.index(described.role.value)] if described.role else []:
            with subtests.test(f"{method} {path} as {role}"), service.client(role) as client:
                assert_problem(client.request(method, filled(path)), 403)


def test_every_route_with_a_wrong_method(service: Service, subtests: pytest.Subtests) -> None:
    with service.client() as client:
        for _, path, _ in routes(service):
            with subtests.test(path):
                assert_problem(client.request("PATCH", filled(path)), 405)


@pytest.mark.slow
def test_every_json_route_with_what_it_does_not_take(service: Service, subtests: pytest.Subtests) -> None:
    with service.client() as client:
        for method, path, described in routes(service):
            if not described.body:
                continue
            target = filled(path)
            cases = {
                415: {"content": b"{}", "headers": {"Content-Type": "text/xml"}},
                400: {"json": {"surely_unknown": 1}},
                413: {"content": b" " * 33 * 1024**2 + b"{}", "headers": {"Content-Type": "application/json"}},
            }
            for status, content in cases.items():
                with subtests.test(f"{method} {path} {status}"):
                    assert_problem(client.request(method, target, **content), status)  # type: ignore[arg-type]


@pytest.mark.slow
def test_every_route_with_parameters_refuses_unknown_ones(service: Service, subtests: pytest.Subtests) -> None:
    with service.client() as client:
        for method, path, described in routes(service):
            if described.parameters is not None:
                with subtests.test(path):
                    document = assert_problem(client.request(method, filled(path) + "?surely_unknown=1"), 400)
                    assert document["errors"][0]["field"] == "surely_unknown"


def test_unknown_route_and_method(service: Service) -> None:
    with service.client(None) as client:
        assert_problem(client.get("/no/such/route"), 404)
        assert client.put("/query").headers["allow"]


def test_an_unforeseen_error_shows_nothing_of_itself(
    service: Service, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken() -> None:
        raise RuntimeError("secret detail /home/someone")

    monkeypatch.setattr(service.appliance, "collections", broken)
    with service.client() as client:
        response = client.get("/collections")
    document = assert_problem(response, 500)
    assert document["code"] == "internal_error"
    assert "secret" not in response.text
    shown = capsys.readouterr()
    assert document["query_id"] in shown.err + shown.out


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "localhost.evil.example", "", "127.0.0.1.evil.example"]
)
def test_foreign_host_names_are_refused(empty: Service, host: str) -> None:
    with empty.client() as client:
        assert client.get("/documents", headers={"Host": host}).status_code in {400, 421}


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8000", "127.0.0.1:1", "[::1]:8000", "192.168.1.5:8000"])
def test_own_names_are_served(empty: Service, host: str) -> None:
    with empty.client() as client:
        assert client.get("/documents", headers={"Host": host}).status_code == 200


def test_allowed_hosts_are_served(open_service: Callable[..., Service]) -> None:
    with open_service(allowed_hosts=["RAG.example.org"]).client() as client:
        for host in ("rag.example.org", "Rag.Example.org:8443"):
            assert client.get("/documents", headers={"Host": host}).status_code == 200
            same = {"Host": host, "Origin": f"https://{host}"}
            assert client.get("/documents", headers=same).status_code == 200
        for host in ("example.org", "x.rag.example.org"):
            assert client.get("/documents", headers={"Host": host}).status_code == 421


def test_foreign_host_gets_the_same_shape(service: Service) -> None:
    with service.client(None) as client:
        assert assert_problem(client.get("/health", headers={"Host": "evil.example"}), 421)["code"] == "foreign_host"


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": "http://127.0.0.1:1", "Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_are_refused(open_service: Any, headers: dict[str, str]) -> None:
    service = open_service(auth="off")
    with service.client(None) as client:
        form = {"files": {"file": ("a.txt", b"planted")}, "headers": headers}
        assert_problem(client.post("/ingest", **form), 403)
        assert client.get("/tasks").json() == {"tasks": []}


def test_a_link_from_elsewhere_opens_the_page(service: Service) -> None:
    with service.client(None) as client:
        assert (
            client.get("/", headers={"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"}).status_code == 200
        )
