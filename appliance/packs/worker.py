"""Exports and imports, one at a time. An import is durable once it was accepted: after a crash it is done again."""

import contextlib
import os
import shutil
import threading
import time
import uuid
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import structlog

from appliance.collections import Collections
from appliance.errors import ApplianceError, DiskFull, InvalidRequest, NotFound, StorageError, TooManyRequests
from appliance.inference import Embedders
from appliance.packs import form
from appliance.packs.export import export
from appliance.packs.reembed import reembedded
from appliance.packs.take_in import Import, TakenIn
from appliance.packs.verify import Reading, digest_pass
from appliance.paths import DataPaths, sync_path
from appliance.priority import give_way, lower_priority
from appliance.store import Store
from appliance.trust import PublicKey, known_keys

WAITING = 20  # wishes at once
KEPT = 100  # ended ones that can still be asked for
STOP_S = 20.0
BATCH = 4_096
SPARE_BYTES = 64 * 1024**2
SUFFIX, SCRATCH = ".wish", ".vectors"

log = structlog.get_logger(__name__)


class _Stopped(Exception):
    """The appliance is closing."""


class PackWish(msgspec.Struct, frozen=True):
    """What was asked for. `action` is export or import; `collection` of an import is empty for the pack's own name."""

    id: str
    action: str
    path: str
    asked_at: float
    collection: str = ""
    since: str | None = None
    replace: bool = False
    reembed: bool = False


@dataclass(frozen=True, slots=True)
class PackJob:
    """A wish and how far it is, in documents or bytes; `state` is PENDING, PROGRESS, SUCCESS or FAILURE."""

    wish: PackWish
    state: str = "PENDING"
    step: str = "waiting"
    done: int = 0
    total: int = 0
    code: str = ""
    error: str = ""
    hint: str = ""
    result: dict[str, Any] | None = None


class Packs:
    """Thread-safe."""

    def __init__(
        self, store: Store, collections: Collections, embedders: Embedders, paths: DataPaths, busy: Callable[[], bool]
    ) -> None:
        self._store, self._collections, self._embedders = store, collections, embedders
        self._paths, self._busy = paths, busy
        self._stopping, self._wake = threading.Event(), threading.Event()
        self._lock = threading.Lock()
        self._jobs: OrderedDict[str, PackJob] = OrderedDict()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Take up the imports that were not at their end. Call it once."""
        for path in sorted(self._paths.packs.glob(f"*{SUFFIX}"), key=lambda path: path.stat().st_mtime):
            try:
                wish = msgspec.json.decode(path.read_bytes(), type=PackWish)
                self._jobs[wish.id] = PackJob(wish)
            except msgspec.MsgspecError:
                path.unlink()  # cut off before it was acknowledged
        for path in self._paths.packs.glob(f"*{SCRATCH}"):
            path.unlink()
        self._thread = threading.Thread(target=self._work, name="packs", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the work at its next document; an import is done again at the next start."""
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(STOP_S)

    def submit(self, wish: PackWish) -> PackJob:
        """When this returns an import is durable.

        Raises TooManyRequests, NotFound (file_not_found, unknown_collection), InvalidRequest (pack_damaged).
        """
        if wish.action == "import":
            form.read_manifest(Path(wish.path))
        elif self._store.documents.collection(wish.collection) is None:
            raise NotFound(f"There is no collection {wish.collection!r}.", code="unknown_collection",
                           hint="`collections list` shows them.")  # fmt: skip
        with self._lock:
            if sum(job.state in ("PENDING", "PROGRESS") for job in self._jobs.values()) >= WAITING:
                raise TooManyRequests(f"{WAITING} exports and imports are waiting.", code="too_many_packs")
            if wish.action == "import":
                self._keep(wish)
            self._jobs[wish.id] = job = PackJob(wish)
            for old in [key for key, old in self._jobs.items() if old.result is not None or old.code][:-KEPT]:
                del self._jobs[old]
        self._wake.set()
        return job

    def status(self, job_id: str) -> PackJob:
        """Raises NotFound."""
        with self._lock:
            found = self._jobs.get(job_id)
        if found is None:
            hint = "Ended ones are forgotten at a restart."
            raise NotFound(f"There is no export or import {job_id!r}.", code="unknown_pack_job", hint=hint)
        return found

    def all(self) -> list[PackJob]:
        """The oldest first."""
        with self._lock:
            return list(self._jobs.values())

    # --- the work ----------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        lower_priority()
        while not self._stopping.is_set():
            self._wake.clear()
            job = next((job for job in self.all() if job.state == "PENDING"), None)
            if job is None:
                self._wake.wait()
            else:
                self._do(job.wish)

    def _do(self, wish: PackWish) -> None:
        try:
            result = self._export(wish) if wish.action == "export" else self._import(wish)
            self._note(wish, state="SUCCESS", step="done", result=result)
        except _Stopped:
            return
        except ApplianceError as error:
            log.error("pack_failed", action=wish.action, error=str(error), hint=error.hint)
            self._note(wish, state="FAILURE", step="done", code=error.code, error=str(error), hint=error.hint)
        except Exception as error:
            log.exception("pack_failed", action=wish.action)
            told = {"code": "internal_error", "error": repr(error), "hint": "See the log."}
            self._note(wish, state="FAILURE", step="done", **told)
        self._wish_file(wish).unlink(missing_ok=True)

    def _export(self, wish: PackWish) -> dict[str, Any]:
        found = self._store.documents.collection(wish.collection)
        name = self._embedders.name_of(found.embedder) if found else None
        since = Path(wish.since) if wish.since else None
        step = self._steps(wish, "writing")
        graph = None if since else self._collections.index(wish.collection).links()
        made = export(self._store, wish.collection, Path(wish.path), since, name or "", step, graph)
        result: dict[str, Any] = msgspec.to_builtins(made)
        return {**result, "bytes": Path(wish.path).stat().st_size}

    def _import(self, wish: PackWish) -> dict[str, Any]:
        path, keys = Path(wish.path), [trusted.key for trusted in known_keys(self._paths.trust)]
        self._check_room(path)
        signed_by = Reading(path, keys).key
        with contextlib.ExitStack() as parts:
            if wish.reembed:
                path, keys = self._reembedded(wish, path, keys)
                parts.callback(path.unlink, missing_ok=True)
            taking = Import(self._store, keys, path)
            self._embedders.of(taking.manifest.embedder)  # a host without the model could not answer
            name = wish.collection or taking.manifest.collection
            taken = taking.run(name, replace=wish.replace, progress=self._steps(wish, "importing"))
        self._tell_index(wish, name, taken)
        counts = {"documents": taken.documents, "removed": taken.removed_documents, "chunks": len(taken.added)}
        log.info("pack_imported", collection=name, **counts)
        return {"collection": name, **counts, "state": taken.manifest.state, "signed_by": signed_by.name}

    def _reembedded(self, wish: PackWish, path: Path, keys: list[PublicKey]) -> tuple[Path, list[PublicKey]]:
        """A pack of the same documents for the model that the collection has, or would be made with."""
        reading = Reading(path, keys)
        digest_pass(path, reading)
        embedder = self._collections.embedder(wish.collection or form.read_manifest(path).collection)
        scratch = self._paths.packs / f"{wish.id}{SCRATCH}"
        scratch.unlink(missing_ok=True)
        return scratch, [reembedded(reading, embedder, scratch, self._steps(wish, "embedding"))]

    def _tell_index(self, wish: PackWish, name: str, taken: TakenIn) -> None:
        """A new collection is opened from its rows and the pack's graph; another is told what went and what came."""
        if taken.made:
            self._adopt(wish, name, taken)
            self._collections.made_anew(name)
            return
        index = self._collections.index(name)
        index.remove(taken.removed)
        source = self._store.documents.vector_source(name)
        for start in range(0, len(taken.added), BATCH):
            ids, vectors = source.some(taken.added[start : start + BATCH])
            index.add(ids, vectors.astype(np.float32, copy=False))
        self._collections.publish(name)

    def _adopt(self, wish: PackWish, name: str, taken: TakenIn) -> None:
        """Without the graph the collection is searched all the same, and a new one is built in the background."""
        if taken.graph is None:
            return
        links, places = taken.graph
        scratch = self._paths.packs / f"{wish.id}{SCRATCH}"
        self._note(wish, step="writing the index")
        try:
            self._collections.adopt(name, links, taken.added[places], scratch)
        except StorageError as error:
            log.warning("pack_index_not_written", collection=name, error=str(error), hint=error.hint)
        finally:
            scratch.unlink(missing_ok=True)

    def _check_room(self, path: Path) -> None:
        """Raises DiskFull: rows, keyword index and the log of one transaction take about three times the pack."""
        try:
            needed = 3 * path.stat().st_size + SPARE_BYTES
        except OSError as error:
            raise NotFound(f"{path} cannot be read: {error.strerror}.", code="file_not_found") from error
        free = shutil.disk_usage(self._paths.root).free
        if free < needed:
            message = f"The import needs {needed:,} bytes; the disk of the data directory has {free:,} free."
            raise DiskFull(message, code="import_needs_room", hint="Free some space, then import again.")

    def _steps(self, wish: PackWish, step: str) -> Callable[[int, int], None]:
        def progress(done: int, total: int) -> None:
            if step != "importing":  # which holds the one writer: the sooner it ends the better
                give_way(self._busy, self._stopping)
            if self._stopping.is_set():
                raise _Stopped
            self._note(wish, state="PROGRESS", step=step, done=done, total=total)

        return progress

    def _note(self, wish: PackWish, **changes: Any) -> None:
        with self._lock:
            self._jobs[wish.id] = replace(self._jobs[wish.id], **changes)

    # --- wishes on disk ----------------------------------------------------------------------------------------------

    def _wish_file(self, wish: PackWish) -> Path:
        return self._paths.packs / f"{wish.id}{SUFFIX}"

    def _keep(self, wish: PackWish) -> None:
        """Raises StorageError."""
        path = self._wish_file(wish)
        try:
            path.parent.mkdir(mode=0o700, exist_ok=True)
            with path.open("wb") as file:
                file.write(msgspec.json.encode(wish))
                file.flush()
                os.fsync(file.fileno())
            sync_path(path.parent)
        except OSError as error:
            raise StorageError(
                f"{path} cannot be written: {error.strerror}.", code="data_directory_unusable"
            ) from error


def new_wish(action: str, path: Path, **more: Any) -> PackWish:
    """Raises InvalidRequest for a path that is not absolute."""
    if not path.is_absolute():
        raise InvalidRequest(
            f"{path} is not absolute.", code="path_not_absolute", hint="The server has its own folder."
        )
    return PackWish(uuid.uuid4().hex, action, str(path), time.time(), **more)
