"""Every setting, its default, its bounds and what it is for."""

import os
import re
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationInfo, field_validator

from appliance import cgroup
from appliance.types import Route

_KEY = re.compile(r"rag_[A-Za-z0-9_-]{32,128}")
_COLLECTOR = re.compile(r"https?://[^\s/?#@]+(/[^\s?#]*)?")
_HOST_NAME = re.compile(r"(?=.{1,254}\Z)([A-Za-z0-9_]([A-Za-z0-9_-]{0,62})\.?)+")


def _default_data_dir() -> Path:
    base = os.environ.get("XDG_DATA_HOME")
    return (Path(base) if base else Path("~/.local/share").expanduser()) / "rag-appliance"


class Settings(BaseModel):
    """Every setting, its default, its bounds and what it is for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data_dir: Annotated[Path, Field(default_factory=_default_data_dir, description="Where everything is kept.")]
    host: Annotated[str, Field(description="Address to listen on; beyond loopback put TLS in front.")] = "127.0.0.1"
    allowed_hosts: Annotated[
        list[str], Field(description="More host names that callers may use, such as the one a reverse proxy passes on.")
    ] = []
    port: Annotated[int, Field(ge=0, le=65535, description="Port to listen on; 0 takes a free one.")] = 8000
    threads: Annotated[
        int, Field(default_factory=cgroup.cores, ge=1, le=512, description="CPU budget shared by all parts.")
    ]
    auth: Annotated[Literal["keys", "off"], Field(description="`off` makes every caller on this host an admin.")] = (
        "keys"
    )
    first_admin_key: Annotated[
        SecretStr | None,
        Field(description="The admin key made at the first start, instead of a random one that is printed."),
    ] = None
    airgap: Annotated[
        Literal["require", "try", "off"],
        Field(
            description="Take from the server the means to connect: or do not start; where the kernel can; or do not."
        ),
    ] = "try"
    log_level: Annotated[Literal["debug", "info", "warning", "error"], Field(description="Least severity logged.")] = (
        "info"
    )
    log_format: Annotated[
        Literal["auto", "json", "console"], Field(description="`auto`: console on a terminal, JSON lines elsewhere.")
    ] = "auto"
    otlp_endpoint: Annotated[
        str, Field(description="Address of an OpenTelemetry collector (OTLP/HTTP) that gets traces; needs airgap: off.")
    ] = ""
    log_questions: Annotated[bool, Field(description="Log questions in clear; off, only their hash is logged.")] = False

    embedder: Annotated[str, Field(min_length=1, description="Name of the embedding model.")] = "minilm-l6-v2.int8"
    generator: Annotated[str, Field(min_length=1, description="Name of the generator model, or `none`.")] = (
        "smollm2-135m-instruct.q8_0"
    )
    context_tokens: Annotated[int, Field(ge=512, le=131072, description="Context of the generator, in tokens.")] = 2048
    answer_tokens: Annotated[int, Field(ge=16, le=4096, description="Longest generated answer, in tokens.")] = 160
    generator_queue: Annotated[int, Field(ge=1, le=1000, description="Questions that may wait for the generator.")] = 24
    generator_slots: Annotated[
        int, Field(ge=0, le=16, description="Answers generated at once; 0 takes four a thread, 16 at most.")
    ] = 0
    generator_memory_bytes: Annotated[
        int, Field(ge=0, description="For what the generator keeps of texts; 0 takes an eighth of the host's memory.")
    ] = 0
    query_timeout_s: Annotated[float, Field(gt=0, le=600, description="Deadline of one question, in seconds.")] = 30.0
    query_concurrency: Annotated[
        int, Field(ge=1, le=1000, description="Questions worked on or waiting at once; beyond it 503 at once.")
    ] = 128

    chunk_tokens: Annotated[int, Field(ge=32, le=500, description="Longest chunk, in the embedder's tokens.")] = 220
    question_characters: Annotated[int, Field(ge=16, le=100_000, description="Longest question.")] = 4000
    history_turns: Annotated[int, Field(ge=0, le=1000, description="Most earlier questions sent along with one.")] = 20
    history_characters: Annotated[
        int, Field(ge=0, le=1_000_000, description="Longest history of a question, all its questions and answers.")
    ] = 40_000
    max_k: Annotated[int, Field(ge=1, le=1000, description="Most hits one request may ask for.")] = 100
    expand: Annotated[
        Literal["none", "section", "document"],
        Field(description="What a hit grows to where a question does not say: nothing, its section, its document."),
    ] = "none"
    compress: Annotated[
        int,
        Field(ge=0, le=100_000, description="Tokens a context may have where a question does not say; 0 keeps all."),
    ] = 0
    self_query: Annotated[
        Literal["off", "suggest", "on"],
        Field(description="Filters read out of a question that does not say: not at all, only shown, applied."),
    ] = "off"
    prompt_tokens: Annotated[
        int,
        Field(ge=0, le=100_000, description="Tokens of passages a generated answer is written from; 0 keeps all."),
    ] = 500
    rewrite: Annotated[
        Literal["none", "multi", "hyde"],
        Field(description="What the generator makes of a question that does not say: other wordings, or a passage."),
    ] = "none"
    condense: Annotated[
        Literal["auto", "words", "generator"],
        Field(description="How follow-ups are completed; `auto` asks generators of a billion parameters and more."),
    ] = "auto"
    routes: Annotated[
        list[Route], Field(description="Rules that choose the mode of questions in mode auto; the first counts.")
    ] = []
    evidence: Annotated[Literal["fast", "full"], Field(description="full: a model reads the passages, too.")] = "fast"
    abstain_below: Annotated[
        float, Field(ge=-1, le=1, description="Evidence below which the appliance says that it does not know.")
    ] = 0.35

    fusion: Annotated[
        Literal["auto", "convex", "rrf"], Field(description="How the rankings by meaning and by keywords become one.")
    ] = "auto"
    reranker: Annotated[
        str,
        Field(
            min_length=1,
            description="What reads the best passages again: `terms`, `late-interaction`, `none`, or an added model.",
        ),
    ] = "terms"
    collapse: Annotated[bool, Field(description="Leave out near duplicates of better passages.")] = False
    diversify: Annotated[
        float, Field(ge=0, le=1, description="Lambda of MMR: below 1, passages unlike those before them are preferred.")
    ] = 1.0

    upload_bytes: Annotated[int, Field(ge=1024, description="Largest upload request, in bytes.")] = 256 * 1024**2
    file_bytes: Annotated[int, Field(ge=1024, description="Largest single document, in bytes.")] = 200 * 1024**2
    reader_memory_bytes: Annotated[int, Field(ge=128 * 1024**2, description="Memory one reader may use.")] = 2 * 1024**3
    reader_timeout_s: Annotated[float, Field(gt=0, le=3600, description="Time one document may take to read.")] = 60.0
    reader_output_characters: Annotated[int, Field(ge=10_000, description="Longest text one document may give.")] = (
        20_000_000
    )
    ingest_queue: Annotated[
        int, Field(ge=1, le=10_000, description="Ingestion tasks that may wait; beyond it 429.")
    ] = 100
    ingest_attempts: Annotated[int, Field(ge=1, le=20, description="Tries for a document before it is dead.")] = 4
    ingest_roots: Annotated[
        list[Path], Field(description="Folders editors may ingest by path; admins may ingest any readable path.")
    ] = []

    cache_bytes: Annotated[
        int, Field(ge=0, description="Size of the answer cache on disk; 0 turns every cache of questions off.")
    ] = 256 * 1024**2
    cache_memory_bytes: Annotated[
        int, Field(ge=0, description="Memory for the answers asked for last, above those on disk.")
    ] = 16 * 1024**2
    retrieval_cache_bytes: Annotated[int, Field(ge=0, description="Memory for what searches found.")] = 16 * 1024**2
    embedding_cache_bytes: Annotated[int, Field(ge=0, description="Memory for the vectors of questions.")] = 4 * 1024**2
    cache_ttl_s: Annotated[
        float, Field(ge=0, description="Longest life of a cached extractive answer, in seconds; 0 keeps none.")
    ] = 7 * 86400.0
    cache_ttl_generative_s: Annotated[float, Field(ge=0, description="The same of a generated answer.")] = 7 * 86400.0
    cache_ttl_abstained_s: Annotated[float, Field(ge=0, description="The same of a refusal to answer.")] = 86400.0
    cache_ttl_search_s: Annotated[float, Field(ge=0, description="The same of what a search found.")] = 86400.0
    keep_questions: Annotated[
        bool,
        Field(description="Keep how often which question was asked, for the flag prewarm; off, no question is kept."),
    ] = False
    costs_days: Annotated[int, Field(ge=1, le=3660, description="Days that the sums of `/costs` are kept.")] = 400
    watts_per_core: Annotated[
        float,
        Field(ge=0, le=1000, description="Power of one busy core with its share of the host, for estimates of energy."),
    ] = 10.0
    exact_scan_below: Annotated[
        int,
        Field(ge=0, le=10_000_000, description="Collections up to this many chunks are scanned exactly, without HNSW."),
    ] = 50_000

    backup_every: Annotated[
        float, Field(ge=0, le=8760, description="Hours between backups that are taken by themselves; 0 for none.")
    ] = 0.0
    backup_keep: Annotated[
        int, Field(ge=1, le=10_000, description="Backups kept after one that was taken by itself.")
    ] = 14
    backup_dir: Annotated[
        Path | None,
        Field(description="Folder of the backups, best on another disk; none is `backups` in the data directory."),
    ] = None

    monitoring_dir: Annotated[
        Path | None,
        Field(description="Folder that `monitoring export` wrote to, for `doctor` to look at; none is not looked at."),
    ] = None

    @field_validator("data_dir", "backup_dir", "monitoring_dir", mode="after")
    @classmethod
    def _absolute(cls, value: Path | None) -> Path | None:
        return value.expanduser().absolute() if value is not None else None

    @field_validator("first_admin_key", mode="after")
    @classmethod
    def _strong(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not _KEY.fullmatch(value.get_secret_value()):
            raise ValueError("write rag_ and 32 to 128 random letters, digits, - or _")
        return value

    @field_validator("allowed_hosts", mode="after")
    @classmethod
    def _host_names(cls, value: list[str]) -> list[str]:
        for name in value:
            if not _HOST_NAME.fullmatch(name):
                raise ValueError(f"{name!r} is not a host name; write it as rag.example.org, without scheme and port")
        return [name.lower().rstrip(".") for name in value]

    @field_validator("otlp_endpoint", mode="after")
    @classmethod
    def _collector(cls, value: str, info: ValidationInfo) -> str:
        if value and not _COLLECTOR.fullmatch(value):
            raise ValueError("write the address of a collector as http://HOST:4318")
        if value and info.data.get("airgap") != "off":
            raise ValueError(
                "the lock against connections rules it out; remove it, or give up the lock with airgap: off"
            )
        return value

    @field_validator("routes", mode="after")
    @classmethod
    def _named_once(cls, value: list[Route]) -> list[Route]:
        if len({route.name for route in value}) < len(value):
            raise ValueError("two routes have the same name; answers tell them apart by it")
        return value
