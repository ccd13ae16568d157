"""The load client: a process of its own, and honest about a server that stalls."""

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.histogram import Histogram
from bench.scenarios import run_client

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Stalling(asyncio.Protocol):
    """Answers at once, but stands still for a while once."""

    stalls_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if _Stalling.stalls_at and time.monotonic() > _Stalling.stalls_at:
            _Stalling.stalls_at = 0.0
            time.sleep(0.5)
        for _ in range(data.count(b"POST ")):
            self._transport.write(ANSWER)


@contextmanager
def _server() -> Iterator[str]:
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(_Stalling, "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        server.close()
        loop.close()


@pytest.mark.slow
def test_whoever_would_have_come_during_a_stall_is_counted_as_waiting() -> None:
    count = 200
    with _server() as url:
        _Stalling.stalls_at = time.monotonic() + 1.5
        spec = {"url": url, "key": "k", "path": "/query", "bodies": [{}] * count, "at": [n / 50 for n in range(count)]}
        found = run_client(spec)
    seen = Histogram.from_json(found["latencies"])
    assert seen.count == count
    assert not found["errors"]
    slow = (1 - seen.share_below(0.2)) * count
    assert slow >= 10  # of the 25 that were due in the half second; a client that waits would have sent one


def test_users_ask_again_when_they_have_their_answer() -> None:
    with _server() as url:
        spec = {"url": url, "key": "k", "path": "/query", "bodies": [{}] * 500, "users": 5, "seconds": 30}
        found = run_client(spec)
    assert Histogram.from_json(found["latencies"]).count == 500
    assert found["connections"] == 5
    assert found["cpu_s"] > 0


def test_nobody_there_is_counted_as_errors() -> None:
    spec = {"url": "http://127.0.0.1:9", "key": "k", "path": "/query", "bodies": [{}] * 3, "at": [0.0, 0.01, 0.02]}
    found = run_client(spec)
    assert sum(found["errors"].values()) == 3
