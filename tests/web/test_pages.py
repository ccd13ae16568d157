"""The pages: nothing from another host, strict policies, and an API document that says what is there."""

import json
import re
from typing import Any

import pytest

from appliance.web.application import create_app
from appliance.web.openapi import document, endpoints
from appliance.web.pages import FOLDER
from tests.web.conftest import Service

OUTSIDE = re.compile(r"""(?:https?:)?//[a-z0-9][a-z0-9.-]*\.[a-z]{2,}""", re.IGNORECASE)
NAMESPACE = "http://www.w3.org/2000/svg"  # names the language of icon.svg; nothing is fetched from it


def test_no_file_names_another_host() -> None:
    files = [path for path in FOLDER.iterdir() if path.is_file()]
    assert len(files) >= 6
    for path in files:
        text = path.read_text("utf-8").replace(NAMESPACE, "")
        assert not OUTSIDE.search(text), (path.name, OUTSIDE.search(text))


def test_no_script_makes_markup_of_text() -> None:
    for path in FOLDER.glob("*.js"):
        text = path.read_text("utf-8")
        for danger in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
            assert danger not in text, (path.name, danger)


def test_no_page_has_scripts_or_styles_of_its_own() -> None:
    for path in FOLDER.glob("*.html"):
        text = path.read_text("utf-8")
        assert not re.search(r"<script(?![^>]*\ssrc=)", text)
        assert "<style" not in text
        assert not re.search(r"\s(?:style|on\w+)=", text)


def test_pages_and_everything_they_name_are_served(service: Service) -> None:
    with service.client(None) as client:
        for page in ("/", "/docs"):
            response = client.get(page)
            assert response.status_code == 200
            policy = response.headers["content-security-policy"]
            assert "default-src 'none'" in policy
            assert "unsafe" not in policy
            assert response.headers["x-frame-options"] == "DENY"
            names = re.findall(r'(?:src|href)="(/[^"]*)"', response.text)
            assert names
            for name in names:
                assert client.get(name).status_code == 200, name


@pytest.mark.slow
def test_json_has_a_policy_too(service: Service) -> None:
    with service.client(None) as client:
        assert "default-src 'none'" in client.get("/health").headers["content-security-policy"]


def test_openapi_lists_every_route(service: Service) -> None:
    app = create_app(service.appliance)
    described = document(app)
    listed = {(path, method) for path, methods in described["paths"].items() for method in methods}
    for path, method, _, _ in endpoints(app):
        assert (re.sub(r":\w+}", "}", path), method.lower()) in listed
    routes = {(re.sub(r":\w+}", "}", route.path), method.lower()) for route in app.routes for method in route.methods}
    assert {(path, method) for path, method in routes if method != "options"} == listed


def test_openapi_refers_to_what_is_there(service: Service) -> None:
    described = document(create_app(service.appliance))
    references = set(re.findall(r'"\$ref": "#/components/schemas/([^"]+)"', json.dumps(described)))
    assert references
    assert references <= set(described["components"]["schemas"])
    names = [operation["operationId"] for methods in described["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    for methods in described["paths"].values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["tags"][0] in {tag["name"] for tag in described["tags"]}


@pytest.mark.slow
def test_answers_are_as_openapi_says(corpus: Service) -> None:
    schemas = document(create_app(corpus.appliance))["components"]["schemas"]
    with corpus.client() as client:
        answers: dict[str, Any] = {
            "AnswerBody": client.post("/query", json={"question": "roses"}).json(),
            "SearchBody": client.post("/search", json={"question": "roses"}).json(),
            "TaskBody": client.get("/tasks").json()["tasks"][0],
            "DocumentBody": client.get("/documents/1").json(),
            "CacheBody": client.get("/cache/stats").json(),
            "Problem": client.get("/documents/999").json(),
        }
    for name, answer in answers.items():
        assert set(answer) <= set(schemas[name]["properties"]), name
        assert set(schemas[name]["required"]) <= set(answer), name
