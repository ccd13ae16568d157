"""Errors of the /v1 routes in the shape that clients of the OpenAI API read."""

import msgspec

PREFIX = "/v1/"
_TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}


class ErrorDetail(msgspec.Struct, frozen=True):
    """`message` ends with what to do; `code` is as in every other error of this appliance; `query_id` is in the log."""

    message: str
    type: str
    code: str
    param: str | None
    query_id: str


class ErrorBody(msgspec.Struct, frozen=True):
    """What went wrong."""

    error: ErrorDetail


def error_body(status: int, detail: str, hint: str, code: str, field: str | None, query_id: str) -> ErrorBody:
    """`field` is the parameter at fault, if it is one."""
    kind = _TYPES.get(status) or ("invalid_request_error" if status < 500 else "server_error")
    return ErrorBody(ErrorDetail(f"{detail} {hint}".strip(), kind, code, field or None, query_id))
