"""/openapi.json: OpenAPI 3.1, made from the routes and the wire structs themselves, so it cannot say something else."""

import inspect
import re
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec
from litestar import Litestar, Request, get
from litestar.handlers import HTTPRouteHandler
from litestar.routes import HTTPRoute
from litestar.types import ASGIApp

from appliance import __version__
from appliance.types import Role
from appliance.web.endpoint import Endpoint, Reply, endpoint
from appliance.web.ingest import IngestFiles
from appliance.web.problems import MEDIA_TYPE, Problem

_TEMPLATE = "#/components/schemas/{name}"
_PARAMETER = re.compile(r"\{(\w+):(\w+)\}")
_TAGS = {
    "questions": "Answers with citations, and passages.",
    "openai": "The same for clients of the OpenAI API.",
    "ingestion": "Documents in, and how it goes.",
    "documents": "What is there.",
    "state": "Health, metrics, cache.",
    "admin": "Keys, indexes, models.",
    "pages": "For people.",
}
_ABOUT = (
    "Answers questions from this host's own documents, with exact citations. Every error is an RFC 9457 problem with "
    "`code`, `hint` and `query_id`. Send a key as `X-API-Key` or `Authorization: Bearer`. Roles include "
    "the ones before: reader asks, editor also ingests and deletes, admin does everything."
)


def endpoints(app: Litestar) -> Iterator[tuple[str, str, HTTPRouteHandler, Endpoint]]:
    """Every (path, method, route handler, description) of the application."""
    for route in app.routes:
        if not isinstance(route, HTTPRoute):
            continue
        for handler in route.route_handlers:
            described = handler.opt.get("endpoint")
            for method in sorted(handler.http_methods):
                if isinstance(described, Endpoint) and method != "OPTIONS":
                    yield route.path, str(method), handler, described


def document(app: Litestar) -> dict[str, Any]:
    """The OpenAPI document."""
    found = list(endpoints(app))
    schemas, components = _schemas([described for *_, described in found])
    paths: dict[str, dict[str, Any]] = {}
    for path, method, handler, described in found:
        template = _PARAMETER.sub(r"{\1}", path)
        paths.setdefault(template, {})[method.lower()] = _operation(path, handler, described, schemas)
    return {
        "openapi": "3.1.0",
        "info": {"title": "rag-appliance", "version": __version__, "description": _ABOUT},
        "tags": [{"name": name, "description": text} for name, text in _TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": components,
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            },
        },
    }


def _schemas(described: Iterable[Endpoint]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """Schema references by type, and the components they point to."""
    types: list[Any] = [Problem, IngestFiles]
    for one in described:
        types += [kind for kind in (*one.body, one.parameters, one.returns) if kind is not None and kind not in types]
    references, components = msgspec.json.schema_components(types, ref_template=_TEMPLATE)
    return dict(zip(types, references, strict=True)), dict(components)


def _operation(path: str, handler: HTTPRouteHandler, described: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    text = inspect.cleandoc(handler.fn.__doc__ or "")
    made: dict[str, Any] = {
        "operationId": handler.fn.__name__,
        "tags": [described.tag],
        "summary": re.split(r"(?<=[.:;])\s", text, maxsplit=1)[0].rstrip(".:;"),
        "description": text,
        "security": [{"key": []}, {"bearer": []}] if described.role else [],
        "responses": _responses(described, schemas),
    }
    if described.role is not None:
        made["x-role"] = Role(described.role).value
    parameters = _path_parameters(path) + _query_parameters(described)
    if parameters:
        made["parameters"] = parameters
    if described.body:
        made["requestBody"] = {"required": True, "content": _body_content(described, schemas)}
    return made


def _responses(described: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    schema = schemas[described.returns] if described.returns is not None else {"type": "string"}
    content = {
        media: {"schema": schema if media == "application/json" else {"type": "string"}} for media in described.media
    }
    problem = {"description": "A problem.", "content": {MEDIA_TYPE: {"schema": schemas[Problem]}}}
    return {str(described.status): {"description": "Done.", "content": content}, "default": problem}


def _body_content(described: Endpoint, schemas: dict[Any, Any]) -> dict[str, Any]:
    choices = [schemas[kind] for kind in described.body]
    content: dict[str, Any] = {"application/json": {"schema": choices[0] if len(choices) == 1 else {"oneOf": choices}}}
    if "multipart/form-data" in described.accepts:
        parts = {"file": {"type": "string", "format": "binary"}}
        form = {"allOf": [schemas[IngestFiles], {"type": "object", "properties": parts, "required": ["file"]}]}
        content["multipart/form-data"] = {"schema": form}
    return content


def _path_parameters(path: str) -> list[dict[str, Any]]:
    kinds = {"int": "integer", "str": "string"}
    return [
        {"name": name, "in": "path", "required": True, "schema": {"type": kinds.get(kind, "string")}}
        for name, kind in _PARAMETER.findall(path)
    ]


def _query_parameters(described: Endpoint) -> list[dict[str, Any]]:
    if described.parameters is None:
        return []
    schema = msgspec.json.schema(described.parameters)["$defs"][described.parameters.__name__]
    required = schema.get("required", [])
    return [
        {"name": name, "in": "query", "required": name in required, "schema": kind}
        for name, kind in schema["properties"].items()
    ]


@get("/openapi.json", opt=endpoint(None, "pages"))
async def openapi_json(request: Request[Any, Any, Any]) -> ASGIApp:
    """This API as an OpenAPI 3.1 document."""
    return Reply(msgspec.json.encode(document(request.app)))
