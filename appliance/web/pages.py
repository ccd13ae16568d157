"""The pages for people: ask in the browser, and the API page. Static files of this package; nothing from elsewhere."""

from pathlib import Path
from typing import Any

from litestar import Request, get
from litestar.exceptions import NotFoundException
from litestar.params import FromPath
from litestar.types import ASGIApp

from appliance.web.endpoint import Reply, endpoint

FOLDER = Path(__file__).resolve().parent / "pages"
_TYPES = {
    ".html": b"text/html; charset=utf-8",
    ".js": b"text/javascript; charset=utf-8",
    ".css": b"text/css; charset=utf-8",
    ".svg": b"image/svg+xml",
}
_POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; "
    b"form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
)
_PAGE_HEADERS = [(b"content-security-policy", _POLICY), (b"x-frame-options", b"DENY"), (b"cache-control", b"no-cache")]
_PAGE_HEADERS.append((b"cross-origin-opener-policy", b"same-origin"))


def _file(name: str) -> ASGIApp:
    """One file of the folder; names come from its listing, never from the request."""
    path = next((entry for entry in FOLDER.iterdir() if entry.name == name), None)
    if path is None or path.suffix not in _TYPES:
        raise NotFoundException()
    return Reply(path.read_bytes(), media_type=_TYPES[path.suffix], headers=_PAGE_HEADERS)


@get("/", opt=endpoint(None, "pages", media=("text/html",)))
async def ask_page(request: Request[Any, Any, Any]) -> ASGIApp:
    """A page to ask questions in the browser."""
    return _file("ask.html")


@get("/docs", opt=endpoint(None, "pages", media=("text/html",)))
async def api_page(request: Request[Any, Any, Any]) -> ASGIApp:
    """This API, readable and to be tried, without anything from another host."""
    return _file("docs.html")


@get("/assets/{name:str}", opt=endpoint(None, "pages", media=("text/css", "text/javascript", "image/svg+xml")))
async def asset(request: Request[Any, Any, Any], name: FromPath[str]) -> ASGIApp:
    """Scripts and styles of the pages."""
    return _file(name)
