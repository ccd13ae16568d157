"""Every route by scenario: what it answers with, and what must not be in the answer."""

from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from tests.web.conftest import CORPUS, QUESTION, Service


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


SCENARIOS = [
    Scenario("health", "GET", "/health", 200, None, expected=('"status":"ok"',)),
    Scenario(
        "ready", "GET", "/health/ready", 200, None, expected=('"ready":true', '"database"', '"embedder"', '"cache"')
    ),
    Scenario(
        "metrics from this host",
        "GET",
        "/metrics",
        200,
        None,
        expected=("rag_http_request_seconds", "process_resident_memory_bytes"),
    ),
    Scenario(
        "metrics through a proxy",
        "GET",
        "/metrics",
        401,
        None,
        headers={"X-Forwarded-For": "10.0.0.9"},
        not_expected=("rag_http",),
    ),
    Scenario(
        "query",
        "POST",
        "/query",
        200,
        "reader",
        {"question": QUESTION},
        expected=('"cache_hit":false', "twelve months", '"abstained":false'),
    ),
    Scenario(
        "search",
        "POST",
        "/search",
        200,
        "reader",
        {"question": "roses pruned", "k": 2},
        expected=("late February", '"dense_rank"', '"lexical_rank"'),
    ),
    Scenario(
        "search, keywords only",
        "POST",
        "/search",
        200,
        "reader",
        {"question": "roses", "alpha": 0},
        expected=("late February",),
    ),
    Scenario(
        "search, filtered",
        "POST",
        "/search",
        200,
        "reader",
        {"question": "boiler", "filters": 'source = "notes/garden.txt"'},
        expected=("notes/garden.txt",),
        not_expected=("licensed engineer",),
    ),
    Scenario(
        "search, filtered by JSON",
        "POST",
        "/search",
        200,
        "reader",
        {"question": "boiler", "filters": {"source": "notes/garden.txt"}},
        expected=("notes/garden.txt",),
        not_expected=("licensed engineer",),
    ),
    Scenario(
        "no question", "POST", "/query", 400, "reader", {}, expected=('"field":"question"', '"code":"invalid_request"')
    ),
    Scenario(
        "empty question", "POST", "/query", 400, "reader", {"question": "  "}, expected=('"code":"empty_question"',)
    ),
    Scenario(
        "long question",
        "POST",
        "/query",
        400,
        "reader",
        {"question": "x" * 5000},
        expected=("4000",),
        not_expected=("xxxx",),
    ),
    Scenario(
        "huge question",
        "POST",
        "/query",
        413,
        "reader",
        {"question": "x" * 2_000_000},
        expected=('"code":"request_too_large"',),
        not_expected=("xxxx",),
    ),
    Scenario("unknown field", "POST", "/query", 400, "reader", {"question": "a", "kk": 1}, expected=('"field":"kk"',)),
    Scenario("wrong type", "POST", "/query", 400, "reader", {"question": "a", "k": "10"}, expected=('"field":"k"',)),
    Scenario(
        "wrong mode",
        "POST",
        "/query",
        400,
        "reader",
        {"question": "a", "mode": "poetic"},
        expected=('"field":"mode"', "Choose one of auto, extractive, generative."),
    ),
    Scenario(
        "k of zero", "POST", "/search", 400, "reader", {"question": "a", "k": 0}, expected=('"code":"invalid_k"',)
    ),
    Scenario(
        "alpha of two",
        "POST",
        "/search",
        400,
        "reader",
        {"question": "a", "alpha": 2},
        expected=('"code":"invalid_alpha"',),
    ),
    Scenario(
        "a budget for nothing",
        "POST",
        "/search",
        400,
        "reader",
        {"question": "a", "compress": 15},
        expected=('"code":"invalid_compress"',),
    ),
    Scenario(
        "unknown way to expand",
        "POST",
        "/search",
        400,
        "reader",
        {"question": "a", "expand": "everything"},
        expected=('"field":"expand"',),
    ),
    Scenario(
        "mode in a search",
        "POST",
        "/search",
        400,
        "reader",
        {"question": "a", "mode": "auto"},
        expected=('"field":"mode"',),
    ),
    Scenario(
        "broken filter",
        "POST",
        "/query",
        400,
        "reader",
        {"question": "a", "filters": "year >"},
        expected=('"code":"invalid_filter"',),
    ),
    Scenario(
        "deep filter",
        "POST",
        "/query",
        400,
        "reader",
        content=b'{"question":"a","filters":' + b'{"not":' * 900 + b'{"a":1}' + b"}" * 901,
        headers={"Content-Type": "application/json"},
    ),
    Scenario("unknown collection", "POST", "/query", 404, "reader", {"question": "a", "collection": "nope"}),
    Scenario(
        "streamed error has its status",
        "POST",
        "/query",
        404,
        "reader",
        {"question": "a", "collection": "nope", "stream": True},
        expected=('"title":"Not Found"',),
    ),
    Scenario("operators and NUL", "POST", "/search", 200, "reader", {"question": 'roses" OR * NEAR( \u0000 AND ('}),
    Scenario(
        "no JSON",
        "POST",
        "/query",
        400,
        "reader",
        content=b"{",
        headers={"Content-Type": "application/json"},
        expected=('"code":"invalid_json"',),
    ),
    Scenario(
        "not an object", "POST", "/query", 400, "reader", content=b"[1]", headers={"Content-Type": "application/json"}
    ),
    Scenario(
        "not UTF-8",
        "POST",
        "/query",
        400,
        "reader",
        content=b'{"question":"\xff\xfe"}',
        headers={"Content-Type": "application/json"},
    ),
    Scenario(
        "lone surrogate",
        "POST",
        "/query",
        400,
        "reader",
        content=b'{"question":"\\ud800"}',
        headers={"Content-Type": "application/json"},
    ),
    Scenario(
        "a form to a JSON route",
        "POST",
        "/query",
        415,
        "reader",
        content=b"question=a",
        headers={"Content-Type": "application/x-www-form-urlencoded"},
    ),
    Scenario(
        "text to a JSON route",
        "POST",
        "/query",
        415,
        "reader",
        content=b'{"question":"a"}',
        headers={"Content-Type": "text/plain"},
    ),
    Scenario("no body", "POST", "/query", 400, "reader", content=b"", headers={"Content-Type": "application/json"}),
    Scenario("no key", "POST", "/query", 401, None, {"question": "a"}, expected=('"code":"key_required"',)),
    Scenario(
        "wrong key",
        "POST",
        "/query",
        401,
        None,
        {"question": "a"},
        headers={"X-API-Key": "rag_wrong"},
        expected=('"code":"invalid_key"',),
        not_expected=("rag_wrong",),
    ),
    Scenario(
        "key that is no text",
        "POST",
        "/query",
        401,
        None,
        {"question": "a"},
        headers={"Authorization": "Bearer \u00e9"},
    ),
    Scenario("endless key", "POST", "/query", 401, None, {"question": "a"}, headers={"X-API-Key": "rag_" + "a" * 5000}),
    Scenario(
        "documents",
        "GET",
        "/documents?limit=2",
        200,
        "reader",
        expected=("notes/heating.txt", '"next":'),
        not_expected=("licensed engineer",),
    ),
    Scenario("documents, bad limit", "GET", "/documents?limit=0", 400, "reader", expected=('"field":"limit"',)),
    Scenario("documents, unknown parameter", "GET", "/documents?page=2", 400, "reader", expected=('"field":"page"',)),
    Scenario(
        "documents, parameter twice", "GET", "/documents?limit=2&limit=3", 400, "reader", expected=("more than once",)
    ),
    Scenario(
        "document", "GET", "/documents/1", 200, "reader", expected=('"sha256"',), not_expected=("licensed engineer",)
    ),
    Scenario("document that is not there", "GET", "/documents/999", 404, "reader"),
    Scenario("document, absurd id", "GET", "/documents/99999999999999999999999", 404, "reader"),
    Scenario("document, negative id", "GET", "/documents/-1", 404, "reader"),
    Scenario("document, id of letters", "GET", "/documents/abc", 404, "reader"),
    Scenario("text", "GET", "/documents/1/text", 200, "reader", expected=("licensed engineer",)),
    Scenario(
        "text, a part",
        "GET",
        "/documents/1/text?start=0&end=7",
        200,
        "reader",
        expected=('"text":"Heating"', '"end":7'),
    ),
    Scenario(
        "text, past the end", "GET", "/documents/1/text?start=100000&end=200000", 200, "reader", expected=('"text":""',)
    ),
    Scenario("delete as reader", "DELETE", "/documents/1", 403, "reader", expected=('"code":"role_needed"',)),
    Scenario("delete what is not there", "DELETE", "/documents/999", 404, "editor"),
    Scenario("collections", "GET", "/collections", 200, "reader", expected=('"name":"default"', '"documents":3')),
    Scenario("drop as editor", "DELETE", "/collections/default", 403, "editor"),
    Scenario("tasks", "GET", "/tasks", 200, "reader", expected=('"state":"SUCCESS"',)),
    Scenario("task that is not there", "GET", "/tasks/nope", 404, "reader"),
    Scenario("dead documents", "GET", "/tasks/dead", 200, "reader", expected=('"documents":[]',)),
    Scenario("cancel what is not there", "DELETE", "/tasks/nope", 404, "editor"),
    Scenario("retry what is not there", "POST", "/tasks/nope/retry", 404, "editor"),
    Scenario("ingest as reader", "POST", "/ingest", 403, "reader", {"text": "a", "source": "b"}),
    Scenario("ingest nothing", "POST", "/ingest", 400, "editor", {}),
    Scenario("ingest both", "POST", "/ingest", 400, "editor", {"text": "a", "source": "b", "directory": "/tmp"}),
    Scenario(
        "ingest text without source", "POST", "/ingest", 400, "editor", {"text": "a"}, expected=('"field":"source"',)
    ),
    Scenario(
        "ingest unknown field",
        "POST",
        "/ingest",
        400,
        "editor",
        {"text": "a", "source": "b", "sinc": True},
        expected=('"field":"sinc"',),
    ),
    Scenario(
        "ingest relative folder",
        "POST",
        "/ingest",
        400,
        "admin",
        {"directory": "docs"},
        expected=('"field":"directory"',),
    ),
    Scenario("ingest missing folder", "POST", "/ingest", 404, "admin", {"directory": "/nowhere/at/all"}),
    Scenario(
        "ingest folder as editor",
        "POST",
        "/ingest",
        403,
        "editor",
        {"directory": "/etc"},
        expected=('"code":"folder_not_allowed"',),
    ),
    Scenario(
        "ingest bad metadata",
        "POST",
        "/ingest",
        400,
        "editor",
        {"text": "a", "source": "b", "metadata": {"a": {"b": 1}}},
        expected=("metadata",),
    ),
    Scenario(
        "ingest bad collection",
        "POST",
        "/ingest",
        400,
        "editor",
        {"text": "a", "source": "b", "collection": "No Such!"},
    ),
    Scenario(
        "ingest as text/plain",
        "POST",
        "/ingest",
        415,
        "editor",
        content=b"hello",
        headers={"Content-Type": "text/plain"},
    ),
    Scenario("cache", "GET", "/cache/stats", 200, expected=('"hits"', '"entries"')),
    Scenario("costs", "GET", "/costs?days=1", 200, "reader", expected=('"formula"', '"watts_per_core":10.0')),
    Scenario("costs of no day", "GET", "/costs?days=0", 400, "reader", expected=('"field":"days"',)),
    Scenario("purge", "DELETE", "/cache?tag=default", 200, expected=('"removed"',)),
    Scenario("purge as editor", "DELETE", "/cache", 403, "editor"),
    Scenario("keys", "GET", "/admin/keys", 200, expected=('"name":"reader"',), not_expected=("rag_", "hash")),
    Scenario("keys as editor", "GET", "/admin/keys", 403, "editor", not_expected=('"created_at"',)),
    Scenario(
        "make a key",
        "POST",
        "/admin/keys",
        201,
        json={"name": "ci", "role": "reader"},
        expected=('"key":"rag_', '"role":"reader"'),
    ),
    Scenario(
        "key of an unknown role",
        "POST",
        "/admin/keys",
        400,
        json={"name": "ci", "role": "root"},
        expected=('"field":"role"',),
    ),
    Scenario("key without a name", "POST", "/admin/keys", 400, json={"name": ""}, expected=('"field":"name"',)),
    Scenario("revoke what is not there", "DELETE", "/admin/keys/nope", 404),
    Scenario("index", "GET", "/admin/index", 200, expected=('"collection":"default"',)),
    Scenario("verify database", "POST", "/admin/database/verify", 200, expected=('"problems":[]',)),
    Scenario("verify index", "POST", "/admin/index/default/verify", 200, expected=('"problems":[]',)),
    Scenario("one index", "GET", "/admin/index/default", 200, expected=('"kind":"exact"', '"generations":[]')),
    Scenario("index of no collection", "GET", "/admin/index/nope", 404, expected=('"code":"unknown_collection"',)),
    Scenario("index as editor", "GET", "/admin/index/default", 403, "editor"),
    Scenario("rebuild index", "POST", "/admin/index/default/rebuild", 202, expected=('"job":"rebuild"',)),
    Scenario("rebuild index as editor", "POST", "/admin/index/default/rebuild", 403, "editor"),
    Scenario("compact no index", "POST", "/admin/index/nope/compact", 404),
    Scenario(
        "roll back to nothing",
        "POST",
        "/admin/index/default/rollback",
        409,
        expected=('"code":"no_previous_generation"', '"hint"'),
    ),
    Scenario("burn index", "POST", "/admin/index/default/burn", 404),
    Scenario("verify unknown index", "POST", "/admin/index/nope/verify", 404),
    Scenario("models", "GET", "/admin/models", 200, expected=('"models":',)),
    Scenario(
        "add a model that is not there",
        "POST",
        "/admin/models",
        503,
        json={"path": "/nowhere/model.gguf"},
        not_expected=("Traceback",),
    ),
    Scenario(
        "add a model by relative path",
        "POST",
        "/admin/models",
        400,
        json={"path": "model.gguf"},
        expected=('"field":"path"',),
    ),
    Scenario("unknown route", "GET", "/nope", 404, None, expected=('"code":"unknown_route"',)),
    Scenario("path tricks", "GET", "/assets/..%2f..%2fserver.py", 404, None, not_expected=("import",)),
    Scenario("unknown asset", "GET", "/assets/nope.js", 404, None),
    Scenario("wrong method", "PUT", "/query", 405, None, expected=('"code":"method_not_allowed"',)),
    Scenario("page", "GET", "/", 200, None, expected=("<title>", "/assets/ask.js")),
    Scenario("API page", "GET", "/docs", 200, None, expected=("/assets/docs.js",)),
    Scenario("OpenAPI", "GET", "/openapi.json", 200, None, expected=('"openapi":"3.1.0"', '"/query"')),
]


def send(client: httpx.Client, scenario: Scenario) -> httpx.Response:
    more: dict[str, Any] = {"content": scenario.content} if scenario.content is not None else {}
    if scenario.json is not None:
        more["json"] = scenario.json
    headers = [(name.encode(), value.encode("utf-8")) for name, value in scenario.headers.items()]
    return client.request(scenario.method, scenario.path, headers=headers, **more)


def test_scenarios(corpus: Service, subtests: pytest.Subtests) -> None:
    for scenario in SCENARIOS:
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


def test_both_key_headers(corpus: Service) -> None:
    with corpus.client(None) as client:
        key = corpus.keys["reader"]
        assert client.get("/documents", headers={"Authorization": f"Bearer {key}"}).status_code == 200
        assert client.get("/documents", headers={"Authorization": f"bearer {key}"}).status_code == 200
        assert client.get("/documents", headers={"X-API-Key": key}).status_code == 200
        assert client.get("/documents", headers={"Authorization": f"Basic {key}"}).status_code == 401


def test_revoked_key_stops_at_once(service: Service) -> None:
    with service.client() as admin:
        made = admin.post("/admin/keys", json={"name": "short-lived", "role": "reader"}).json()
        with service.client(None, headers={"X-API-Key": made["key"]}) as client:
            assert client.get("/documents").status_code == 200
            assert admin.delete(f"/admin/keys/{made['id']}").json() == {"revoked": made["id"]}
            assert client.get("/documents").status_code == 401


def test_delete_takes_effect_at_once(corpus: Service) -> None:
    with corpus.client("editor") as client:
        found = client.post("/search", json={"question": "boiler serviced engineer"}).json()["hits"]
        document_id = next(hit["document_id"] for hit in found if hit["source"] == "notes/heating.txt")
        assert client.delete(f"/documents/{document_id}").json() == {"deleted": [document_id]}
        assert client.get(f"/documents/{document_id}").status_code == 404
        again = client.post("/search", json={"question": "boiler serviced engineer"})
        assert "licensed engineer" not in again.text
        assert client.delete(f"/documents/{document_id}").status_code == 404


def test_paging_visits_every_document_once(corpus: Service) -> None:
    seen: list[str] = []
    after = 0
    with corpus.client("reader") as client:
        while after is not None:
            page = client.get("/documents", params={"limit": 1, "after": after}).json()
            seen += [document["source"] for document in page["documents"]]
            after = page["next"]
    assert sorted(seen) == sorted(CORPUS)


def test_dropping_a_collection(service: Service) -> None:
    service.add("a", "Something about penguins in the south.", collection="birds")
    with service.client() as client:
        assert "penguins" in client.post("/search", json={"question": "penguins", "collection": "birds"}).text
        assert client.delete("/collections/birds").json() == {"dropped": "birds"}
        assert client.post("/search", json={"question": "penguins", "collection": "birds"}).status_code == 404


def test_auth_off_makes_everyone_admin(open_service: Any) -> None:
    service = open_service(auth="off")
    with service.client(None) as client:
        assert client.get("/admin/keys").status_code == 200
        assert client.get("/documents", headers={"X-API-Key": "rag_whatever"}).status_code == 200
