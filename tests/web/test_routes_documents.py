"""The routes of documents, collections and tasks by scenario."""

import pytest

from tests.web.conftest import Service
from tests.web.scenario import Scenario, check

SCENARIOS = [
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
]


@pytest.mark.slow
def test_scenarios(corpus: Service, subtests: pytest.Subtests) -> None:
    check(corpus, SCENARIOS, subtests)
