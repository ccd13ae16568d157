"""The HTTP server: one uvicorn worker on uvloop and httptools, stopped in order by SIGTERM or SIGINT.

The end comes in this order: the supervisor is told; nothing new is accepted (a supervisor's socket keeps callers
waiting for the next process); every answer closes its connection, so that those who hold one open send nothing into a
closed one; what is still in work after CUT_S is cut off and told so; the rest is up to uvicorn.
"""

import asyncio
import contextlib
import errno
import functools
import gc
import json
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

import uvicorn
import uvloop

from appliance.app import Appliance
from appliance.errors import StorageError
from appliance.faults import reached
from appliance.pulse import Pulse
from appliance.signals import closing, handled
from appliance.supervision import Notifier, Watchdog
from appliance.telemetry import log as telemetry_log
from appliance.telemetry.otlp import exported
from appliance.web.application import create_app
from appliance.web.rooms import Rooms
from appliance.web.writes import Protocol

log = telemetry_log.get(__name__)

STOPS = (signal.SIGINT, signal.SIGTERM)
GRACE_S = 10  # seconds that open requests have to finish after a stop was asked for
CUT_S = 7.0  # of these, until questions in work are cut off, so that their streams can say so
DRAIN_S = 1.0  # for callers that hold a connection open to come once more and be sent away
EVENT_LOOP_S = 15.0  # the event loop has a turn every 0.1 s; without one for so long it is stuck
READY_EVERY_S = 0.2
READ_AHEAD_S = 3.0  # at most, for what the first questions need; a million passages take one
BACKLOG = 2048
KEEP_ALIVE_S = 75
# A thread that computes keeps the interpreter for so long while others want it: the event loop wants it several times a
# request. With Python's 5 ms, /health takes 30 ms (p95) while 100 users search; with 1 ms 9 ms, and no fewer searches.
TURN_S = 0.001


class AddressUnusable(StorageError):
    """The server cannot listen where it should."""

    default_code = "address_unusable"


class Server(uvicorn.Server):
    """uvicorn's server that returns after a signal, so that everything can be closed (uvicorn would raise it again)."""

    def __init__(self, config: uvicorn.Config, rooms: Rooms, pulse: Pulse, notifier: Notifier) -> None:
        super().__init__(config)
        self._rooms, self._pulse, self._notifier = rooms, pulse, notifier
        self.watchdog: Watchdog | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._notifier.tell("READY=1", "STATUS=Ready")
        if self.watchdog is not None:
            self.watchdog.start()

    async def on_tick(self, counter: int) -> bool:
        self._pulse.beat()
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """See the module."""
        self._notifier.tell("STOPPING=1", "STATUS=Stopping: open questions have a few seconds to finish")
        self._pulse.end()
        self._rooms.draining = True
        for server in self.servers:
            server.close()
        until = time.monotonic() + DRAIN_S
        while self.server_state.connections and time.monotonic() < until:
            await asyncio.sleep(0.02)
        cut = asyncio.get_running_loop().call_later(CUT_S, self._rooms.questions.cut)
        try:
            await super().shutdown(sockets)
        finally:
            cut.cancel()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]
        """Not uvicorn's, which raises them once more at the end."""
        return handled(self.handle_exit, *STOPS)


def serve(
    appliance: Appliance,
    notifier: Notifier | None = None,
    sockets: Sequence[socket.socket] = (),
    watchdog_s: float = 0.0,
) -> int:
    """Serve until a signal comes, on `sockets` where a supervisor gives some; 0 then.

    Raises AddressUnusable (code port_in_use when another process listens there).
    """
    settings, notifier, stop = appliance.settings, notifier or Notifier(""), _Stop()
    with contextlib.ExitStack() as stack:
        stack.callback(closing)  # the appliance itself is still to be closed, which no second SIGTERM interrupts
        stack.enter_context(handled(stop, *STOPS))
        listening = list(sockets) or [listen(settings.host, settings.port)]
        for one in listening:
            stack.enter_context(one)
        stack.enter_context(exported(appliance.traces, settings.otlp_endpoint))
        url = stack.enter_context(_announced(appliance, url_of(listening[0])))
        sys.stdout.write(f"rag-appliance listens on {url} (data in {appliance.paths.root}); Ctrl-C stops it.\n")
        sys.stdout.flush()
        log.info("serving", url=url)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(appliance, listening, notifier, watchdog_s, stop))
        log.info("stopped", url=url)
    return 0


class _Stop:
    """A stop by signal, from before the server says that it listens until all is closed; uvicorn has one of its own."""

    def __init__(self) -> None:
        self._asked = False
        self._cancel: Callable[[], object] | None = None

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._asked = True
        if self._cancel is not None:
            self._cancel()

    @contextlib.contextmanager
    def cancels(self, task: "asyncio.Task[object]") -> Iterator[None]:
        """The task, within the block; at once, when it was asked for before. Afterwards everything ends anyway."""
        self._cancel = functools.partial(task.get_loop().call_soon_threadsafe, task.cancel)
        if self._asked:
            self._cancel()
        try:
            yield
        finally:
            self._cancel = None


async def _run(
    appliance: Appliance, sockets: list[socket.socket], notifier: Notifier, watchdog_s: float, stop: _Stop
) -> None:
    task = asyncio.current_task()
    assert task is not None
    with contextlib.suppress(asyncio.CancelledError), stop.cancels(task):
        await _serve(appliance, sockets, notifier, watchdog_s)


async def _serve(appliance: Appliance, sockets: list[socket.socket], notifier: Notifier, watchdog_s: float) -> None:
    rooms = Rooms(appliance)
    pulse = appliance.pulses.new("event loop", EVENT_LOOP_S)
    server = Server(config(appliance, rooms), rooms, pulse, notifier)
    watchdog = server.watchdog = Watchdog(
        notifier, appliance.pulses, watchdog_s, appliance.doing, appliance.starts.stuck
    )
    sys.setswitchinterval(TURN_S)
    gc.collect()
    gc.freeze()  # models and modules live as long as the process: collections need not walk them
    if notifier.heard:
        await _until_ready(appliance, notifier)
    await asyncio.to_thread(appliance.collections.read_ahead, READ_AHEAD_S)
    try:
        await server.serve(sockets=sockets)
    finally:
        await asyncio.to_thread(watchdog.stop)


async def _until_ready(appliance: Appliance, notifier: Notifier) -> None:
    """Until /health/ready would say so; nothing is taken before, so what never gets ready has acknowledged nothing."""
    while True:
        parts = await asyncio.to_thread(appliance.readiness)
        missing = [f"{name} ({part.detail})" for name, part in parts.items() if part.needed and not part.ready]
        if not missing:
            return
        notifier.status(f"Not ready: {', '.join(missing)}")
        await asyncio.sleep(READY_EVERY_S)


def config(appliance: Appliance, rooms: Rooms | None = None) -> uvicorn.Config:
    """How uvicorn runs the application."""
    return uvicorn.Config(
        create_app(appliance, rooms),
        http=Protocol,
        loop="none",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        proxy_headers=False,
    )


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises AddressUnusable with what to do about it."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        bound = socket.socket(family, kind, protocol)
    except OSError as error:
        raise AddressUnusable(
            f"{host!r} is not an address of this host: {error.strerror or error}.", hint="Correct the setting host."
        ) from error
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind(address)
        bound.listen(BACKLOG)
        bound.setblocking(False)
    except OSError as error:
        bound.close()
        raise _unusable(host, port, error) from error
    return bound


def _unusable(host: str, port: int, error: OSError) -> AddressUnusable:
    if error.errno == errno.EADDRINUSE:
        return AddressUnusable(
            f"Port {port} on {host} is in use by another process.",
            code="port_in_use",
            hint="Stop that process, or choose another port (--port or RAG_APPLIANCE_PORT; 0 takes a free one).",
        )
    if error.errno == errno.EACCES:
        return AddressUnusable(
            f"This user may not listen on port {port}.", code="port_forbidden", hint="Choose a port above 1023."
        )
    return AddressUnusable(
        f"Cannot listen on {host} port {port}: {error.strerror or error}.", hint="Correct the settings host and port."
    )


def url_of(bound: socket.socket) -> str:
    """The address under which this host reaches the server."""
    host, port = bound.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


@contextlib.contextmanager
def _announced(appliance: Appliance, url: str) -> Iterator[str]:
    """While the server runs, its address and local key lie in `paths.server` for this user's command line."""
    path = appliance.paths.server
    content = json.dumps({"pid": os.getpid(), "url": url, "key": appliance.local_key})
    beside = path.with_name(path.name + ".new")
    try:
        beside.unlink(missing_ok=True)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(content)
        beside.rename(path)
        reached("start.announced")
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.", hint="Check the data directory.") from error
    try:
        yield url
    finally:
        _withdraw(path)


def _withdraw(path: Path) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
