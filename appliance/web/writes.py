"""Head and body of a response go to the kernel together: on loopback each write is a turn of the whole network stack,
made with the interpreter's lock held.
"""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from appliance.web.leaving import CONNECTION, Connection

MOST_HELD = 64 * 1024  # bytes; more are written at once


class HeldWrites:
    """A transport whose writes of one turn of the event loop are one."""

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport, self._loop = transport, loop
        self._held: list[bytes] = []
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """Goes out at the end of this turn, or at once with what is held where that is much."""
        if not self._held:
            self._loop.call_soon(self.flush)
        self._held.append(data)
        self._bytes += len(data)
        if self._bytes > MOST_HELD:
            self.flush()

    def flush(self) -> None:
        """Write what is held."""
        if self._held:
            data = b"".join(self._held)
            self._held, self._bytes = [], 0
            self._transport.write(data)

    def close(self) -> None:
        """Close the connection after what is held."""
        self.flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Protocol(HttpToolsProtocol):
    """uvicorn's, with fewer writes; who waits for an answer is told of the connection's end."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(HeldWrites(transport, self.loop))  # type: ignore[arg-type]
        self.connection = Connection()
        self.app_state = {**self.app_state, CONNECTION: self.connection}

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.connection.lose()
