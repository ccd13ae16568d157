"""A folder of backups: `ID.backup` (manifests), `packs/` (blocks) and a lock.

A backup exists from the moment its manifest has its name; whatever a crash left before that is swept away later.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path

import structlog

from appliance.backup import manifest
from appliance.backup.manifest import Manifest
from appliance.backup.packs import PART, SUFFIX, BlockReader, PackWriter, Place, read_index
from appliance.errors import Conflict, DiskFull, InvalidRequest, NotFound, StorageError
from appliance.faults import reached
from appliance.paths import sync_path

LIVE_SHARE = 0.5  # a pack with less than this share of bytes in use is written anew
SPARE_BYTES = 64 * 1024**2

log = structlog.get_logger(__name__)


class Repository:
    """Backups in one folder; for several processes, which take turns by its lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.packs = folder / "packs"

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """Nobody else writes or removes backups here. Raises Conflict (backup_folder_busy), StorageError."""
        try:
            self.packs.mkdir(mode=0o700, exist_ok=True)
            descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StorageError(
                f"The backup folder {self.folder} cannot be used: {error.strerror}.",
                code="backup_folder_unusable",
                hint="Name a folder that exists and that the user of the appliance may write; mount its disk first.",
            ) from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            hint = "Wait until the other backup has ended."
            raise Conflict(f"{self.folder} is being written.", code="backup_folder_busy", hint=hint) from error
        else:
            self._sweep()
            yield
        finally:
            os.close(descriptor)

    # --- what is there -----------------------------------------------------------------------------------------------

    def ids(self) -> list[str]:
        """The oldest first."""
        names = (path.name.removesuffix(manifest.SUFFIX) for path in self.folder.glob(f"*{manifest.SUFFIX}"))
        return sorted(name for name in names if manifest.is_id(name))

    def all(self) -> list[Manifest]:
        """The backups that can be read, the oldest first; others are told in the log."""
        found = []
        for backup_id in self.ids():
            try:
                found.append(self.find(backup_id))
            except StorageError as error:
                log.warning("backup_unreadable", backup=backup_id, error=str(error))
        return sorted(found, key=lambda backup: (backup.taken_at, backup.id))

    def find(self, backup_id: str) -> Manifest:
        """A backup by its id, or the newest by `latest`. Raises NotFound, StorageError (backup_damaged)."""
        if backup_id == "latest" and (found := self.all()):
            return found[-1]
        path = self._path(backup_id)
        if not manifest.is_id(backup_id) or not path.exists():
            hint = "`rag-appliance backup list` shows those that are there; --from names another folder."
            message = f"There is no backup {backup_id!r} in {self.folder}."
            raise NotFound(message, code="unknown_backup", hint=hint)
        return manifest.decode(path)

    def blocks(self) -> dict[bytes, Place]:
        """Every block of every pack; a pack that cannot be read counts as missing, and is told in the log."""
        found: dict[bytes, Place] = {}
        for path in sorted(self.packs.glob(f"*{SUFFIX}")):
            try:
                found.update(read_index(path))
            except StorageError as error:
                log.error("backup_pack_unreadable", pack=path.name, error=str(error))
        return found

    @contextlib.contextmanager
    def reading(self) -> Iterator[BlockReader]:
        reader = BlockReader(self.blocks())
        try:
            yield reader
        finally:
            reader.close()

    # --- changing it, inside `changing` ------------------------------------------------------------------------------

    def writer(self, backup_id: str) -> PackWriter:
        return PackWriter(self.packs / f"{backup_id}{SUFFIX}")

    def list_backup(self, made: Manifest) -> None:
        """From here on the backup exists. Raises OSError."""
        path = self._path(made.id)
        part = path.with_name(path.name + PART)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(manifest.encode(made))
            file.flush()
            os.fsync(file.fileno())
        reached("backup.manifest_written")
        part.replace(path)
        sync_path(self.folder)
        reached("backup.listed")

    def remove(self, backup_ids: Iterable[str]) -> int:
        """Remove backups and the blocks that no other needs; returns how many bytes that freed. Raises NotFound."""
        paths = [self._path(backup_id) for backup_id in backup_ids]
        for path in paths:
            if not manifest.is_id(path.name.removesuffix(manifest.SUFFIX)) or not path.exists():
                message = f"There is no backup {path.name.removesuffix(manifest.SUFFIX)!r} in {self.folder}."
                raise NotFound(
                    message, code="unknown_backup", hint="`rag-appliance backup list` shows those there are."
                )
        for path in paths:
            path.unlink()
        sync_path(self.folder)
        reached("backup.removed")
        return self._drop_unused()

    def keep(self, count: int) -> tuple[list[str], int]:
        """Remove all but the newest `count` backups; returns which, and the bytes freed. Unreadable ones stay."""
        if count < 1:
            raise InvalidRequest("At least one backup is kept.", hint="`backup remove ID` removes a certain one.")
        gone = [backup.id for backup in self.all()[:-count]]
        return gone, self.remove(gone)

    def check_room(self, needed: int) -> None:
        """Raises DiskFull when the disk cannot take so many bytes more."""
        free = shutil.disk_usage(self.folder).free
        if free < needed + SPARE_BYTES:
            raise DiskFull(
                f"A backup needs {needed + SPARE_BYTES:,} bytes and the disk of {self.folder} has {free:,} free.",
                code="backup_needs_room",
                hint="Free some space, remove old backups, or write to another disk with --to.",
            )

    # --- within ------------------------------------------------------------------------------------------------------

    def _path(self, backup_id: str) -> Path:
        return self.folder / f"{backup_id}{manifest.SUFFIX}"

    def _sweep(self) -> None:
        """Remove what a crash left: halves of files, and packs whose backup never came to be."""
        for part in (*self.folder.glob(f"*{PART}"), *self.packs.glob(f"*{PART}")):
            part.unlink()
        self._drop_unused()

    def _drop_unused(self) -> int:
        """Remove packs that no backup uses, and write those anew that are used by less than half."""
        try:
            needed = {
                block for backup_id in self.ids() for file in self.find(backup_id).files for block in file.blocks()
            }
        except StorageError as error:
            log.error("backups_not_pruned", error=str(error))  # what an unreadable one needs cannot be known
            return 0
        freed = 0
        chosen = self.blocks()
        for path in sorted({place.pack for place in chosen.values()}):
            held = list(read_index(path))
            used = [(name, place) for name, place in held if name in needed and chosen[name].pack == path]
            if sum(place.size for _, place in used) < LIVE_SHARE * sum(place.size for _, place in held):
                before = path.stat().st_size
                freed += before - self._rewrite(path, used)
        return freed

    def _rewrite(self, path: Path, used: list[tuple[bytes, Place]]) -> int:
        """A pack with these blocks alone, or none; how many bytes it has."""
        if not used:
            path.unlink()
            return 0
        reader = BlockReader(dict(used))
        try:
            with PackWriter(path) as writer:
                for name, _ in used:
                    writer.add(name, reader.read(name))
                writer.finish()
        finally:
            reader.close()
        reached("backup.pack_rewritten")
        return path.stat().st_size
