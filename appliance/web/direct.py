"""The short way to the routes that are asked thousands of times a second: Litestar's own is a sixth of the event loop's
work for an answer that is computed, and more of one that is kept.
"""

import re
from collections.abc import Sequence
from typing import Any

from litestar import Request
from litestar.handlers import HTTPRouteHandler
from litestar.types import ASGIApp

from appliance.web.endpoint import Receive, Scope, Send, header
from appliance.web.guards import authorize

_PLAIN_HOST = re.compile(rb"[\w.:\[\]-]*", re.ASCII)  # what more a host may be, the router looks at


class Direct:
    """An ASGI application: calls `handlers`, whose paths have no parameters, under the guard of every route.

    Any other request is for `inner`, Litestar's router. Errors are left to the envelope, which words them the same.
    """

    def __init__(self, inner: ASGIApp, handlers: Sequence[HTTPRouteHandler]) -> None:
        self._inner = inner
        self._handlers = {
            (method, path): handler for handler in handlers for path in handler.paths for method in handler.http_methods
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"]
        handler = self._handlers.get((scope["method"], path))
        if handler is None or not _PLAIN_HOST.fullmatch(header(scope, b"host")):
            await self._inner(scope, receive, send)
            return
        scope["path_template"] = path
        request: Request[Any, Any, Any] = Request(scope, receive, send)
        await authorize(request, handler)
        response: ASGIApp = await handler.fn(request)
        await response(scope, receive, send)
