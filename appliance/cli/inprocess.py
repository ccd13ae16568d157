"""An httpx transport that calls the web application in this process, streaming: no socket, no server, one code path."""

import asyncio
import contextlib
import queue
import threading
from collections.abc import Awaitable, Callable, Iterator, MutableMapping
from typing import Any

import httpx

Message = MutableMapping[str, Any]
Application = Callable[..., Awaitable[None]]  # ASGI: scope, receive, send


class InProcessTransport(httpx.BaseTransport):
    """Runs an ASGI application on an event loop of its own thread.

    httpx.ASGITransport collects the whole body before it returns, so nothing could be streamed through it.
    """

    def __init__(self, application: Application) -> None:
        self._application = application
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="cli-web", daemon=True)
        self._thread.start()
        self._lifespan = _Lifespan(application)
        self._call(self._lifespan.start())

    def _call(self, awaitable: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        exchange = _Exchange(request)
        future = asyncio.run_coroutine_threadsafe(exchange.run(self._application), self._loop)
        start = exchange.next_message()
        if start is None:
            future.result()  # raises what the application raised before it answered
            raise httpx.RemoteProtocolError("the application ended without an answer", request=request)
        stream = _Body(exchange)
        return httpx.Response(start["status"], headers=start.get("headers", []), stream=stream, request=request)

    def close(self) -> None:
        self._call(self._lifespan.stop())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(timeout=5)
        if not self._thread.is_alive():
            self._loop.close()


class _Exchange:
    """One request and the messages the application answers with; `None` marks their end."""

    def __init__(self, request: httpx.Request) -> None:
        self._body = request.read()
        self._messages: queue.Queue[Message | None] = queue.Queue()  # bounded by what one answer sends
        self._gone = asyncio.Event()
        self._scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": request.method,
            "scheme": request.url.scheme,
            "path": request.url.path,
            "raw_path": request.url.raw_path.split(b"?")[0],
            "query_string": request.url.query,
            "root_path": "",
            "headers": [(name.lower(), value) for name, value in request.headers.raw],
            "client": ("127.0.0.1", 0),
            "server": (request.url.host, request.url.port),
            "state": {},
        }

    async def run(self, application: Application) -> None:
        try:
            await application(self._scope, self._receive, self._send)
        finally:
            self._messages.put(None)

    async def _receive(self) -> Message:
        if self._body is not None:
            body, self._body = self._body, None  # type: ignore[assignment]
            return {"type": "http.request", "body": body, "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Message) -> None:
        self._messages.put(message)
        await asyncio.sleep(0)

    def next_message(self) -> Message | None:
        return self._messages.get()

    def leave(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.call_soon_threadsafe(self._gone.set)


class _Body(httpx.SyncByteStream):
    def __init__(self, exchange: _Exchange) -> None:
        self._exchange = exchange
        self._ended = False

    def __iter__(self) -> Iterator[bytes]:
        while not self._ended:
            message = self._exchange.next_message()
            if message is None or message["type"] != "http.response.body":
                self._ended = True
                return
            if message.get("body"):
                yield message["body"]
            self._ended = not message.get("more_body", False)


class _Lifespan:
    """The start and the end of the application, as an ASGI server would announce them."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._inbox: asyncio.Queue[Message] | None = None
        self._outbox: asyncio.Queue[Message] | None = None
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._inbox, self._outbox = asyncio.Queue(), asyncio.Queue()
        self._task = asyncio.create_task(self._run())
        await self._announce("lifespan.startup")

    async def stop(self) -> None:
        await self._announce("lifespan.shutdown")
        if self._task is not None:
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _run(self) -> None:
        assert self._inbox is not None
        assert self._outbox is not None
        scope: Message = {"type": "lifespan", "asgi": {"version": "3.0", "spec_version": "2.0"}, "state": {}}
        try:
            await self._application(scope, self._inbox.get, self._outbox.put)
        finally:
            await self._outbox.put({"type": "lifespan.ended"})

    async def _announce(self, kind: str) -> None:
        assert self._inbox is not None
        assert self._outbox is not None
        await self._inbox.put({"type": kind})
        message = await self._outbox.get()
        if str(message["type"]).endswith(".failed"):
            raise RuntimeError(f"{kind} failed: {message.get('message', '')}")
