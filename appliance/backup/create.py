"""Taking a backup of an open data directory: a snapshot of the database, and the files beside it."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from appliance import __version__
from appliance.backup.manifest import (
    BLOCK,
    DATABASE,
    DIGEST,
    Manifest,
    Probe,
    StoredCollection,
    StoredFile,
    StoredModel,
    damaged,
    digest,
)
from appliance.backup.packs import PackWriter
from appliance.backup.repository import Repository
from appliance.errors import DiskFull, StorageError
from appliance.faults import reached
from appliance.inference import ModelRegistry
from appliance.paths import DataPaths
from appliance.store import Store
from appliance.store.snapshot import Facts, Snapshot, frozen

BATCH = 16 * BLOCK  # bytes read at a time; between two batches questions go first
GROWTH = 0.1  # of the data that an incremental backup is expected to write at most, for the check of space

Progress = Callable[[int, int], None]
Reader = Callable[[int, int], bytes]


@dataclass(frozen=True, slots=True)
class Source:
    """The data directory that is backed up. `probes` gives questions with known answers, by the chunk of each."""

    store: Store
    paths: DataPaths
    registry: ModelRegistry
    settings: Mapping[str, str]
    probes: Callable[[], Mapping[int, Probe]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a backup is to be: `full` shares no block with those before, `index` holds the vector indexes as well,
    `models` the operator's own model files.
    """

    full: bool = False
    index: bool = False
    models: bool = False


def create(repository: Repository, source: Source, wanted: Wanted, progress: Progress) -> Manifest:
    """Take a backup; it exists when this returns, and nothing of it counts when this raises.

    `progress(bytes done, bytes in all)` is called after each batch and may raise to end the work. Raises StorageError,
    DiskFull, Conflict (backup_folder_busy).
    """
    began = time.time()
    with _told(repository.folder), repository.changing(), contextlib.ExitStack() as files:
        backup_id = f"{time.strftime('%Y%m%d-%H%M%S', time.gmtime(began))}-{int(began % 1 * 65536):04x}"
        beside = list(_beside(source.paths, wanted, files))  # opened before the snapshot: an index is never newer
        asked = source.probes()
        last_commit = _last_commit(source.paths)
        with frozen(source.store.database) as snapshot, repository.writer(backup_id) as pack:
            taken_at = time.time()
            writing = _Writing(repository, pack, full=wanted.full)
            total = snapshot.size + sum(size for _, size, _ in beside)
            repository.check_room(total if not writing.known else int(GROWTH * total))
            facts, kept = snapshot.facts(), snapshot.present(list(asked))
            stored = _store(writing, snapshot, beside, lambda done: progress(done, total))
            pack.finish()
            reached("backup.pack_written")
        made = Manifest(
            id=backup_id,
            taken_at=taken_at,
            last_commit_at=last_commit,
            newest_document_at=facts.newest,
            program=__version__,
            schema=facts.schema,
            full=not writing.reused,
            seconds=round(time.time() - began, 3),
            new_bytes=pack.written,
            total_bytes=total,
            unfinished_tasks=facts.unfinished,
            collections=_collections(facts),
            probes=tuple(probe for number, probe in asked.items() if number in kept),
            models=_models(source, wanted),
            settings=dict(source.settings),
            files=stored,
        )
        check_blocks(repository, made)
        repository.list_backup(made)
    return made


def check_blocks(repository: Repository, made: Manifest, progress: Progress = lambda done, total: None) -> None:
    """Read back what this backup wrote, and see that the rest is there. Raises StorageError (backup_damaged)."""
    with repository.reading() as reader:
        own = {name: place for name, place in reader.places.items() if place.pack.stem == made.id}
        needed = {name for file in made.files for name in file.blocks()}
        if missing := needed - reader.places.keys():
            raise damaged(f"{len(missing)} blocks are in no pack")
        for number, name in enumerate(own):
            reader.read(name)
            progress(number, len(own))


class _Writing:
    """Cuts files into blocks and writes those that are not there yet."""

    def __init__(self, repository: Repository, pack: PackWriter, *, full: bool) -> None:
        self.known: set[bytes] = set() if full else set(repository.blocks())
        self.reused = False
        self._before = frozenset(self.known)
        self._pack = pack

    def file(self, path: str, size: int, read: Reader, progress: Callable[[int], None]) -> StoredFile:
        """`read(offset, length)` gives the bytes. Raises OSError, StorageError."""
        digests = bytearray()
        for offset in range(0, size, BATCH):
            batch = read(offset, min(BATCH, size - offset))
            for at in range(0, len(batch), BLOCK):
                digests += self._block(batch[at : at + BLOCK])
            progress(offset + len(batch))
        if len(digests) != DIGEST * -(-size // BLOCK):
            raise StorageError(f"{path} was cut off while it was read.", code="file_changed", hint="Try again.")
        return StoredFile(path, size, bytes(digests))

    def _block(self, block: bytes) -> bytes:
        name = digest(block)
        if name not in self.known:
            self._pack.add(name, block)
            self.known.add(name)
        elif name in self._before:
            self.reused = True
        return name


def _store(
    writing: _Writing, snapshot: Snapshot, beside: list[tuple[str, int, BinaryIO]], done: Callable[[int], None]
) -> tuple[StoredFile, ...]:
    """The database first: while it is read, its log grows."""
    stored = [writing.file(DATABASE, snapshot.size, snapshot.read, done)]
    before = snapshot.size
    for path, size, file in beside:

        def read(offset: int, length: int, descriptor: int = file.fileno()) -> bytes:
            return os.pread(descriptor, length, offset)

        stored.append(writing.file(path, size, read, lambda count, base=before: done(base + count)))  # type: ignore[misc]
        before += size
    return tuple(stored)


def _beside(paths: DataPaths, wanted: Wanted, files: contextlib.ExitStack) -> Iterator[tuple[str, int, BinaryIO]]:
    """The other files of a backup, open, so that none changes under it: they are only ever replaced, never written."""
    folders = [paths.prompts, paths.trust]
    folders += [paths.models] if wanted.models else []
    chosen = [path for folder in folders if folder.is_dir() for path in sorted(folder.rglob("*"))]
    for path in [*chosen, *(_generations(paths.index) if wanted.index else ())]:
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):  # replaced or removed since it was listed
            if path.is_file() and not path.is_symlink():
                file = files.enter_context(path.open("rb", buffering=0))
                name = path.relative_to(paths.root).as_posix()
                yield name, os.fstat(file.fileno()).st_size, file


def _generations(index: Path) -> Iterator[Path]:
    """The generation in force of each index, and the file that names it."""
    for current in sorted(index.glob("*/CURRENT")):
        with contextlib.suppress(OSError, ValueError):
            number = int(current.read_text(encoding="ascii"))
            yield current
            yield from sorted((current.parent / str(number)).iterdir())


def _last_commit(paths: DataPaths) -> float:
    """When the log or the file was last written."""
    times = []
    for path in (paths.database, paths.database.with_name(f"{paths.database.name}-wal")):
        with contextlib.suppress(FileNotFoundError):
            times.append(path.stat().st_mtime)
    return max(times, default=0.0)


def _collections(facts: Facts) -> tuple[StoredCollection, ...]:
    return tuple(StoredCollection(c.name, c.embedder, c.documents, c.chunks) for c in facts.collections)


def _models(source: Source, wanted: Wanted) -> tuple[StoredModel, ...]:
    added = (model for model in source.registry.list() if model.origin == "added")
    return tuple(StoredModel(model.name, model.sha256, model.size, wanted.models) for model in added)


@contextlib.contextmanager
def _told(folder: Path) -> Iterator[None]:
    """A full disk in the middle, in our own terms."""
    try:
        yield
    except OSError as error:
        full = error.errno == 28  # ENOSPC
        kind = DiskFull if full else StorageError
        raise kind(
            f"The backup could not be written to {folder}: {error.strerror}.",
            code="backup_needs_room" if full else "backup_folder_unusable",
            hint="Nothing of it is listed. Free some space, or write to another disk with --to.",
        ) from error
