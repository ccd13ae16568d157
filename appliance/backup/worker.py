"""Backups as work in the background: one job at a time, and those that the settings ask for at their time."""

import shutil
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec
import structlog

from appliance.asking import Asking
from appliance.backup.create import Source, Wanted, check_blocks, create
from appliance.backup.manifest import Manifest, Probe
from appliance.backup.repository import Repository
from appliance.backup.verify import probes, verify
from appliance.collections import Collections
from appliance.config import LoadedSettings
from appliance.errors import ApplianceError, Conflict, NotFound
from appliance.inference import Embedders, ModelRegistry
from appliance.paths import DataPaths
from appliance.priority import give_way, lower_priority
from appliance.store import Store
from appliance.telemetry.metrics import BACKUPS, LAST_BACKUP

LOOK_S = 30.0  # between two looks whether a backup is due
STOP_S = 20.0
HOUR = 3600.0

log = structlog.get_logger(__name__)


class _Stopped(Exception):
    """The appliance is closing."""


@dataclass(frozen=True, slots=True)
class BackupJob:
    """One piece of work, in memory only. `name` is create or verify; `state` PENDING, PROGRESS, SUCCESS or FAILURE."""

    id: int
    name: str
    state: str
    step: str
    done: int = 0
    total: int = 0
    code: str = ""
    error: str = ""
    hint: str = ""
    result: dict[str, Any] | None = None


class Backups:
    """Thread-safe. What is under way when the appliance ends leaves nothing behind that counts."""

    def __init__(
        self,
        loaded: LoadedSettings,
        paths: DataPaths,
        store: Store,
        collections: Collections,
        asking: Asking,
        models: tuple[ModelRegistry, Embedders],
    ) -> None:
        self._settings, self._paths, self._store = loaded.settings, paths, store
        self._collections, self._asking = collections, asking
        registry, self._embedders = models
        told = {name: str(getattr(loaded.settings, name)) for name, at in loaded.origins.items() if at != "default"}
        self._source = Source(store, paths, registry, told, self._probes)
        self.folder = loaded.settings.backup_dir or paths.backups
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._job: BackupJob | None = None
        self._thread: threading.Thread | None = None
        self._clock: threading.Thread | None = None

    def start(self) -> None:
        """Begin to look at the clock, where the settings ask for backups. Call it once."""
        shutil.rmtree(self._scratch, ignore_errors=True)
        for work in ("create", "verify"):
            for outcome in ("success", "failure"):
                BACKUPS.labels(work, outcome)  # there from the start: a first failure is an increase
        self._tell_age()
        if self._settings.backup_every:
            self._clock = threading.Thread(target=self._watch, name="backup-clock", daemon=True)
            self._clock.start()

    def stop(self) -> None:
        """End the work at its next batch."""
        self._stopping.set()
        for thread in (self._clock, self._thread):
            if thread is not None:
                thread.join(STOP_S)

    @property
    def at_work(self) -> bool:
        """Whether a backup is being taken or verified now."""
        thread = self._thread
        return thread is not None and thread.is_alive()

    def job(self, job_id: int | None = None) -> BackupJob | None:
        """The job under way or the last one; None before the first. Raises NotFound for another `job_id`."""
        with self._lock:
            found = self._job
        if job_id is not None and (found is None or found.id != job_id):
            raise NotFound(
                f"There is no job {job_id}.", code="unknown_backup", hint="Only the last job can be asked for."
            )
        return found

    def repository(self, folder: Path | None = None) -> Repository:
        """The backups of a folder, by default of the one that the settings name. Raises NotFound."""
        chosen = folder or self.folder
        if chosen == self._paths.backups:
            chosen.mkdir(mode=0o700, exist_ok=True)
        if not chosen.is_dir():
            hint = "Make the folder, or mount its disk. It is not made here, lest a backup lands on the wrong disk."
            raise NotFound(f"There is no folder {chosen}.", code="backup_folder_missing", hint=hint)
        return Repository(chosen)

    def begin_create(self, wanted: Wanted, folder: Path | None = None, keep: int | None = None) -> BackupJob:
        """Take a backup, then remove all but the newest `keep`. Raises Conflict while another job is at work."""
        repository = self.repository(folder)
        return self._begin("create", lambda job: self._create(job, repository, wanted, keep))

    def begin_verify(self, backup_id: str, folder: Path | None = None) -> BackupJob:
        """Prove a backup by a copy. Raises NotFound, StorageError (backup_damaged), Conflict."""
        repository = self.repository(folder)
        backup = repository.find(backup_id)
        return self._begin("verify", lambda job: self._verify(job, repository, backup))

    def remove(self, backup_ids: Sequence[str], folder: Path | None = None) -> int:
        """Remove backups; returns how many bytes it freed. Raises NotFound, Conflict."""
        repository = self.repository(folder)
        with repository.changing():
            freed = repository.remove(backup_ids)
        self._tell_age()
        return freed

    def prune(self, keep: int, folder: Path | None = None) -> tuple[list[str], int]:
        """Remove all but the newest `keep`; returns which, and how many bytes that freed. Raises Conflict."""
        repository = self.repository(folder)
        with repository.changing():
            return repository.keep(keep)

    def forget(self, remove: bool) -> int:
        """For an erasure: backups in the data directory hold what is erased. Removes them where `remove` says so.

        Returns how many it removed. Raises Conflict (backup_under_way): one that is being taken began too early.
        """
        if self.at_work:
            hint = "The erasure goes on by itself when the backup has ended."
            raise Conflict("A backup is being taken or verified.", code="backup_under_way", hint=hint)
        if not self._paths.backups.is_dir():
            return 0
        repository = Repository(self._paths.backups)
        with repository.changing():  # which also sweeps away what a backup left that was cut off
            gone = repository.ids() if remove else []
            repository.remove(gone)
        self._tell_age()
        return len(gone)

    # --- the work ----------------------------------------------------------------------------------------------------

    def _begin(self, name: str, work: Callable[[BackupJob], dict[str, Any]]) -> BackupJob:
        with self._lock:
            if self.at_work:
                hint = "`backup list` shows how far it is; begin again after it."
                raise Conflict("A backup is being taken or verified.", code="backup_under_way", hint=hint)
            job = BackupJob((self._job.id if self._job else 0) + 1, name, "PENDING", "waiting")
            self._job = job
            self._thread = threading.Thread(target=self._run, args=(job, work), name="backup", daemon=True)
            self._thread.start()
        return job

    def _run(self, job: BackupJob, work: Callable[[BackupJob], dict[str, Any]]) -> None:
        lower_priority()
        try:
            result = work(job)
            self._note(state="SUCCESS", step="done", result=result)
        except _Stopped:
            return
        except ApplianceError as error:
            log.error("backup_failed", job=job.name, error=str(error), hint=error.hint)
            self._note(state="FAILURE", step="done", code=error.code, error=str(error), hint=error.hint)
        except Exception as error:
            log.exception("backup_failed", job=job.name)
            self._note(state="FAILURE", step="done", code="internal_error", error=repr(error), hint="See the log.")
        job = self._job or job
        BACKUPS.labels(job.name, job.state.lower()).inc()

    def _create(self, job: BackupJob, repository: Repository, wanted: Wanted, keep: int | None) -> dict[str, Any]:
        made = create(repository, self._source, wanted, lambda done, total: self._step("writing", done, total))
        log.info("backup_taken", backup=made.id, folder=str(repository.folder), new_bytes=made.new_bytes)
        self._tell_age()
        gone: list[str] = []
        if keep is not None:
            with repository.changing():
                gone, _ = repository.keep(keep)
        return {**summary(made), "removed": gone}

    def _verify(self, job: BackupJob, repository: Repository, backup: Manifest) -> dict[str, Any]:
        check_blocks(repository, backup, lambda done, total: self._step("reading", done, total))
        found = verify(repository, backup, self._scratch, self._embedders, self._settings, self._step)
        for problem in found.problems:
            log.error("backup_has_problem", backup=backup.id, problem=problem)
        return {**msgspec.to_builtins(found), **summary(backup)}

    def _probes(self) -> dict[int, Probe]:
        self._step("asking", 0, 0)
        return probes(self._asking, self._store, self._collections)

    def _step(self, step: str, done: int, total: int) -> None:
        give_way(self._asking.busy, self._stopping)
        if self._stopping.is_set():
            raise _Stopped
        self._note(state="PROGRESS", step=step, done=done, total=total)

    def _note(self, **changes: Any) -> None:
        with self._lock:
            if self._job is not None:
                self._job = replace(self._job, **changes)

    # --- the clock ---------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """A backup is due when the newest is older than asked for; a failed one is tried again at the next look."""
        settings = self._settings
        while not self._stopping.wait(min(LOOK_S, settings.backup_every * HOUR)):
            try:
                newest = self.repository().all()[-1:]
                age = time.time() - newest[0].taken_at if newest else float("inf")
                if not 0 <= age < settings.backup_every * HOUR and not self.at_work:
                    self.begin_create(Wanted(), keep=settings.backup_keep)
            except ApplianceError as error:
                log.error("backup_not_begun", error=str(error), hint=error.hint)

    def _tell_age(self) -> None:
        """The metric of the newest backup in the folder of the settings."""
        if self.folder.is_dir():
            newest = Repository(self.folder).all()[-1:]
            LAST_BACKUP.set(newest[0].taken_at if newest else 0)

    @property
    def _scratch(self) -> Path:
        return self._paths.root / ".verifying"


def summary(backup: Manifest) -> dict[str, Any]:
    """A backup for people and JSON: everything but the blocks, the questions and the settings."""
    told: dict[str, Any] = msgspec.to_builtins(backup)
    for name in ("files", "probes", "settings"):
        del told[name]
    return {**told, "documents": backup.documents, "chunks": backup.chunks, "searches": len(backup.probes)}
