"""Writes of one turn of the event loop are one; nothing is held longer, and not much."""

import asyncio
import socket
from collections.abc import Awaitable, Callable

from appliance.web.writes import MOST_HELD, HeldWrites


class Counted:
    """A real transport over a socket, whose writes are counted."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self.writes = 0

    def write(self, data: bytes) -> None:
        self.writes += 1
        self._transport.write(data)

    def close(self) -> None:
        self._transport.close()

    def is_closing(self) -> bool:
        return self._transport.is_closing()


def run(work: Callable[[HeldWrites, Counted, socket.socket], Awaitable[None]]) -> None:
    async def connected() -> None:
        ours, theirs = socket.socketpair()
        theirs.settimeout(10)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        counted = Counted(transport)
        try:
            await work(HeldWrites(counted, loop), counted, theirs)  # type: ignore[arg-type]
        finally:
            transport.close()
            theirs.close()

    asyncio.run(connected())


def test_writes_of_one_turn_are_one() -> None:
    async def work(held: HeldWrites, counted: Counted, reader: socket.socket) -> None:
        for number in range(2):
            held.write(b"head")
            held.write(b"body")
            assert counted.writes == number, "not before the turn is over"
            await asyncio.sleep(0.01)
            assert counted.writes == number + 1
            assert reader.recv(100) == b"headbody"

    run(work)


def test_much_is_not_held() -> None:
    async def work(held: HeldWrites, counted: Counted, reader: socket.socket) -> None:
        held.write(b"head")
        held.write(b"x" * MOST_HELD)
        assert counted.writes == 1
        await asyncio.sleep(0.01)
        assert counted.writes == 1

    run(work)


def test_what_is_held_goes_out_before_the_end() -> None:
    async def work(held: HeldWrites, counted: Counted, reader: socket.socket) -> None:
        assert not held.is_closing()
        held.write(b"the end")
        held.close()
        assert held.is_closing()
        await asyncio.sleep(0.01)
        assert reader.recv(100) == b"the end"
        assert reader.recv(100) == b""
        assert counted.writes == 1

    run(work)
