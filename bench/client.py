"""The load client, a process of its own: reads what to do from stdin, tells how far it is, gives what it measured.

Open loop: every request has a time at which it is to be sent, whatever became of those before it, and its latency
counts from that time; so a server that stalls is charged for all who would have come meanwhile (no coordinated
omission). A request that finds no free connection opens one, up to MOST_CONNECTIONS; beyond it waits, with its clock
running. Closed loop: each of N users sends the next request when the last answer is complete.
"""

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import uvloop

from bench.histogram import Histogram
from bench.wire import Connection, connect, post

MOST_CONNECTIONS = 1_000
TIMEOUT_S = 60.0
TELL_EVERY_S = 0.5
GIVE_UP = 5_000  # errors after which the rest is not sent


@dataclass(slots=True)
class Load:
    """One run under way. `late` is how much later than intended requests were sent: the client's own delay."""

    url: str
    since: float = 0.0
    latencies: Histogram = field(default_factory=Histogram)
    recent: Histogram = field(default_factory=Histogram)
    late: Histogram = field(default_factory=Histogram)
    errors: Counter[str] = field(default_factory=Counter)
    idle: list[Connection] = field(default_factory=list)
    connections: int = 0
    done: float = 0.0  # when the last answer came, seconds from the start

    async def ask(self, request: bytes, intended: float, connection: Connection | None) -> Connection | None:
        """Send one and record it; -> the connection, if it can be used again."""
        try:
            if connection is None or not connection.open:
                connection = await connect(self.url)
            now = time.perf_counter()
            self.late.record(now - intended)
            status = await connection.ask(request, TIMEOUT_S)
        except OSError as error:
            self.errors[type(error).__name__] += 1
            return None
        self.done = time.perf_counter()
        if status == 200:
            self.latencies.record(self.done - min(intended, now))
            self.recent.record(self.done - min(intended, now))
        else:
            self.errors[str(status)] += 1
        return connection

    @property
    def failed(self) -> int:
        return sum(self.errors.values())

    def told(self) -> dict[str, Any]:
        """How far it is: the figures of the last moments."""
        recent, self.recent = self.recent, Histogram()
        return {"sent": self.latencies.count + self.failed, "recent": recent.count, "errors": self.failed,
                "p95_ms": round(recent.quantile_ms(0.95), 2) if recent.count else None}  # fmt: skip


async def open_loop(load: Load, requests: list[tuple[float, bytes]]) -> None:
    """`requests`: seconds from the start at which each is to be sent, ascending, and its bytes."""
    room = asyncio.Semaphore(MOST_CONNECTIONS)
    async with asyncio.TaskGroup() as group:
        for at, request in requests:
            if load.failed > GIVE_UP:
                break
            while (wait := load.since + at - time.perf_counter()) > 0.0005:
                await asyncio.sleep(wait)
            await room.acquire()
            group.create_task(_one(load, request, load.since + at, room))


async def _one(load: Load, request: bytes, intended: float, room: asyncio.Semaphore) -> None:
    connection = load.idle.pop() if load.idle else None
    if connection is None:
        load.connections += 1
    kept = await load.ask(request, intended, connection)
    if kept is not None and kept.open:
        load.idle.append(kept)
    room.release()


async def closed_loop(load: Load, supply: Iterator[bytes], users: int, seconds: float) -> None:
    """Until `seconds` are over or the supply is empty."""

    async def user() -> None:
        connection: Connection | None = None
        load.connections += 1
        for request in supply:
            if time.perf_counter() >= load.since + seconds or load.failed > GIVE_UP:
                break
            connection = await load.ask(request, time.perf_counter(), connection)
        if connection is not None:
            connection.close()

    await asyncio.gather(*(user() for _ in range(users)))


async def run(spec: dict[str, Any]) -> dict[str, Any]:
    """`spec`: url, key, path, bodies (each a JSON object), and either `at` (a time for each) or `users` and `seconds`.

    With `again` the bodies are asked over and over.
    """
    url = spec["url"]
    prepared = [post(url, spec["key"], spec["path"], body) for body in spec["bodies"]]
    load = Load(url)
    teller = asyncio.create_task(_tell(load))
    await asyncio.sleep(0)
    used = resource.getrusage(resource.RUSAGE_SELF)
    load.since = time.perf_counter() + 0.05
    if "at" in spec:
        await open_loop(load, list(zip(spec["at"], prepared, strict=True)))
    else:
        await closed_loop(load, supply(prepared, bool(spec.get("again"))), spec["users"], spec["seconds"])
    now = resource.getrusage(resource.RUSAGE_SELF)
    teller.cancel()
    for connection in load.idle:
        connection.close()
    await asyncio.sleep(0.01)  # the loop closes them
    cpu = now.ru_utime + now.ru_stime - used.ru_utime - used.ru_stime
    return {"latencies": load.latencies.to_json(), "late": load.late.to_json(), "errors": dict(load.errors),
            "seconds": max(load.done - load.since, 1e-9), "cpu_s": cpu, "connections": load.connections}  # fmt: skip


def supply(prepared: list[bytes], again: bool) -> Iterator[bytes]:
    while prepared:
        yield from prepared
        if not again:
            return


async def _tell(load: Load) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        print(json.dumps(load.told()), flush=True)


def main() -> None:
    spec = json.load(sys.stdin)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        print(json.dumps({"result": runner.run(run(spec))}), flush=True)


if __name__ == "__main__":
    main()
