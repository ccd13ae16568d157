"""The short way to the questions: the same answers and errors as by Litestar's, which gets everything else."""

import json
import socket

import pytest

from tests.web.conftest import Service

PATHS = ("/query", "/search", "/v1/chat/completions", "/v1/embeddings")


def asked(service: Service, path: str, *lines: str, body: bytes = b"{}") -> tuple[int, dict[str, str], bytes]:
    """Status, headers and body of a request with exactly these header lines."""
    head = [f"POST {path} HTTP/1.1", f"X-API-Key: {service.keys['reader']}", "Connection: close", *lines]
    host, port = service.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall("\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body)
        whole = b"".join(iter(lambda: connection.recv(65536), b""))
    first, _, content = whole.partition(b"\r\n\r\n")
    status, *told = first.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in told)
    assert headers.pop("x-query-id")
    return int(status.split()[1]), headers, content


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_both_ways_word_errors_the_same(library: Service, path: str) -> None:
    for lines in (("Content-Type: text/plain",), ("Content-Type: application/json",)):
        short = asked(library, path, "Host: 127.0.0.1", *lines)
        long = asked(library, f"{path}/", "Host: 127.0.0.1", *lines)  # not a path of the short way
        assert short[:2] == (long[0], long[1] | {"content-length": short[1]["content-length"]})
        told, expected = (json.loads(one[2]) for one in (short, long))
        assert set(told) == set(expected)
        assert told.get("code") == expected.get("code")


@pytest.mark.slow
@pytest.mark.parametrize("path", PATHS)
def test_a_host_that_cannot_be_one_is_left_to_the_router(library: Service, path: str) -> None:
    status, *_ = asked(library, path, 'Host: 127.0.0.1:"80"', "Content-Type: application/json")
    assert status == 400


@pytest.mark.slow
def test_other_methods_are_left_to_the_router(library: Service) -> None:
    with library.client("reader") as client:
        for path in PATHS:
            refused = client.get(path)
            assert refused.status_code == 405
            assert "POST" in refused.headers["allow"]


@pytest.mark.slow
def test_the_route_is_known_to_the_metrics(library: Service) -> None:
    with library.client("reader") as client:
        assert client.post("/query", json={"question": "boiler"}).status_code == 200
        page = client.get("/metrics").text
    assert 'rag_http_request_seconds_count{method="POST",route="/query",status="2xx"}' in page
