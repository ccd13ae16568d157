"""The models that questions can do without, opened or not: each with what `/health/ready` tells of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from appliance.answer import Prompts
from appliance.config import Settings
from appliance.errors import InvalidRequest, ModelError
from appliance.inference import Embedders, ModelRegistry, describe, open_generator, open_reader, open_reranker
from appliance.pulse import Pulse
from appliance.search import LateInteraction, TermReranker
from appliance.types import Embedder, EvidenceEffort, Flags, Generator, PassageReader, Reranker, TokenEmbedder

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Models:
    """The models beside a collection's embedder, as far as there are any."""

    generator: Generator | None = None
    reranker: Reranker | None = None
    reader: PassageReader | None = None

    def possible(self, prompts: Prompts, flags: Flags, values: Mapping[str, Any]) -> None:
        """Raises InvalidRequest where `values` ask for what this host cannot do, NotFound for an unknown prompt."""
        lacks = ""
        if values.get("rerank") and self.reranker is None:
            lacks = "a reranker"
        if values.get("evidence") == EvidenceEffort.FULL and self.reader is None:
            lacks = "a reader"
        written = values.get("rewrite", "none") != "none" or values.get("condense") == "generator"
        if written and self.generator is None:
            lacks = "a generator"
        if lacks:
            raise InvalidRequest(
                f"This needs {lacks}, and there is none.",
                code="impossible_flag",
                hint="`models list` shows which models there are; settings name those that are used.",
            )
        if values.get("prompt"):
            prompts.named(flags.prompt)


def generator(registry: ModelRegistry, settings: Settings, pulse: Pulse) -> tuple[Generator | None, str]:
    """The generator, or None with the cause: without it answers are extractive, which is no reason to stop."""
    try:
        found = open_generator(
            registry,
            settings.generator,
            threads=settings.threads,
            context_tokens=settings.context_tokens,
            queue_limit=settings.generator_queue,
            slots=settings.generator_slots,
            memory_bytes=settings.generator_memory_bytes,
            pulse=pulse,
        )
    except ModelError as error:
        log.error("generator_unusable", error=str(error), hint=error.hint)
        return None, f"unusable, answers are extractive: {error}"
    return found, "none: answers are extractive" if found is None else describe(found)


def reranker(registry: ModelRegistry, embedders: Embedders, settings: Settings) -> tuple[Reranker | None, str]:
    """The reranker, or None with the cause, as for the generator."""
    if settings.reranker == "terms":
        return TermReranker(), TermReranker.name
    try:
        if settings.reranker == LateInteraction.name:
            return _late_interaction(embedders.named(settings.embedder)), LateInteraction.name
        found = open_reranker(registry, settings.reranker)
    except ModelError as error:
        log.error("reranker_unusable", error=str(error), hint=error.hint)
        return None, f"unusable, passages stay as they were fused: {error}"
    return found, "none: passages stay as they were fused" if found is None else found.name


def _late_interaction(embedder: Embedder) -> Reranker:
    if not isinstance(embedder, TokenEmbedder):
        raise ModelError(f"{embedder.name}: gives no vectors of tokens", code="model_foreign")
    embedder.embed_tokens(["ready"])
    return LateInteraction(embedder)


def reader(registry: ModelRegistry, settings: Settings) -> PassageReader | None:
    """The reader, or None with a line in the log: answers are then made from what was stored."""
    try:
        return open_reader(registry, threads=settings.threads)
    except ModelError as error:
        log.error("reader_unusable", error=str(error), hint=error.hint)
        return None
