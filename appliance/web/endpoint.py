"""What a route is, beside its function: who may call it, what it takes and gives. Guards and the API page read it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, TypeAlias, TypeVar

import msgspec
from litestar import Request
from litestar.types import ASGIApp

from appliance.errors import ApplianceError, InvalidRequest, TooLarge
from appliance.types import Role

T = TypeVar("T")

# Litestar's own types of these are TypedDicts that know nothing of the keys the envelope adds.
Scope: TypeAlias = Any
Receive: TypeAlias = Callable[[], Awaitable[Any]]
Send: TypeAlias = Callable[[Any], Awaitable[None]]

JSON = b"application/json"
SMALL_BODY = 1024**2  # bytes; the longest question allowed by the settings fits in many times over


class UnsupportedMediaType(ApplianceError):
    status = 415
    default_code = "unsupported_media_type"


class ClientGone(ApplianceError):
    """The caller closed the connection; nobody reads the answer. 499 is nginx's number for it, seen in the log only."""

    status = 499
    default_code = "client_gone"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """`role` None leaves the route open; `parameters` and `returns` are msgspec structs, `body` those it may be.

    `media` and `accepts` are what it answers with and takes; `open_from_loopback` asks this host itself for no key.
    """

    role: Role | None
    tag: str
    body: tuple[type[msgspec.Struct], ...] = ()
    parameters: type[msgspec.Struct] | None = None
    returns: type[msgspec.Struct] | None = None
    status: int = 200
    media: tuple[str, ...] = ("application/json",)
    accepts: tuple[str, ...] = ("application/json",)
    open_from_loopback: bool = False


def endpoint(role: Role | None, tag: str, **more: Any) -> dict[str, Any]:
    """The `opt` of a Litestar route handler that describes it."""
    return {"endpoint": Endpoint(role, tag, **more)}


@dataclass(slots=True)
class Reply:
    """A response as plain bytes: the cheapest thing an ASGI server can be given."""

    body: bytes
    status: int = 200
    media_type: bytes = JSON
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        head = [(b"content-type", self.media_type), (b"content-length", b"%d" % len(self.body)), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": head})
        await send({"type": "http.response.body", "body": self.body, "more_body": False})


def reply(value: msgspec.Struct, status: int = 200) -> ASGIApp:
    """`value` as JSON."""
    return Reply(msgspec.json.encode(value), status)


def header(scope: Scope, wanted: bytes) -> bytes:
    """The first header of this (lower-case) name, or empty."""
    for name, value in scope["headers"]:
        if name == wanted:
            return bytes(value)
    return b""


async def read_body(request: Request[Any, Any, Any], limit: int) -> bytes:
    """The whole body, at most `limit` bytes.

    Raises TooLarge, ClientGone.
    """
    length = header(request.scope, b"content-length")
    if length.isdigit() and int(length) > limit:
        raise body_too_large(limit)
    parts: list[bytes] = []
    size = 0
    while True:
        message: Any = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientGone("The caller left before the request was complete.")
        part = message.get("body", b"")
        size += len(part)
        if size > limit:
            raise body_too_large(limit)
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


def body_too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The request is larger than {limit} bytes.", code="request_too_large", hint="Send less in one request."
    )


async def read_json(request: Request[Any, Any, Any], wanted: type[T], limit: int = SMALL_BODY) -> T:
    """The JSON body as `wanted`.

    Raises UnsupportedMediaType, TooLarge, InvalidRequest naming the field.
    """
    given = header(request.scope, b"content-type").partition(b";")[0].strip().lower()
    if given != JSON:
        shown = given.decode("latin-1")[:80] or "a body without a Content-Type"
        raise UnsupportedMediaType(
            f"This route takes application/json, not {shown}.",
            hint="Send `Content-Type: application/json`.",
        )
    body = await read_body(request, limit)
    if not body.strip():
        raise InvalidField("The request has no body; a JSON object is needed.", "")
    try:
        found: T = msgspec.json.decode(body, type=wanted)
    except msgspec.ValidationError as error:
        raise invalid_field(error, wanted) from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise InvalidField(f"The body is not valid JSON: {error}", "", code="invalid_json") from None
    except RecursionError:
        raise InvalidField("The body is nested too deeply.", "", code="invalid_json") from None
    return found


def read_parameters(request: Request[Any, Any, Any], wanted: type[T]) -> T:
    """The query string as `wanted`; each name once, unknown names refused.

    Raises InvalidRequest naming the parameter.
    """
    given: dict[str, str] = {}
    for name, value in request.query_params.multi_items():
        if name in given:
            raise InvalidField(f"The parameter {name[:80]!r} is given more than once.", name)
        given[name] = value
    try:
        return msgspec.convert(given, wanted, strict=False)
    except msgspec.ValidationError as error:
        raise invalid_field(error, wanted) from None


class InvalidField(InvalidRequest):
    """A request that does not fit; `field` is a dotted path, empty for the request as a whole."""

    def __init__(self, message: str, field: str, *, hint: str = "", code: str | None = None) -> None:
        super().__init__(message, hint=hint or "The API page at /docs shows what each route takes.", code=code)
        self.field = field


_AT = re.compile(r" - at `(?:key in )?\$(?P<path>[^`]*)`$")
_NAMED = re.compile(r"(?:missing required|contains unknown) field `(?P<name>[^`]*)`")


def invalid_field(error: msgspec.ValidationError, wanted: Any) -> InvalidField:
    """msgspec's message taken apart into a field and what is wrong with it; `wanted` is the type that was decoded."""
    message = str(error)
    at = _AT.search(message)
    path = at["path"].replace("[...]", "").lstrip(".") if at else ""
    message = message[: at.start()] if at else message
    named = _NAMED.search(message)
    where = ".".join(part for part in (path, named["name"][:80] if named else "") if part)
    message = message.replace("Object contains unknown", "There is no such").replace("Object missing", "Missing")
    if message.startswith("Invalid enum value"):
        message = ". ".join([message, *_choices(wanted, where)])
    return InvalidField(message if named or not where else f"`{where}`: {message}", where)


def _choices(wanted: Any, name: str) -> list[str]:
    """What the field `name` of a struct takes, as a sentence; nothing where it takes any text."""
    fields = getattr(msgspec.inspect.type_info(wanted), "fields", ())
    kinds = [field.type for field in fields if field.encode_name == name]
    while kinds and isinstance(kinds[0], msgspec.inspect.Metadata | msgspec.inspect.UnionType):
        kinds = [kinds[0].type] if isinstance(kinds[0], msgspec.inspect.Metadata) else list(kinds[0].types)
    words = [
        str(word)
        for kind in kinds
        for word in (getattr(kind, "values", None) or [one.value for one in getattr(kind, "cls", ())])
    ]
    return ["Choose one of " + ", ".join(words) + "."] if words else []
