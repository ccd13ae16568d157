"""Every metric that grows as things happen, declared once; `gauges` declares those that are looked up when asked for.

Labels are bounded sets, never text, names or paths from users.
Times are in seconds, sizes in bytes, as the Prometheus naming guide asks.
"""

from prometheus_client import (
    CollectorRegistry,
    Gauge,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from appliance.telemetry.counter import Counter
from appliance.telemetry.exposition import Page, Readings
from appliance.telemetry.histogram import Histogram

disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series beside each counter doubles the page and says nothing new

REGISTRY = CollectorRegistry(auto_describe=True)

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
_PAGE = Page(REGISTRY)
_FAST = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.1, 0.25, 0.5, 1, 2, 5, 10, 30)  # 2: the objective

HTTP_SECONDS = Histogram(
    "rag_http_request_seconds",
    "Time from the request line to the last byte, by route template and status class.",
    ("method", "route", "status"),
    buckets=_FAST,
    registry=REGISTRY,
)
HTTP_IN_FLIGHT = Gauge("rag_http_requests_in_flight", "Requests being worked on now.", registry=REGISTRY)

QUERIES = Counter("rag_queries", "Questions by endpoint and outcome.", ("endpoint", "status"), registry=REGISTRY)
STAGE_SECONDS = Histogram(
    "rag_stage_seconds",
    "Time spent in one stage of a question or a document; `lexical` runs beside `embed` and `dense`.",
    ("stage",),
    buckets=_FAST,
    registry=REGISTRY,
)
ABSTENTIONS = Counter(
    "rag_abstentions", "Questions the appliance declined to answer, by reason.", ("reason",), registry=REGISTRY
)
CONFLICTS = Counter(
    "rag_conflicting_answers",
    "Answers that show two sides, because documents contradict each other.",
    registry=REGISTRY,
)
UNSUPPORTED_CLAIMS = Counter(
    "rag_unsupported_claims", "Generated sentences that the passages did not support.", registry=REGISTRY
)
PROMPT_QUESTIONS = Counter(
    "rag_prompt_questions",
    "Questions for the generator by prompt and outcome: generative, extractive where nothing stood, abstained.",
    ("prompt", "outcome"),
    registry=REGISTRY,
)
PROMPT_CLAIMS = Counter(
    "rag_prompt_claims",
    "Generated sentences by prompt, supported by the passages or dropped.",
    ("prompt", "outcome"),
    registry=REGISTRY,
)
PROMPT_TOKENS = Counter(
    "rag_prompt_tokens", "Tokens read and written by prompt.", ("prompt", "direction"), registry=REGISTRY
)
PROMPT_SECONDS = Histogram(
    "rag_prompt_seconds",
    "Time to write and check an answer, by prompt.",
    ("prompt",),
    buckets=(0.25, 0.5, 1, 2, 4, 8, 16, 32),
    registry=REGISTRY,
)
GENERATED_TOKENS = Counter("rag_generated_tokens", "Tokens written by the generator.", registry=REGISTRY)
GENERATOR_REQUESTS = Gauge("rag_generator_requests", "Requests that hold a slot of the generator.", registry=REGISTRY)
GENERATOR_HELD = Gauge("rag_generator_held_tokens", "Tokens in the slots of the generator.", registry=REGISTRY)

CANARY_QUESTIONS = Counter(
    "rag_canary_questions",
    "Questions that were computed while a canary ran, by its side (stable, canary): answered, declined, error.",
    ("variant", "outcome"),
    registry=REGISTRY,
)
CANARY_SECONDS = Histogram(
    "rag_canary_seconds",
    "Time that they took, by side.",
    ("variant",),
    buckets=_FAST,
    registry=REGISTRY,
)
CANARY_ROLLBACKS = Counter("rag_canary_rollbacks", "Canaries that were rolled back by themselves.", registry=REGISTRY)

CACHE_REQUESTS = Counter(
    "rag_cache_requests",
    "Look-ups by layer and outcome; `answers` is the answer cache as a whole, `memory` and `disk` are its layers.",
    ("layer", "outcome"),
    registry=REGISTRY,
)
CACHE_EVICTIONS = Counter("rag_cache_evictions", "Entries that went to make room.", ("layer",), registry=REGISTRY)
PREWARMED = Counter("rag_prewarmed_answers", "Answers computed before anybody asked again.", registry=REGISTRY)
CACHE_ERRORS = Counter(
    "rag_cache_errors", "Failures of a cache; each was answered without it.", ("layer",), registry=REGISTRY
)

INGESTED_DOCUMENTS = Counter(
    "rag_ingested_documents", "Documents taken through ingestion, by outcome.", ("outcome",), registry=REGISTRY
)
INGESTED_CHUNKS = Counter("rag_ingested_chunks", "Chunks committed by ingestion.", registry=REGISTRY)
INGESTED_BYTES = Counter(
    "rag_ingested_bytes", "Bytes of files that ingestion has read, unchanged ones included.", registry=REGISTRY
)
INDEX_REBUILDS = Counter(
    "rag_index_rebuilds", "Index generations built anew, by reason.", ("reason",), registry=REGISTRY
)
INDEX_UNUSABLE = Counter(
    "rag_index_generations_unusable",
    "Index generations found missing, torn, foreign or stale, by which of these.",
    ("reason",),
    registry=REGISTRY,
)
INDEX_REFUSED = Counter(
    "rag_index_generations_refused",
    "New indexes that found too few of the nearest vectors; the one before kept serving.",
    registry=REGISTRY,
)
BACKUPS = Counter("rag_backups", "Backups taken and verified, by outcome.", ("work", "outcome"), registry=REGISTRY)
LAST_BACKUP = Gauge(
    "rag_last_backup_timestamp_seconds",
    "When the newest backup in the folder of the settings was taken, seconds since the epoch; 0 for none.",
    registry=REGISTRY,
)
TRACES_EXPORTED = Counter("rag_traces_exported", "Traces that the collector of OpenTelemetry took.", registry=REGISTRY)
TRACES_DROPPED = Counter(
    "rag_traces_dropped",
    "Traces that did not reach the collector: queue_full, refused or unreachable. No question waits for it.",
    ("reason",),
    registry=REGISTRY,
)
METRICS_FAILED = Counter(
    "rag_metrics_failed",
    "Times that a part could not be looked at for this page; its metrics are left out then.",
    ("part",),
    registry=REGISTRY,
)


def render(readings: Readings | None = None) -> bytes:
    """All metrics in the Prometheus text format 0.0.4, with those that were looked up."""
    return _PAGE.render(readings or {})
