"""The web application: every route, under one guard, one shape of errors and one envelope."""

from litestar import Litestar
from litestar.datastructures import State
from litestar.handlers import HTTPRouteHandler

from appliance.app import Appliance
from appliance.web import (
    admin,
    airgap,
    backups,
    cache,
    calibrations,
    canary,
    costs,
    documents,
    erasures,
    flags,
    health,
    indexes,
    ingest,
    model_changes,
    models,
    openapi,
    packs,
    pages,
    problems,
    prompts,
    query,
    tasks,
    traces,
)
from appliance.web.direct import Direct
from appliance.web.endpoint import Endpoint
from appliance.web.envelope import Envelope
from appliance.web.guards import authorize
from appliance.web.openai import chat, embeddings
from appliance.web.openai import models as v1_models
from appliance.web.rooms import Rooms

QUESTIONS: tuple[HTTPRouteHandler, ...] = (query.query, query.search, chat.chat_completions, embeddings.embeddings)
ROUTES: tuple[HTTPRouteHandler, ...] = (
    *QUESTIONS,
    v1_models.list_v1_models,
    v1_models.show_v1_model,
    ingest.ingest,
    tasks.list_tasks,
    tasks.list_dead,
    tasks.show_task,
    tasks.cancel_task,
    tasks.retry_task,
    documents.list_documents,
    documents.show_document,
    documents.document_text,
    documents.delete_document,
    *erasures.ROUTES,
    documents.list_collections,
    documents.list_fields,
    documents.drop_collection,
    health.health,
    health.ready,
    health.prometheus,
    airgap.show_airgap,
    cache.cache_stats,
    cache.purge_cache,
    costs.show_costs,
    *calibrations.ROUTES,
    *admin.ROUTES,
    *indexes.ROUTES,
    *backups.ROUTES,
    *packs.ROUTES,
    *models.ROUTES,
    *prompts.ROUTES,
    *flags.ROUTES,
    *canary.ROUTES,
    *model_changes.ROUTES,
    *traces.ROUTES,
    pages.ask_page,
    pages.api_page,
    pages.asset,
    openapi.openapi_json,
)


def create_app(appliance: Appliance, rooms: Rooms | None = None) -> Litestar:
    """The ASGI application of an open appliance. Its shutdown ends its threads; the appliance stays open."""
    web = rooms or Rooms(appliance)

    async def close(_app: Litestar) -> None:
        web.close()

    app = Litestar(
        route_handlers=list(ROUTES),
        guards=[authorize],
        exception_handlers={Exception: problems.handle},
        on_shutdown=[close],
        state=State({"web": web}),
        openapi_config=None,
        logging_config=None,
        request_max_body_size=None,  # each route bounds its own body while reading it
    )
    for route in app.routes:
        for handler in getattr(route, "route_handlers", ()):
            assert "OPTIONS" in handler.http_methods or isinstance(handler.opt.get("endpoint"), Endpoint), route.path
    inner = Direct(app.asgi_handler, QUESTIONS)
    app.asgi_handler = Envelope(inner, appliance.settings, appliance.traces, lambda: web.draining)
    return app
