"""The routes of operators, and the pages, by scenario."""

import pytest

from tests.web.conftest import Service
from tests.web.scenario import Scenario, check

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


@pytest.mark.slow
def test_scenarios(corpus: Service, subtests: pytest.Subtests) -> None:
    check(corpus, SCENARIOS, subtests)
