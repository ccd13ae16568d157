"""What /v1 refuses: by name, with a hint, in the shape that clients of the OpenAI API read."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import openai
import pytest

from appliance.web.openai.requests import MOST_STOPS
from tests.web.conftest import QUESTION, Gate, Service, until
from tests.web.test_openai_chat import connected

CHAT = "/v1/chat/completions"
USER: dict[str, Any] = {"role": "user", "content": "Who?"}
IMAGE = {"type": "image_url", "image_url": {"url": "data:,"}}

BAD: list[tuple[str, dict[str, Any], str | None]] = [  # what is wrong, what is sent besides a good request, the param
    ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools"),
    ("tool choice", {"tool_choice": {"type": "function", "function": {"name": "f"}}}, "tool_choice"),
    ("tool choice, required", {"tool_choice": "required"}, "tool_choice"),
    ("functions", {"functions": [{"name": "f"}]}, "functions"),
    ("function call", {"function_call": {"name": "f"}}, "function_call"),
    ("logprobs", {"logprobs": True}, "logprobs"),
    ("top logprobs", {"top_logprobs": 3}, "top_logprobs"),
    ("several answers", {"n": 2}, "n"),
    ("no answer", {"n": 0}, "n"),
    ("n as a truth value", {"n": True}, "n"),
    ("JSON schema", {"response_format": {"type": "json_schema", "json_schema": {}}}, "response_format"),
    ("JSON object", {"response_format": {"type": "json_object"}}, "response_format"),
    ("a large penalty", {"presence_penalty": 2.5}, "presence_penalty"),
    ("a small penalty", {"frequency_penalty": -2.1}, "frequency_penalty"),
    ("top p above one", {"top_p": 1.1}, "top_p"),
    ("half a seed", {"seed": 1.5}, "seed"),
    ("logit bias", {"logit_bias": {"50256": -100}}, "logit_bias"),
    ("audio", {"modalities": ["text", "audio"], "audio": {}}, "modalities"),
    ("reasoning", {"reasoning_effort": "high"}, "reasoning_effort"),
    ("web search", {"web_search_options": {}}, "web_search_options"),
    ("kept conversations", {"store": True}, "store"),
    ("a prediction", {"prediction": {"type": "content", "content": "x"}}, "prediction"),
    ("an unknown parameter", {"colection": "reports"}, "colection"),
    ("no messages", {"messages": []}, "messages"),
    ("messages as text", {"messages": "Who?"}, "messages"),
    ("a message as text", {"messages": ["Who?"]}, "messages[0]"),
    ("the assistant last", {"messages": [USER, {"role": "assistant", "content": "x"}]}, "messages"),
    ("only a system message", {"messages": [{"role": "system", "content": "x"}]}, "messages"),
    ("an image", {"messages": [{"role": "user", "content": [IMAGE]}]}, "messages[0].content"),
    ("a part without text", {"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content"),
    ("a tool's message", {"messages": [{"role": "tool", "content": "x"}, USER]}, "messages[0].role"),
    ("an unknown role", {"messages": [{"role": "boss", "content": "x"}, USER]}, "messages[0].role"),
    ("no role", {"messages": [{"content": "x"}]}, "messages[0].role"),
    ("content as a number", {"messages": [{"role": "user", "content": 7}]}, "messages[0].content"),
    ("an empty question", {"messages": [{"role": "user", "content": "  "}]}, None),
    ("no content", {"messages": [{"role": "user"}]}, None),
    ("a long question", {"messages": [{"role": "user", "content": "x" * 5000}]}, None),
    ("no tokens", {"max_tokens": 0}, "max_tokens"),
    ("tokens as text", {"max_tokens": "10"}, "max_tokens"),
    ("half a token", {"max_completion_tokens": 1.5}, "max_completion_tokens"),
    ("cold", {"temperature": -0.1}, "temperature"),
    ("hot", {"temperature": 2.1}, "temperature"),
    ("temperature as text", {"temperature": "warm"}, "temperature"),
    ("many stops", {"stop": ["x"] * (MOST_STOPS + 1)}, "stop"),
    ("an empty stop", {"stop": ""}, "stop"),
    ("a stop as a number", {"stop": 3}, "stop"),
    ("stream as text", {"stream": "yes"}, "stream"),
    ("stream options", {"stream_options": {"usage": True}}, "stream_options.usage"),
    ("k of nothing", {"k": 0}, None),
    ("a broken filter", {"filters": "year >"}, None),
    ("a number as the model", {"model": 4}, "model"),
    ("a mode", {"mode": "generative"}, "mode"),
]


def refused(response: httpx.Response, status: int) -> dict[str, Any]:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/json"
    body = response.json()
    assert set(body) == {"error"}
    error: dict[str, Any] = body["error"]
    assert set(error) == {"message", "type", "code", "param", "query_id"}
    assert error["query_id"] == response.headers["x-query-id"]
    assert error["message"].endswith(".")
    assert "Traceback" not in response.text
    return error


@pytest.mark.slow
@pytest.mark.parametrize("model", ["rag-appliance", "scripted"])
def test_bad_requests(open_service: Callable[..., Service], subtests: pytest.Subtests, model: str) -> None:
    service = open_service(generator="scripted")
    of_documents = {"an empty question", "no content", "a long question", "k of nothing", "a broken filter"}
    with service.client("reader") as client:
        for name, more, param in BAD:
            if model == "scripted" and name in of_documents:
                continue
            with subtests.test(name):
                response = client.post(CHAT, json={"model": model, "messages": [USER], **more})
                error = refused(response, 400)
                assert error["type"] == "invalid_request_error"
                assert error["param"] == param
                assert param is None or param.split(".")[-1] in error["message"]
                assert "xxxxxxxx" not in error["message"]


def test_what_asks_for_nothing_is_accepted(library: Service) -> None:
    neutral: dict[str, Any] = {
        "user": "me", "seed": 7, "metadata": {"a": "b"}, "presence_penalty": 0, "frequency_penalty": 0.0, "top_p": 1,
        "n": 1, "logprobs": False, "tools": [], "tool_choice": "none", "response_format": {"type": "text"},
        "logit_bias": {}, "store": False, "stop": None, "max_tokens": None, "temperature": 0, "stream": False,
        "stream_options": None, "parallel_tool_calls": True, "service_tier": "auto", "functions": None,
    }  # fmt: skip
    with library.client("reader") as client:
        response = client.post(CHAT, json={"model": "rag-appliance", "messages": [USER], **neutral})
    assert response.status_code == 200, response.text


@pytest.mark.parametrize(
    ("method", "path", "content", "status", "code"),
    [
        ("POST", CHAT, b"{", 400, "invalid_json"),
        ("POST", CHAT, b"[]", 400, "invalid_request"),
        ("POST", CHAT, b"", 400, "invalid_request"),
        ("POST", CHAT, b'{"model":"a","messages":[{"role":"user","content":"\xff"}]}', 400, "invalid_json"),
        ("POST", CHAT, b'{"model":"a","messages":' + b"[" * 5000 + b"]" * 5000 + b"}", 400, "invalid_json"),
        ("POST", CHAT, json.dumps({"model": "rag-appliance", "messages": [USER]}).encode() + b" " * 2**20, 413,
         "request_too_large"),
        ("POST", CHAT, json.dumps({"model": "gpt-4o", "messages": [USER]}).encode(), 404, "model_not_found"),
        ("POST", CHAT, json.dumps({"model": "rag-appliance", "messages": [USER], "collection": "nope"}).encode(), 404,
         "unknown_collection"),
        ("GET", CHAT, b"", 405, "method_not_allowed"),
        ("GET", "/v1/models/gpt-4o", b"", 404, "model_not_found"),
        ("POST", "/v1/completions", b"{}", 404, "unknown_route"),
        ("POST", "/v1/responses", b"{}", 404, "unknown_route"),
    ],
)  # fmt: skip
def test_other_refusals(library: Service, method: str, path: str, content: bytes, status: int, code: str) -> None:
    with library.client("reader") as client:
        response = client.request(method, path, content=content, headers={"Content-Type": "application/json"})
    assert refused(response, status)["code"] == code


def test_keys_and_foreign_names(library: Service) -> None:
    body = {"model": "rag-appliance", "messages": [USER]}
    with library.client(None) as client:
        assert refused(client.post(CHAT, json=body), 401)["type"] == "authentication_error"
        wrong = client.post(CHAT, json=body, headers={"Authorization": "Bearer sk-wrong"})
        assert refused(wrong, 401)["code"] == "invalid_key"
        assert refused(client.get("/v1/models", headers={"Host": "evil.example"}), 421)["code"] == "foreign_host"
    with library.client("reader") as client:
        other = client.get("/documents/999")
    assert other.headers["content-type"] == "application/problem+json"


def test_errors_are_exceptions_of_the_client(library: Service) -> None:
    with connected(library) as client:
        messages: Any = [USER]
        with pytest.raises(openai.NotFoundError) as missing:
            client.chat.completions.create(model="gpt-4o", messages=messages)
        assert missing.value.code == "model_not_found"
        assert "rag-appliance-extractive" in missing.value.message
        with pytest.raises(openai.BadRequestError) as bad:
            client.chat.completions.create(model="rag-appliance", messages=messages, logprobs=True)
        assert (bad.value.param, bad.value.code) == ("logprobs", "unsupported_parameter")
    with connected(library, "rag_wrong") as client, pytest.raises(openai.AuthenticationError):
        client.models.list()


@pytest.mark.slow
def test_too_many_questions_say_when_to_come_again(open_service: Callable[..., Service]) -> None:
    service = open_service(query_concurrency=1)
    service.add("a.txt", "The library opens at nine.")
    gate = Gate(service.appliance)
    body = {"model": "rag-appliance", "messages": [{"role": "user", "content": QUESTION}]}
    with service.client("reader") as client, ThreadPoolExecutor(1) as pool:
        first = pool.submit(client.post, CHAT, json=body)
        assert until(lambda: gate.begun == 1)
        for stream in (False, True):
            response = client.post(CHAT, json=body | {"messages": [USER], "stream": stream})
            assert refused(response, 503)["code"] == "too_many_questions"
            assert int(response.headers["retry-after"]) >= 1
        gate.open()
        assert first.result().status_code == 200
