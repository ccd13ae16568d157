"""A client of the HTTP routes: of the server that holds the data directory, or of an appliance opened right here."""

import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.parse import quote

import httpx
import rich_click as click

from appliance.cli.inprocess import InProcessTransport
from appliance.cli.problem import Problem
from appliance.config import LoadedSettings
from appliance.errors import DataDirectoryInUse
from appliance.paths import DataPaths

# A question may take query_timeout_s (at most 600 s); everything else answers at once.
TIMEOUT = httpx.Timeout(660.0, connect=5.0)
SERVER_START_S = 5.0


class Client:
    """Decoded JSON of the routes. Every method raises Problem for an error status or a lost connection."""

    def __init__(self, http: httpx.Client, *, url: str | None) -> None:
        self._http = http
        self.url = url  # of the running server; None in process

    def close(self) -> None:
        self._http.close()

    def get(self, path: str, **parameters: Any) -> Any:
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._decoded(self._send("GET", path, params=given))

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._decoded(self._send("POST", path, json=dict(body or {})))

    def put(self, path: str, body: Mapping[str, Any], **parameters: Any) -> Any:
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._decoded(self._send("PUT", path, json=dict(body), params=given))

    def delete(self, path: str, **parameters: Any) -> Any:
        given = {name: value for name, value in parameters.items() if value is not None}
        return self._decoded(self._send("DELETE", path, params=given))

    def text(self, path: str) -> str:
        """The body as it is."""
        return self._send("GET", path).text

    def events(self, path: str, body: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
        """The server-sent events of a POST: (event name, decoded data)."""
        try:
            with self._http.stream("POST", path, json=dict(body)) as response:
                if response.status_code >= 400:
                    raise Problem.received(response.status_code, response.read())
                yield from _events(response.iter_lines())
        except httpx.TransportError as error:
            raise self._lost(error) from error

    def _send(self, method: str, path: str, **content: Any) -> httpx.Response:
        try:
            response = self._http.request(method, _to_the_letter(path), **content)
        except httpx.TransportError as error:
            raise self._lost(error) from error
        if response.status_code >= 400 and not (path == "/health/ready" and response.status_code == 503):
            raise Problem.received(response.status_code, response.content)
        return response

    def _lost(self, error: httpx.TransportError) -> Problem:
        hint = "Look at its log; the data directory is safe. Run the command again when it is back."
        return Problem(f"The server at {self.url} did not answer: {error}", code="server_lost", status=503, hint=hint)

    @staticmethod
    def _decoded(response: httpx.Response) -> Any:
        return response.json() if response.content else None


def _to_the_letter(path: str) -> str:
    """The path with what would end or shorten it quoted: `collections delete 'old#2'` is not about `old`."""
    return "/".join(part.replace(".", "%2E") if part in {".", ".."} else quote(part) for part in path.split("/"))


def _events(lines: Iterator[str]) -> Iterator[tuple[str, Any]]:
    name, data = "message", []
    for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            name = value
        elif field == "data":
            data.append(value)
        elif not line and data:
            yield name, json.loads("\n".join(data))
            name, data = "message", []


@contextmanager
def connect(loaded: LoadedSettings, *, purpose: str) -> Iterator[Client]:
    """A client of the running server, else of an appliance opened in this process and closed at the end.

    Raises DataDirectoryInUse when another command works on the data directory, and what Appliance.open raises.
    """
    paths = DataPaths(loaded.settings.data_dir)
    with ExitStack() as stack:
        client = running_server(paths)
        if client is None:
            client = _open_or_wait(loaded, paths, purpose, stack)
        stack.callback(client.close)
        yield client


def _open_or_wait(loaded: LoadedSettings, paths: DataPaths, purpose: str, stack: ExitStack) -> Client:
    """Open the appliance; while a server is just starting up, wait for its address instead."""
    deadline = time.monotonic() + SERVER_START_S
    while True:
        try:
            return _opened(loaded, purpose, stack)
        except DataDirectoryInUse:
            if (client := running_server(paths)) is not None:
                return client
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def running_server(paths: DataPaths) -> Client | None:
    """A client of the server that holds this data directory, if one answers."""
    server = read_server(paths)
    if server is None:
        return None
    http = httpx.Client(base_url=server["url"], headers={"X-API-Key": server["key"]}, timeout=TIMEOUT, trust_env=False)
    try:
        http.get("/health").raise_for_status()
    except httpx.HTTPError:
        http.close()
        return None
    return Client(http, url=server["url"])


def read_server(paths: DataPaths) -> dict[str, Any] | None:
    """What the serving process wrote about itself: {"pid", "url", "key"}; None without one."""
    try:
        content = json.loads(paths.server.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) and {"url", "key"} <= content.keys() else None


def _opened(loaded: LoadedSettings, purpose: str, stack: ExitStack) -> Client:
    from appliance.app import Appliance
    from appliance.telemetry import log

    log.configure("error" if loaded.settings.log_level != "debug" else "debug", loaded.settings.log_format)
    appliance = Appliance.open(loaded, purpose=purpose)
    stack.callback(appliance.close)
    announce_first_key(appliance.first_key)
    return in_process(appliance)


def in_process(appliance: Any) -> Client:
    """A client of this process's own appliance, authorised as the local administrator."""
    from appliance.web import create_app

    transport = InProcessTransport(create_app(appliance))
    headers = {"X-API-Key": appliance.local_key}
    http = httpx.Client(transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=None)
    return Client(http, url=None)


def announce_first_key(key: str | None) -> None:
    """Print the first admin key, once, on stderr: it is kept as a hash and cannot be shown again."""
    if key:
        click.echo(f"First admin key (shown only now, keep it): {key}", err=True)
