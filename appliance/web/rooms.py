"""What the routes share: the appliance and the bounded places where blocking work is done."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from litestar import Request

from appliance.app import Appliance
from appliance.errors import Overloaded
from appliance.observation import Observer
from appliance.web.questions import Questions
from appliance.web.warming import Warming

T = TypeVar("T")


class Room:
    """A few threads for one kind of blocking work; `limit` calls may run or wait, beyond it Overloaded at once."""

    def __init__(self, name: str, *, threads: int, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._inside = 0
        self._pool = ThreadPoolExecutor(max_workers=threads, thread_name_prefix=name)

    async def run(self, work: Callable[[], T]) -> T:
        """The result of `work`, done in a thread. Raises Overloaded, and what `work` raises."""
        if self._inside >= self._limit:
            raise Overloaded(f"{self._limit} requests of this kind ({self._name}) are being worked on already.")
        self._inside += 1
        future = asyncio.get_running_loop().run_in_executor(self._pool, work)
        future.add_done_callback(self._left)
        return await asyncio.shield(future)

    def _left(self, future: asyncio.Future[Any]) -> None:
        self._inside -= 1
        if not future.cancelled():
            future.exception()

    def close(self) -> None:
        self._pool.shutdown(wait=True, cancel_futures=True)


class Rooms:
    """One appliance on the web and the places where its work is done.

    `desk` is for short calls, `monitors` for the metrics, `uploads` for bodies at their senders' pace, `upkeep` for
    whole indexes and models.
    """

    def __init__(self, appliance: Appliance) -> None:
        self.appliance = appliance
        self.opened_at = time.time()
        self.draining = False  # the server is about to stop: every answer closes its connection
        self.questions = Questions(appliance)
        self.warming = Warming(appliance, self.questions)
        self.desk = Room("desk", threads=4, limit=100)
        self.monitors = Room("monitor", threads=2, limit=20)  # the second while a look hangs on a dead mount
        self.observer = Observer(appliance)
        self.uploads = Room("upload", threads=8, limit=8)
        self.upkeep = Room("upkeep", threads=1, limit=4)

    def close(self) -> None:
        self.warming.close()
        for room in (self.questions, self.desk, self.monitors, self.uploads, self.upkeep):
            room.close()


def rooms(request: Request[Any, Any, Any]) -> Rooms:
    """The rooms of the application that got this request."""
    found: Rooms = request.app.state.web
    return found
