"""Writes of one turn of the event loop are one, and not much is held; nothing is lost or out of order."""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable

import pytest

from appliance.web.writes import MOST_HELD, HeldWrites

Work = Callable[[HeldWrites, socket.socket], Awaitable[None]]


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The bytes that the kernel took, by write."""
    sizes: list[int] = []
    write = os.write

    def counted(fd: int, data: bytes) -> int:
        sizes.append(write(fd, data))
        return sizes[-1]

    monkeypatch.setattr("appliance.web.writes.os.write", counted)
    return sizes


def run(work: Work) -> None:
    async def connected() -> None:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        try:
            await work(HeldWrites(transport, loop), theirs)
        finally:
            transport.close()
            theirs.close()

    asyncio.run(connected())


async def read(reader: socket.socket, size: int) -> bytes:
    """`size` bytes, or fewer where the other side has closed."""
    found = b""
    async with asyncio.timeout(10):
        while len(found) < size and (piece := await asyncio.get_running_loop().sock_recv(reader, size - len(found))):
            found += piece
    return found


def test_writes_of_one_turn_are_one(written: list[int]) -> None:
    async def work(held: HeldWrites, reader: socket.socket) -> None:
        for number in range(2):
            held.write(b"head")
            held.write(b"body")
            assert written == [8] * number, "not before the turn is over"
            assert await read(reader, 8) == b"headbody"
            assert written == [8] * (number + 1)

    run(work)


def test_much_is_not_held(written: list[int]) -> None:
    async def work(held: HeldWrites, _: socket.socket) -> None:
        held.write(b"head")
        held.write(b"x" * MOST_HELD)
        assert len(written) == 1
        await asyncio.sleep(0.01)
        assert len(written) == 1

    run(work)


def test_what_is_held_goes_out_before_the_end(written: list[int]) -> None:
    async def work(held: HeldWrites, reader: socket.socket) -> None:
        assert not held.is_closing()
        held.write(b"the end")
        held.close()
        assert held.is_closing()
        assert await read(reader, 100) == b"the end"
        assert written == [7]

    run(work)


def test_what_the_kernel_does_not_take_follows_in_order(written: list[int]) -> None:
    async def work(held: HeldWrites, reader: socket.socket) -> None:
        pieces = [bytes([number]) * 300_000 for number in range(10)]
        for piece in pieces:
            held.write(piece)
        assert written, "some of it is out"
        assert sum(written) < sum(map(len, pieces)), "more than a socket holds"
        whole = b"".join(pieces)
        assert await read(reader, len(whole)) == whole
        held.write(b"more")
        assert await read(reader, 4) == b"more"

    run(work)


def test_a_caller_who_is_gone_is_the_transports_matter(written: list[int]) -> None:
    async def work(held: HeldWrites, reader: socket.socket) -> None:
        reader.close()
        held.write(b"lost")
        async with asyncio.timeout(10):
            while not held.is_closing():
                await asyncio.sleep(0.01)
        held.write(b"lost, too")
        await asyncio.sleep(0.01)
        assert written == []

    run(work)
