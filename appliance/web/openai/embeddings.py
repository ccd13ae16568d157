"""POST /v1/embeddings: the vectors that the appliance itself searches with."""

import base64
import time
from collections.abc import Sequence
from typing import Any

import msgspec
import numpy as np
from litestar import Request, post
from litestar.types import ASGIApp

from appliance.app import Appliance
from appliance.telemetry.stages import stage
from appliance.telemetry.tracing import note
from appliance.types import CancelToken, Embedder, Passage, Role, Vector
from appliance.web.endpoint import ClientGone, InvalidField, endpoint, read_json
from appliance.web.endpoint import Reply as PlainReply
from appliance.web.flights import Finished
from appliance.web.guards import principal_of
from appliance.web.openai.models import embedding_models, unknown_model
from appliance.web.openai.requests import EmbeddingsRequest
from appliance.web.openai.unsupported import UnsupportedParameter
from appliance.web.questions import Tell
from appliance.web.rooms import rooms

LARGEST_BODY = 4 * 1024**2  # bytes
MOST_INPUTS = 2048
TOGETHER = 32  # texts between two looks at whether the caller is still there


class Embedding(msgspec.Struct, frozen=True):
    """A unit vector: numbers, or as base64 of little-endian float32."""

    index: int
    embedding: list[float] | str
    object: str = "embedding"


class EmbeddingUsage(msgspec.Struct, frozen=True):
    """Tokens of the embedding model, without special ones."""

    prompt_tokens: int
    total_tokens: int


class Embeddings(msgspec.Struct, frozen=True):
    """A vector for each text, in order."""

    data: list[Embedding]
    model: str
    usage: EmbeddingUsage
    object: str = "list"


@post("/v1/embeddings", status_code=200, opt=endpoint(
    Role.READER, "openai", body=(EmbeddingsRequest,), returns=Embeddings
))  # fmt: skip
async def embeddings(request: Request[Any, Any, Any]) -> ASGIApp:
    """Vectors of texts, made by an embedding model in use here. A text that it would not read whole is refused."""
    web = rooms(request)
    asked = await read_json(request, EmbeddingsRequest, LARGEST_BODY)
    texts = _texts(asked.input)

    settings, principal = web.appliance.settings, principal_of(request.scope).id

    def work(cancel: CancelToken, _: Tell) -> Finished:
        with web.appliance.accounts.spending(principal) as spending:
            spending.counts["embeddings"] += 1
            began, own_s = time.monotonic(), time.thread_time()
            with stage("embed"):
                made = _embedded(asked, texts, web.appliance, cancel)
                note(texts=len(texts))
            if len(texts) > 1 and settings.threads > 1:  # shared out over threads
                all_s = (time.monotonic() - began) * settings.threads
                spending.beside_s = max(0.0, all_s - (time.thread_time() - own_s))  # this one's own is counted anyway
            spending.counts["embedded_tokens"] += made.usage.prompt_tokens
            return Finished(msgspec.json.encode(made), {})

    finished = await web.questions.finish(web.questions.fly(work), request.scope, request.receive)
    return PlainReply(finished.core)


def _texts(given: Any) -> list[str]:
    """Raises InvalidField, UnsupportedParameter for arrays of tokens."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not 1 <= len(texts) <= MOST_INPUTS:
        raise InvalidField(f"`input` must be a text, or a list of 1 to {MOST_INPUTS} texts.", "input")
    if any(isinstance(text, int | list) for text in texts):
        raise UnsupportedParameter(
            "`input` as arrays of tokens is not supported: tokens of another model mean nothing here.",
            "input",
            hint="Send text. In LangChain, set check_embedding_ctx_length=False.",
        )
    wrong = next((position for position, text in enumerate(texts) if not isinstance(text, str) or not text), None)
    if wrong is not None:
        raise InvalidField("Each text of `input` must be a text that is not empty.", f"input[{wrong}]")
    return texts


def _embedded(asked: EmbeddingsRequest, texts: Sequence[str], appliance: Appliance, cancel: CancelToken) -> Embeddings:
    """Raises NotFound, InvalidField, UnsupportedParameter, ModelError."""
    embedder = _embedder(asked.model, appliance)
    if asked.dimensions not in (None, embedder.dimensions):
        raise UnsupportedParameter(
            f"`dimensions` can only be {embedder.dimensions} with this model.", "dimensions", hint="Leave it out."
        )
    tokens = _counted(texts, embedder)
    data: list[Embedding] = []
    for start in range(0, len(texts), TOGETHER):
        if cancel.is_set():
            raise ClientGone("The caller left before the vectors were there.")
        made = embedder.embed_passages([Passage("", text) for text in texts[start : start + TOGETHER]])
        data += [
            Embedding(start + position, _encoded(one.vector, asked.encoding_format))
            for position, one in enumerate(made)
        ]
    return Embeddings(data, asked.model, EmbeddingUsage(tokens, tokens))


def _embedder(name: str, appliance: Appliance) -> Embedder:
    models = embedding_models(appliance)
    if name not in models:
        raise unknown_model(name, list(models))
    return appliance.embedders.named(name)


def _counted(texts: Sequence[str], embedder: Embedder) -> int:
    """Tokens of all texts. Raises InvalidField for one that the model would not read to its end."""
    most = embedder.max_tokens - 2  # a special token at each end
    total = 0
    for position, text in enumerate(texts):
        count = len(embedder.token_spans(text))
        if count > most:
            raise InvalidField(
                f"A text of `input` has {count} tokens; {embedder.name} reads {most}.",
                f"input[{position}]",
                code="input_too_long",
                hint="Cut it into shorter pieces.",
            )
        total += count
    return total


def _encoded(vector: Vector, encoding: str | None) -> list[float] | str:
    if encoding == "base64":
        return base64.b64encode(vector.astype("<f4").tobytes()).decode()
    return [float(number) for number in np.asarray(vector, dtype=np.float64)]
