"""What the other parts say: starts, readiness, queues, costs, caches, models, backups."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import datetime

from appliance.accounting import watt_hours
from appliance.app import Appliance
from appliance.errors import ApplianceError
from appliance.inference import generator_state
from appliance.observation.reading import Reading
from appliance.telemetry import gauges

HOUR_S = 3600.0
TOKEN_KINDS = (
    *("prompt_tokens", "completion_tokens", "embedded_tokens"),
    *("cache_saved_tokens", "compression_saved_tokens"),
)


def starts(appliance: Appliance) -> Iterator[Reading]:
    """Starts, and how the lives before them ended."""
    counted = appliance.starts
    yield gauges.STARTS, (), float(counted.starts)
    for reason, count in counted.unclean.items():
        yield gauges.UNCLEAN_STARTS, (reason,), float(count)


def components(appliance: Appliance) -> Iterator[Reading]:
    """Readiness without work: a database that answers, an ingestion that runs, models that were asked for."""
    settings = appliance.settings
    ready = {
        "database": _works(appliance.collections.all),
        "ingestion": _works(appliance.ingestion.health),
        "generator": appliance.generator is not None or settings.generator == "none",
        "reranker": appliance.reranker is not None or settings.reranker == "none",
    }
    for component, well in ready.items():
        yield gauges.COMPONENT_READY, (component,), float(well)
    yield gauges.LATE_LOOPS, (), float(len(appliance.pulses.late()))


def queues(appliance: Appliance) -> Iterator[Reading]:
    """What waits for ingestion and for the generator. The questions' own queue is the web's."""
    waiting, oldest = appliance.ingestion.backlog()
    yield gauges.QUEUE_DEPTH, ("ingest",), float(waiting)
    yield gauges.QUEUE_LIMIT, ("ingest",), float(appliance.settings.ingest_queue)
    yield gauges.OLDEST_JOB, (), max(0.0, time.time() - oldest) if oldest is not None else 0.0
    yield gauges.BREAKER_OPEN, ("ingestion",), float(bool(appliance.ingestion.waiting))
    yield gauges.BREAKER_OPEN, ("reembedding",), float(bool(appliance.reembedding.waiting))
    if appliance.generator is not None:
        state = generator_state(appliance.generator)
        yield gauges.QUEUE_DEPTH, ("generator",), float(state.waiting)
        yield gauges.QUEUE_LIMIT, ("generator",), float(appliance.settings.generator_queue)
        yield gauges.GENERATOR_SLOTS, (), float(state.slots)
        yield gauges.BREAKER_OPEN, ("generator",), float(state.resting_s > 0)


def costs(appliance: Appliance) -> Iterator[Reading]:
    """Answers, tokens and core-seconds of everybody since the start."""
    sums = appliance.accounts.totals()
    cached = sums.get("cached", 0.0)
    yield gauges.ANSWERS, ("cache",), cached
    yield gauges.ANSWERS, ("computed",), sums.get("questions", 0.0) - cached
    for kind in TOKEN_KINDS:
        yield gauges.TOKENS, (kind.removesuffix("_tokens"),), sums.get(kind, 0.0)
    seconds = sums.get("compute_s", 0.0)
    yield gauges.COMPUTE, (), seconds
    yield gauges.ENERGY, (), watt_hours(seconds, appliance.settings.watts_per_core)
    yield gauges.SAVED, (), sums.get("cache_saved_s", 0.0)


def caches(appliance: Appliance) -> Iterator[Reading]:
    """The answers on disk."""
    for layer in appliance.cache.stats():
        yield gauges.CACHE_ENTRIES, (layer.layer,), float(layer.entries)
        yield gauges.CACHE_BYTES, (layer.layer,), float(layer.bytes)
        yield gauges.CACHE_LIMIT, (layer.layer,), float(layer.bound)


def models(appliance: Appliance) -> Iterator[Reading]:
    """Which models can be used, of those that are wanted, and which are in memory."""
    settings, generator = appliance.settings, appliance.generator
    loaded = {"embedder": True, "reader": appliance.reader is not None}
    if settings.generator != "none":
        loaded["generator"] = generator is not None and generator_state(generator).loaded
    if settings.reranker not in {"none", "terms"}:
        loaded["reranker"] = appliance.reranker is not None
    usable = loaded | {"generator": generator is not None} if "generator" in loaded else loaded
    for model, is_loaded in loaded.items():
        yield gauges.MODEL_LOADED, (model,), float(is_loaded)
        yield gauges.MODEL_USABLE, (model,), float(usable[model])


def backups(appliance: Appliance) -> Iterator[Reading]:
    """How often backups are wanted, and when the capacity certificate was made."""
    yield gauges.BACKUP_INTERVAL, (), appliance.settings.backup_every * HOUR_S
    yield gauges.CERTIFICATE, (), _certificate_made(appliance)


def _certificate_made(appliance: Appliance) -> float:
    made = 0.0
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none, or none that can be read
        told = json.loads((appliance.paths.root / "certificate" / "capacity.json").read_text("utf-8"))
        made = datetime.fromisoformat(told["made"]).timestamp()
    return made


def _works(look: Callable[[], object]) -> bool:
    try:
        look()
    except ApplianceError:
        return False
    return True
