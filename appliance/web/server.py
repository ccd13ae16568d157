"""The HTTP server: one uvicorn worker on uvloop and httptools, stopped in order by SIGTERM or SIGINT."""

import asyncio
import contextlib
import errno
import gc
import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import uvicorn
import uvloop

from appliance.app import Appliance
from appliance.errors import StorageError
from appliance.faults import reached
from appliance.telemetry import log as telemetry_log
from appliance.web.application import create_app

log = telemetry_log.get(__name__)

GRACE_S = 10  # seconds that open requests have to finish after a stop was asked for
BACKLOG = 2048
KEEP_ALIVE_S = 75


class AddressUnusable(StorageError):
    """The server cannot listen where it should."""

    default_code = "address_unusable"


class Server(uvicorn.Server):
    """uvicorn's server that returns after a signal, so that everything can be closed (uvicorn would raise it again)."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        before = {number: signal.signal(number, self.handle_exit) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def serve(appliance: Appliance) -> int:
    """Serve until a signal comes; 0 then.

    Raises AddressUnusable (code port_in_use when another process listens there).
    """
    settings = appliance.settings
    with listen(settings.host, settings.port) as bound, _announced(appliance, url_of(bound)) as url:
        sys.stdout.write(f"rag-appliance listens on {url} (data in {appliance.paths.root}); Ctrl-C stops it.\n")
        sys.stdout.flush()
        log.info("serving", url=url)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(_run(appliance, bound))
        log.info("stopped", url=url)
    return 0


async def _run(appliance: Appliance, bound: socket.socket) -> None:
    server = Server(config(appliance))
    gc.collect()
    gc.freeze()  # models and modules live as long as the process: collections need not walk them
    await server.serve(sockets=[bound])


def config(appliance: Appliance) -> uvicorn.Config:
    """How uvicorn runs the application."""
    return uvicorn.Config(
        create_app(appliance),
        http="httptools",
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
