"""The appliance: opens its parts in order, closes them in reverse, and answers for all of them."""

import contextlib
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Self

import structlog

from appliance import __version__
from appliance.answer import PROMPT_VERSION, Answering, is_strong, wants_generation, why_no_hits
from appliance.answer import answer as answer_question
from appliance.cache import AnswerCache
from appliance.collections import DEFAULT_COLLECTION, Collections, Serving
from appliance.config import LoadedSettings, Settings
from appliance.datalock import DataLock
from appliance.erasure.eraser import Eraser
from appliance.errors import ApplianceError, ModelError, NotFound, Unauthenticated
from appliance.evidence import PASSAGES
from appliance.faults import reached
from appliance.inference import Embedders, ModelRegistry, open_generator, open_reranker
from appliance.ingest.worker import Ingestion
from appliance.paths import BUNDLED_MODELS, DataPaths
from appliance.reembed import Reembedding
from appliance.reembed.run import Surroundings
from appliance.search import REWRITE_VERSION, Defaults, Retrieval, TermReranker, Writer, find
from appliance.search.filter_check import check_filter
from appliance.search.limits import check_query
from appliance.search.selfquery import Lexicons
from appliance.store import Store
from appliance.types import (
    Answer,
    CancelToken,
    Claim,
    Expand,
    FieldInfo,
    Generator,
    Principal,
    Query,
    Reranker,
    Rewrite,
    Role,
    SearchResult,
    SelfQuery,
)

log = structlog.get_logger(__name__)

RERANKED_AT_ONCE = 2  # questions under way for each thread; beyond it no model reranks them

LOCAL_ADMIN = Principal(id="local", name="local", role=Role.ADMIN)


@dataclass(frozen=True, slots=True)
class Component:
    """Readiness of one part; `detail` is a short sentence for people, `needed` says whether questions wait for it."""

    ready: bool
    detail: str
    needed: bool = True


class Appliance:
    """All parts of one data directory. Thread-safe; made by `open`, ended by `close`."""

    def __init__(self, loaded: LoadedSettings, lock: DataLock, paths: DataPaths, parts: contextlib.ExitStack) -> None:
        self.loaded = loaded
        self._lock = lock
        self.settings: Settings = loaded.settings
        self.paths = paths
        self.local_key = f"local_{secrets.token_urlsafe(32)}"
        self.first_key: str | None = None
        self._parts = parts
        self._asked = 0  # questions being worked on: ingestion gives way to them
        self._asked_lock = threading.Lock()
        self._open_parts()

    @classmethod
    def open(cls, loaded: LoadedSettings, *, purpose: str) -> Self:
        """Lock the data directory and open everything in it; the ingestion worker goes on with unfinished tasks.

        Raises DataDirectoryInUse, StorageError, ModelError; whatever was opened is closed again.
        """
        paths = DataPaths(loaded.settings.data_dir)
        paths.create()
        with contextlib.ExitStack() as parts:
            lock = DataLock.acquire(paths.lock, purpose)
            parts.callback(lock.close)
            reached("start.locked")
            appliance = cls(loaded, lock, paths, parts)
            appliance._parts = parts.pop_all()
        return appliance

    def _open_parts(self) -> None:
        settings, parts = self.settings, self._parts
        self.registry = ModelRegistry(BUNDLED_MODELS, self.paths.models)
        self.embedders = Embedders(self.registry, threads=settings.threads)
        parts.callback(self.embedders.close)
        self.embedders.named(settings.embedder)  # a start with a model that cannot be used is refused
        self.generator = self._open_generator()
        self.store = Store.open(self.paths.database)
        parts.callback(self.store.close)
        self._lexicons = Lexicons(self.store)
        reached("start.database_open")
        if self._lock.host_restarted:
            self.store.jobs.forget_crashes()
        self.cache = AnswerCache(self.paths.cache, size_bytes=settings.cache_bytes, ttl_s=settings.cache_ttl_s)
        parts.callback(self.cache.close)
        self.collections = Collections(self.store, self.embedders, self.paths.index, settings)
        parts.callback(self.collections.close)
        self._first_start()
        reached("start.collections_open")
        self.reranker = self._open_reranker()
        self._defaults = Defaults.of(settings)
        self.ingestion = Ingestion(
            *(self.store, self.collections.embedder, self.collections.index, self.paths.spool, settings),
            changed=self.collections.publish,
            busy=lambda: self._asked > 0,
        )
        self.ingestion.start()
        parts.callback(self.ingestion.stop)
        self.eraser = Eraser(self.store, self.collections, self.cache, self.ingestion, self.paths)
        self.eraser.start()
        parts.callback(self.eraser.stop)
        self.reembedding = Reembedding(
            Surroundings(
                *(self.store, self.collections, self.embedders, self._as_served),
                busy=lambda: self._asked > 0,
                paused=self.ingestion.paused,
            )
        )
        self.reembedding.start()
        parts.callback(self.reembedding.stop)

    def _open_generator(self) -> Generator | None:
        """The generator, or None with the cause kept: without it answers are extractive, which is no reason to stop."""
        settings = self.settings
        self._generator_detail = "none: answers are extractive"
        try:
            generator = open_generator(
                self.registry,
                settings.generator,
                threads=settings.threads,
                context_tokens=settings.context_tokens,
                queue_limit=settings.generator_queue,
            )
        except ModelError as error:
            log.error("generator_unusable", error=str(error), hint=error.hint)
            self._generator_detail = f"unusable, answers are extractive: {error}"
            return None
        if generator is not None:
            self._generator_detail = generator.name
            self._parts.callback(generator.close)
        return generator

    def _open_reranker(self) -> Reranker | None:
        """The reranker, or None with the cause kept, as for the generator."""
        self._reranker_detail = "none: passages stay as they were fused"
        if self.settings.reranker == "terms":
            self._reranker_detail = TermReranker.name
            return TermReranker()
        try:
            reranker = open_reranker(self.registry, self.settings.reranker)
        except ModelError as error:
            log.error("reranker_unusable", error=str(error), hint=error.hint)
            self._reranker_detail = f"unusable, passages stay as they were fused: {error}"
            return None
        if reranker is not None:
            self._reranker_detail = reranker.name
            self._parts.callback(reranker.close)
        return reranker

    def _first_start(self) -> None:
        if self.settings.auth == "keys" and self.store.keys.empty():
            _, self.first_key = self.store.keys.create("first admin", Role.ADMIN)
        self.collections.open_all()

    def close(self) -> None:
        """Stop the work and close every part, the last opened first."""
        self._parts.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- who asks ----------------------------------------------------------------------------------------------------

    def authenticate(self, key: str | None) -> Principal:
        """The principal of a key.

        Raises Unauthenticated.
        """
        if self.settings.auth == "off":
            return LOCAL_ADMIN
        if key and secrets.compare_digest(key.encode(), self.local_key.encode()):
            return LOCAL_ADMIN
        principal = self.store.keys.authenticate(key) if key else None
        if principal is None:
            raise Unauthenticated(
                "This key is not valid." if key else "A key is needed.",
                code="invalid_key" if key else "key_required",
                hint="Send `X-API-Key: rag_…` or `Authorization: Bearer rag_…`; `keys create` makes one.",
            )
        return principal

    # --- questions ---------------------------------------------------------------------------------------------------

    def search(self, query: Query) -> SearchResult:
        """The passages of `query.collection` nearest to the question.

        Raises InvalidRequest, NotFound.
        """
        deadline = time.monotonic() + self.settings.query_timeout_s
        query = self.settled(query)
        check_query(query, self.settings)
        with self._asking(), self.collections.serving(query.collection) as serving:
            found = self._find(query, serving, deadline, threading.Event())
            return found if found.hits else replace(found, notice=found.notice or why_no_hits(query, self.store))

    def answer(self, query: Query, *, cancel: CancelToken, on_claim: Callable[[Claim], None] | None = None) -> Answer:
        """Claims with exact citations, or an abstention with its reason. `on_claim` sees each checked claim in order.

        Raises InvalidRequest, NotFound, DeadlineExceeded.
        """
        deadline = time.monotonic() + self.settings.query_timeout_s
        query = self._to_answer(query)
        check_query(query, self.settings)
        with self._asking(), self.collections.serving(query.collection) as serving:
            found = self._find(query, serving, deadline, cancel, PASSAGES)
            query = replace(query, text=found.condensed_question or query.text)
            answering = self._answering(serving)
            if found.understood is not None and found.understood.applied:
                query = replace(query, text=found.understood.text)
            made = answer_question(query, found, answering, deadline=deadline, cancel=cancel, on_claim=on_claim)
            return replace(made, understood=found.understood)

    def _answering(self, serving: Serving) -> Answering:
        settings = self.settings
        return Answering(self.store, serving.embedder, self.generator, settings.abstain_below, settings.answer_tokens)

    def settled(self, query: Query) -> Query:
        """The question with the settings' choices where it makes none."""
        return replace(
            query,
            expand=Expand(self.settings.expand) if query.expand is None else query.expand,
            compress=self.settings.compress if query.compress is None else query.compress,
            rewrite=Rewrite(self.settings.rewrite) if query.rewrite is None else query.rewrite,
            self_query=SelfQuery(self.settings.self_query) if query.self_query is None else query.self_query,
        )

    def _as_served(self, query: Query, serving: Serving) -> SearchResult:
        """What a change of model compares: the ranking of a question, as callers get it."""
        query = replace(self.settled(query), expand=Expand.NONE, compress=0, rewrite=Rewrite.NONE)
        deadline = time.monotonic() + self.settings.query_timeout_s
        return self._find(query, serving, deadline, threading.Event())

    def _to_answer(self, query: Query) -> Query:
        """The settled question of an answer: passages for the generator are compressed where nothing else is said."""
        if query.compress is None and not self.settings.compress and wants_generation(query.mode, self.generator):
            query = replace(query, compress=self.settings.prompt_tokens)
        return self.settled(query)

    def _find(
        self, query: Query, serving: Serving, deadline: float, cancel: CancelToken, most: int | None = None
    ) -> SearchResult:
        """The hits of a settled question and, where it asks for one, the context that the best `most` hand on."""
        if query.filters is not None:
            check_filter(query.filters, query.collection, self.store)
        retrieval = Retrieval(
            *(self.store, serving.embedder, lambda _: serving.index, self.reranker, self._defaults),
            busy=lambda: self._asked > RERANKED_AT_ONCE * self.settings.threads,
        )
        writer = Writer(self.generator, deadline, cancel, self._generator_condenses())
        return find(query, retrieval, writer, self._lexicons, most=most)

    def _generator_condenses(self) -> bool:
        """Whether the generator is asked to make follow-up questions stand alone."""
        chosen = self.settings.condense
        return is_strong(self.generator) if chosen == "auto" else chosen == "generator"

    @contextlib.contextmanager
    def _asking(self) -> Iterator[None]:
        with self._asked_lock:
            self._asked += 1
        try:
            yield
        finally:
            with self._asked_lock:
                self._asked -= 1

    def cache_key(self, query: Query) -> str | None:
        """Everything the answer depends on, hashed; None when the cache is off.

        All keys see all collections, so the access scope is the collection itself. Its version here is the one that
        rows and index had both reached, not the last commit: an answer found between the two is never kept as current.
        With it goes the embedding model that answered for the collection then.
        """
        if self.settings.cache_bytes == 0:
            return None
        parts = {
            "question": " ".join(query.text.split()),
            "collection": (query.collection, self.collections.published(query.collection)),
            "parameters": {**asdict(self._to_answer(query)), "text": None, "principal": None},
            "models": [model.fingerprint if model else "" for model in (self.generator, self.reranker)],
            "rules": (__version__, PROMPT_VERSION, self.settings.abstain_below, self.settings.answer_tokens),
            "ranking": asdict(self._defaults),
            "rewriting": (REWRITE_VERSION, self._generator_condenses()),
        }
        return hashlib.blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=24).hexdigest()

    def fields(self, collection: str) -> list[FieldInfo]:
        """The fields of a collection's metadata. Raises NotFound."""
        self.collections.index(collection)
        return self.store.fields.all(collection)

    # --- documents ---------------------------------------------------------------------------------------------------

    def delete_documents(self, document_ids: Sequence[int]) -> list[int]:
        """Delete at once from rows, FTS and vectors; returns the ids that existed."""
        gone: dict[str, list[int]] = {}
        for document_id in document_ids:
            with contextlib.suppress(NotFound):
                gone.setdefault(self.store.documents.info(document_id).collection, []).append(document_id)
        for collection, ids in gone.items():
            removed = self.store.documents.delete(collection, ids)
            reached("delete.committed")
            self.collections.index(collection).remove(removed)
            reached("delete.index_told")
            self.collections.publish(collection)
        return [document_id for ids in gone.values() for document_id in ids]

    # --- state -------------------------------------------------------------------------------------------------------

    def readiness(self) -> dict[str, Component]:
        """Every part by name; only parts that questions need make the appliance unready."""
        return {
            "database": self._component(lambda: f"{len(self.collections.all())} collection(s)"),
            "embedder": self._component(self._embedder_detail),
            "index": self._component(lambda: f"{self.collections.open_count} open"),
            "ingestion": self._component(self.ingestion.health),
            "generator": self._optional(self.generator, self.settings.generator, self._generator_detail),
            "reranker": self._optional(self.reranker, self.settings.reranker, self._reranker_detail),
            "cache": Component(True, f"{self.cache.stats().entries} entries"),
        }

    @staticmethod
    def _optional(part: object, wanted: str, detail: str) -> Component:
        """A part that answers can do without; not ready when it was wanted and cannot be used."""
        return Component(part is not None or wanted == "none", detail, needed=False)

    def _embedder_detail(self) -> str:
        embedder = self.collections.embedder(DEFAULT_COLLECTION)
        return f"{embedder.name}, {embedder.embed_query('ready').shape[0]}d"

    @staticmethod
    def _component(check: Callable[[], str]) -> Component:
        try:
            return Component(True, check())
        except ApplianceError as error:
            return Component(False, str(error))
