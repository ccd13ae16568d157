"""A small HTTP/1.1 client for load: keep-alive connections on one event loop, requests prepared as bytes."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, cast
from urllib.parse import urlsplit

import httptools

CONNECT_S = 10.0


class Connection(asyncio.Protocol):
    """One keep-alive connection; `ask` sends a prepared request and gives the status of its answer.

    With `keep` the body of the last answer is in `body`.
    """

    def __init__(self, *, keep: bool = False) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self._answer: asyncio.Future[int] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._keep = keep
        self._parts: list[bytes] = []
        self.body = b""

    @property
    def open(self) -> bool:
        return self._transport is not None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.WriteTransport", transport)  # uvloop's own class derives from no other

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._failed(ConnectionResetError(f"no HTTP answer: {error}"))
            self.close()

    def on_body(self, body: bytes) -> None:
        if self._keep:
            self._parts.append(body)

    def on_message_complete(self) -> None:
        self.body, self._parts = b"".join(self._parts), []
        if not self._parser.should_keep_alive():
            self.close()
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(self._parser.get_status_code())

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._failed(exc or ConnectionResetError("the server closed the connection"))

    def _failed(self, error: Exception) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error)

    async def ask(self, request: bytes, timeout_s: float | None = None) -> int:
        """Raises OSError: ConnectionResetError, or TimeoutError after which the connection is closed."""
        if self._transport is None:
            raise ConnectionResetError("the server closed the connection")
        loop = asyncio.get_running_loop()
        self._answer = loop.create_future()
        self._transport.write(request)
        if timeout_s is None:
            return await self._answer
        timer = loop.call_later(timeout_s, self._failed, TimeoutError(f"no answer within {timeout_s:g} s"))
        try:
            return await self._answer
        except TimeoutError:
            self.close()
            raise
        finally:
            timer.cancel()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None


async def connect(url: str, *, keep: bool = False) -> Connection:
    """Raises OSError."""
    parts = urlsplit(url)
    made = asyncio.get_running_loop().create_connection(
        lambda: Connection(keep=keep), str(parts.hostname), parts.port or 80
    )
    _, connection = await asyncio.wait_for(made, CONNECT_S)
    return connection


def get(url: str, key: str, path: str) -> bytes:
    """A GET request as bytes."""
    return f"GET {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nX-API-Key: {key}\r\n\r\n".encode()


def post(url: str, key: str, path: str, body: Mapping[str, Any]) -> bytes:
    """A POST request of a JSON body as bytes."""
    encoded = json.dumps(body).encode()
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {urlsplit(url).netloc}\r\nX-API-Key: {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(encoded)}\r\n\r\n"
    )
    return head.encode() + encoded
