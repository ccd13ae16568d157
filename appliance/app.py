"""The appliance: opens its parts in order, closes them in reverse, and answers for all of them."""

import contextlib
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol, Self, TypeVar

import structlog

from appliance import optional_models
from appliance.accounting import Accounts
from appliance.answer import Prompts
from appliance.asking import Asking
from appliance.backup import Backups
from appliance.cache import Caches
from appliance.calibration import Calibrator
from appliance.collections import DEFAULT_COLLECTION, Collections
from appliance.config import LoadedSettings, Settings
from appliance.datalock import DataLock
from appliance.erasure.eraser import Eraser
from appliance.errors import ApplianceError, NotFound, Unauthenticated
from appliance.faults import reached
from appliance.flags import Canary, LiveFlags
from appliance.inference import Embedders, ModelRegistry
from appliance.ingest.ingestion import Ingestion
from appliance.optional_models import Models
from appliance.packs import Packs
from appliance.paths import BUNDLED_MODELS, DataPaths
from appliance.pulse import Pulses
from appliance.reembed import Reembedding
from appliance.reembed.run import Surroundings
from appliance.settling import Settling
from appliance.starts import Starts
from appliance.store import Store
from appliance.telemetry.traces import Traces
from appliance.types import FieldInfo, Generator, Principal, Role

log = structlog.get_logger(__name__)

INGESTION_S, GENERATOR_S, UPKEEP_S = 600.0, 300.0, 900.0  # what a step of these loops may take on a slow host
LOCAL_ADMIN = Principal(id="local", name="local", role=Role.ADMIN)


class _Closing(Protocol):
    def close(self) -> None: ...


class _Working(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


Part = TypeVar("Part", bound=_Closing | None)
Work = TypeVar("Work", bound=_Working)


@dataclass(frozen=True, slots=True)
class Component:
    """Readiness of one part; `detail` is a short sentence for people, `needed` says whether questions wait for it."""

    ready: bool
    detail: str
    needed: bool = True


class Appliance:
    """All parts of one data directory. Thread-safe; made by `open`, ended by `close`."""

    def __init__(
        self,
        loaded: LoadedSettings,
        life: tuple[DataLock, Starts],
        paths: DataPaths,
        parts: contextlib.ExitStack,
        tell: Callable[[str], None],
    ) -> None:
        self.loaded = loaded
        self._lock, self.starts = life
        self.settings: Settings = loaded.settings
        self.paths = paths
        self.local_key = f"local_{secrets.token_urlsafe(32)}"
        self.first_key: str | None = None
        self._parts = parts
        self.traces = Traces()
        self.pulses = Pulses()
        self._open_parts(tell)

    @classmethod
    def open(cls, loaded: LoadedSettings, *, purpose: str, tell: Callable[[str], None] = lambda _: None) -> Self:
        """Lock the data directory and open everything in it; the ingestion worker goes on with unfinished tasks.

        `tell` learns the step that the start has got to, and again and again that a long one goes on.
        Raises DataDirectoryInUse, StorageError, ModelError; whatever was opened is closed again.
        """
        paths = DataPaths(loaded.settings.data_dir)
        paths.create()
        with contextlib.ExitStack() as parts:
            lock = DataLock.acquire(paths.lock, purpose)
            parts.callback(lock.close)
            reached("start.locked")
            starts = Starts(paths.starts)
            starts.begin(purpose, lock.cut_off, host_restarted=lock.host_restarted)
            appliance = cls(loaded, (lock, starts), paths, parts, tell)
            appliance._parts = parts.pop_all()
        return appliance

    def _open_parts(self, tell: Callable[[str], None]) -> None:
        self._open_models(tell)
        self._open_data(tell)
        self._open_questions()
        self._start_work()

    def _open_models(self, tell: Callable[[str], None]) -> None:
        tell("loading models")
        self.registry = ModelRegistry(BUNDLED_MODELS, self.paths.models)
        self.embedders = Embedders(self.registry, threads=self.settings.threads)
        self._parts.callback(self.embedders.close)
        with ThreadPoolExecutor(1, "models") as beside:  # both are mostly hashing and reading, which share no lock
            generator = beside.submit(self._open_generator)
            self.embedders.named(self.settings.embedder)  # a start with a model that cannot be used is refused
            self.generator, self._generator_detail = generator.result()
        self._closed_at_end(self.generator)

    def _open_data(self, tell: Callable[[str], None]) -> None:
        tell("opening the database")
        self.store = Store.open(self.paths.database, tell)
        self._parts.callback(self.store.close)
        reached("start.database_open")
        if self._lock.host_restarted:
            self.store.jobs.forget_crashes()
        self.cache = Caches(self.paths.cache, self.settings)
        self._parts.callback(self.cache.close)
        keywords = self.pulses.new("keywords", UPKEEP_S)
        self.collections = Collections(self.store, self.embedders, self.paths.index, self.settings, keywords)
        self._parts.callback(self.collections.close)
        self._first_start(tell)
        reached("start.collections_open")

    def _open_questions(self) -> None:
        settings, parts = self.settings, self._parts
        self.reranker, self._reranker_detail = optional_models.reranker(self.registry, self.embedders, settings)
        self._closed_at_end(self.reranker)
        self.accounts = Accounts(self.store.costs, settings, self.pulses.new("accounts", UPKEEP_S))
        self.accounts.start()
        parts.callback(self.accounts.close)
        self.prompts = Prompts(self.paths.prompts)
        self.reader = self._closed_at_end(optional_models.reader(self.registry, settings))
        models = Models(self.generator, self.reranker, self.reader)
        self.flags = LiveFlags(self.store, settings, partial(models.possible, self.prompts))
        self.canary = Canary(self.store, self.flags)
        self.settling = Settling(settings, self.collections, models, self.prompts, self.canary)
        parts_of_it = (self.store, self.collections, models, self.accounts, self.cache, self.settling)
        self.asking = self._started(Asking(settings, *parts_of_it, self.pulses.new("encoding", UPKEEP_S)))
        self.calibrator = Calibrator(self.store, self.collections, self.asking, settings, self.asking.busy)
        parts.callback(self.calibrator.stop)
        self.search, self.answer, self.cache_key = self.asking.search, self.asking.answer, self.settling.answer_key

    def _start_work(self) -> None:
        """What goes on beside the questions, each part in a thread of its own."""
        settings, busy = self.settings, self.asking.busy
        self.ingestion = self._started(
            Ingestion(
                *(self.store, self.collections.embedder, self.collections.index, self.paths.spool, settings),
                changed=partial(self.collections.publish, only_ingested=True),
                busy=busy,
                pulse=self.pulses.new("ingestion", INGESTION_S + 1.5 * settings.reader_timeout_s),
                traces=self.traces,
            )
        )
        models = (self.registry, self.embedders)
        self.backups = self._started(
            Backups(self.loaded, self.paths, self.store, self.collections, self.asking, models)
        )
        self.packs = self._started(Packs(self.store, self.collections, self.embedders, self.paths, busy))
        erased = (self.store, self.collections, self.cache, self.ingestion, self.paths)
        self.eraser = self._started(Eraser(*erased, self.backups.forget))
        around = (self.store, self.collections, self.embedders, self.asking.as_served)
        self.reembedding = self._started(Reembedding(Surroundings(*around, busy=busy, paused=self.ingestion.paused)))

    def _started(self, work: Work) -> Work:
        work.start()
        self._parts.callback(work.stop)
        return work

    def _open_generator(self) -> tuple[Generator | None, str]:
        return optional_models.generator(self.registry, self.settings, self.pulses.new("generator", GENERATOR_S))

    def _closed_at_end(self, model: Part) -> Part:
        if model is not None:
            self._parts.callback(model.close)
        return model

    def _first_start(self, tell: Callable[[str], None]) -> None:
        if self.settings.auth == "keys" and self.store.keys.empty():
            given = self.settings.first_admin_key
            _, key = self.store.keys.create("first admin", Role.ADMIN, key=given.get_secret_value() if given else None)
            self.first_key = None if given else key
        self.collections.open_all(tell)

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

    def revoke_key(self, key_id: str) -> None:
        """The key stops working at once, and no answer from before a change is given any more. Raises NotFound."""
        self.store.keys.revoke(key_id)
        self.collections.versions.forget_left()

    # --- documents ---------------------------------------------------------------------------------------------------

    def fields(self, collection: str) -> list[FieldInfo]:
        """The fields of a collection's metadata. Raises NotFound."""
        self.collections.index(collection)
        return self.store.fields.all(collection)

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

    def drop_collection(self, name: str) -> None:
        """Delete a collection with its indexes, its flags and what is cached of it. Raises NotFound, InvalidRequest."""
        self.collections.drop(name)
        self.flags.reload()
        self.cache.clear(f"collection:{name}")

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
            "cache": Component(True, f"{self.cache.answers.stats()[0].entries} entries"),
        }

    @staticmethod
    def _optional(part: object, wanted: str, detail: str) -> Component:
        """A part that answers can do without; not ready when it was wanted and cannot be used."""
        return Component(part is not None or wanted == "none", detail, needed=False)

    def doing(self) -> str:
        """What goes on in the background, in one line. Waits for nothing."""
        work = self.collections.working()
        ingestion = self._component(self.ingestion.health)
        return "; ".join(("Ready", *work, f"ingestion {ingestion.detail}"))

    def _embedder_detail(self) -> str:
        embedder = self.collections.embedder(DEFAULT_COLLECTION)
        return f"{embedder.name}, {embedder.embed_query('ready').shape[0]}d"

    @staticmethod
    def _component(check: Callable[[], str]) -> Component:
        try:
            return Component(True, check())
        except ApplianceError as error:
            return Component(False, str(error))
