"""The shape of every error: RFC 9457 problem+json with a stable `code`, a `hint` and the query id.

Below /v1 it is the shape of the OpenAI API.
"""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import Request, Response
from litestar.exceptions import HTTPException

from appliance.errors import ApplianceError, Overloaded
from appliance.telemetry import log as telemetry_log
from appliance.web.endpoint import JSON, ClientGone, InvalidField, Reply, Scope
from appliance.web.openai.errors import PREFIX, error_body

log = telemetry_log.get(__name__)

MEDIA_TYPE = "application/problem+json"
_CODES = {400: "invalid_request", 404: "unknown_route", 405: "method_not_allowed", 413: "too_large"}
_HINTS = {
    404: "The API page at /docs lists every route.",
    405: "The Allow header of this response lists the methods; the API page at /docs describes them.",
}


class FieldError(msgspec.Struct, frozen=True):
    """One field of the request and what is wrong with it."""

    field: str
    message: str


class Problem(msgspec.Struct, frozen=True, omit_defaults=True):
    """What went wrong (RFC 9457). `code` is for programs, `detail` and `hint` for people, `query_id` is in the log."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str
    query_id: str
    errors: list[FieldError] = []


def problem_of(error: BaseException, query_id: str) -> Problem:
    """The problem document of any exception; nothing of an unforeseen one is shown."""
    if isinstance(error, ApplianceError):
        errors = [FieldError(error.field, str(error))] if isinstance(error, InvalidField) and error.field else []
        return _problem(error.status, str(error), error.code, error.hint, query_id, errors)
    if isinstance(error, HTTPException) and error.status_code < 500:
        status = error.status_code
        title = _title(status)
        return _problem(
            status, f"{title}.", _CODES.get(status, title.lower().replace(" ", "_")), _HINTS.get(status, ""), query_id
        )
    detail = "Something went wrong inside the appliance."
    return _problem(500, detail, "internal_error", f"Its log says what, under query id {query_id}.", query_id)


def _problem(
    status: int, detail: str, code: str, hint: str, query_id: str, errors: list[FieldError] | None = None
) -> Problem:
    return Problem("about:blank", _title(status), status, detail, code, hint, query_id, errors or [])


def _title(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Client Closed Request"


def extra_headers(error: BaseException) -> list[tuple[str, str]]:
    """Retry-After, WWW-Authenticate, Allow, and Connection where the rest of a body is not wanted."""
    if isinstance(error, Overloaded):
        return [("retry-after", str(error.retry_after_s))]
    if isinstance(error, HTTPException) and error.headers:
        return [(name.lower(), value) for name, value in error.headers.items()]
    status = getattr(error, "status", 500)
    if status == 401:
        return [("www-authenticate", 'Bearer realm="rag-appliance"')]
    return [("connection", "close")] if status == 413 else []


def problem_reply(error: BaseException, scope: Scope) -> Reply:
    """The problem as a response; an unforeseen error is written to the log here, once."""
    if isinstance(error, ClientGone):
        log.debug("client_gone")
    query_id = str(scope.get("query_id", ""))
    problem = problem_of(error, query_id)
    if problem.status >= 500 and not isinstance(error, ApplianceError):
        log.error("request_failed", route=scope.get("path_template", ""), exc_info=error)
    if "fields" in scope:
        scope["fields"]["code"] = problem.code
    headers = [(name.encode(), value.encode("latin-1")) for name, value in extra_headers(error)]
    if str(scope.get("path", "")).startswith(PREFIX):
        field = problem.errors[0].field if problem.errors else None
        body = error_body(problem.status, problem.detail, problem.hint, problem.code, field, query_id)
        return Reply(msgspec.json.encode(body), problem.status, JSON, headers)
    return Reply(msgspec.json.encode(problem), problem.status, MEDIA_TYPE.encode(), headers)


def handle(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    """Litestar's exception handler for everything."""
    made = problem_reply(error, request.scope)
    headers = {name.decode(): value.decode("latin-1") for name, value in made.headers}
    return Response(made.body, status_code=made.status, media_type=made.media_type.decode(), headers=headers)
