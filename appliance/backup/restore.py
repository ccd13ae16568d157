"""Putting a backup in place: into a new or empty folder, or with force over what is there."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from appliance.backup.manifest import DATABASE, Manifest, StoredFile, damaged
from appliance.backup.packs import BlockReader
from appliance.backup.repository import SPARE_BYTES, Repository
from appliance.datalock import DataLock
from appliance.errors import Conflict, DiskFull, StorageError
from appliance.faults import reached
from appliance.paths import DataPaths, sync_path
from appliance.store.offline import quick_check, settle_log

Progress = Callable[[int, int], None]
WORK = ".restoring"
# What belongs to the data that is replaced: answers and indexes that were made from it, uploads that waited for it.
REPLACED = ("index", "cache", "spool", "prompts", "trust")
_KEPT = {"lock", WORK, "backups", "models"}


def restore(
    repository: Repository, backup: Manifest, data_dir: Path, *, force: bool = False, progress: Progress
) -> None:
    """Make `data_dir` what it was when the backup was taken.

    The whole copy is made and checked beside what is there; only then is it put in place, the database last. Models and
    backups of an existing data directory stay. Raises Conflict (data_directory_not_empty), DataDirectoryInUse,
    DiskFull, StorageError (backup_damaged and others).
    """
    paths = DataPaths(data_dir)
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        with DataLock.acquire(paths.lock, "backup restore"):
            if not force and (found := sorted({entry.name for entry in data_dir.iterdir()} - _KEPT)):
                raise _not_empty(data_dir, found)
            work = data_dir / WORK
            shutil.rmtree(work, ignore_errors=True)
            restore_into(repository, backup, work, progress)
            if problems := quick_check(work / DATABASE):
                raise damaged(f"the database is not whole ({'; '.join(problems)})")
            _put_in_place(paths, work)
    except OSError as error:
        raise _unwritable(data_dir, error) from error


def restore_into(repository: Repository, backup: Manifest, folder: Path, progress: Progress) -> None:
    """Write the files of a backup below a new folder, every block checked. Raises StorageError, DiskFull, OSError."""
    folder.mkdir(mode=0o700, parents=True)
    free = shutil.disk_usage(folder).free
    if free < backup.total_bytes + SPARE_BYTES:
        raise DiskFull(
            f"The copy needs {backup.total_bytes + SPARE_BYTES:,} bytes; the disk of {folder.parent} has {free:,}.",
            code="backup_needs_room",
            hint="Free that much, or restore to another disk. Nothing was changed.",
        )
    done = 0
    with repository.reading() as reader:
        for file in backup.files:
            for count in _write(reader, file, folder / file.path):
                done += count
                progress(done, backup.total_bytes)


def _write(reader: BlockReader, stored: StoredFile, target: Path) -> Iterator[int]:
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        for name in stored.blocks():
            yield file.write(reader.read(name))
        file.flush()
        os.fsync(file.fileno())
    if target.stat().st_size != stored.size:
        raise damaged(f"{stored.path} has another size than it should")


def _put_in_place(paths: DataPaths, work: Path) -> None:
    """Each step leaves either the old database or the new one, never one with the log or the index of the other."""
    settle_log(paths.database)
    for name in REPLACED:
        shutil.rmtree(paths.root / name, ignore_errors=True)
    reached("restore.emptied")
    (work / DATABASE).replace(paths.database)
    sync_path(paths.root)
    reached("restore.database_placed")
    for entry in sorted(work.iterdir()):
        if entry.name == "models":
            paths.models.mkdir(mode=0o700, exist_ok=True)
            for model in entry.iterdir():
                model.replace(paths.models / model.name)
        else:
            entry.replace(paths.root / entry.name)
    shutil.rmtree(work)
    sync_path(paths.root)


def _not_empty(data_dir: Path, found: list[str]) -> Conflict:
    return Conflict(
        f"{data_dir} is not empty: it has {', '.join(found[:5])}.",
        code="data_directory_not_empty",
        hint="Name an empty folder, or --force to replace what is there; what is newer than the backup is then lost.",
    )


def _unwritable(data_dir: Path, error: OSError) -> StorageError:
    return StorageError(
        f"{data_dir} cannot be written: {error.strerror or error}.",
        code="data_directory_unusable",
        hint="Give the folder to this user, or name another; a restore that was cut off is done again from the start.",
    )
