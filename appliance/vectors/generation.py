"""Generations of a graph on disk: `<n>/hnsw.bin` with `<n>/manifest.json`, and CURRENT, which names the one in force.

A generation is written beside the others, synced, and becomes current by an atomic rename. One before it is kept.
"""

import contextlib
import hashlib
import json
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import msgspec
import numpy as np

from appliance.faults import reached
from appliance.paths import sync_path
from appliance.types import Ids
from appliance.vectors import graph as graphs
from appliance.vectors.graph import Graph, Origin, Recall

FORMAT = 4
WHOLE_NUMBERS = 3  # the format whose vectors are float32: read, never written
CURRENT = "CURRENT"
GRAPH_FILE = "hnsw.bin"


class UnusableGenerationError(Exception):
    """A generation that cannot serve; the message is the reason in one word: missing, torn, foreign."""


@dataclass(frozen=True, slots=True)
class Manifest:
    """What must be true of a graph file before it is loaded, and what is known about it.

    `removed` are ids that are in it but no longer count. `built_at` and `reason` tell when and why the graph was built,
    `created_at` when this file was written (seconds since the epoch); `recall` was measured with `ef` among
    `recall_vectors`, None where it was not yet.
    """

    format: int
    fingerprint: str
    dimensions: int
    m: int
    ef_construction: int
    vectors: int
    removed: tuple[int, ...]
    last_chunk_id: int
    bytes: int
    sha256: str
    built_at: float
    created_at: float
    reason: str
    ef: int
    recall: float | None
    recall_vectors: int

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """Raises UnusableGenerationError."""
        try:
            raw = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
            if raw["format"] == 1:
                raw |= {"reason": "unknown", "built_at": 0.0, "created_at": 0.0}
            if raw["format"] in (1, 2):  # not measured, or with questions that were too easy
                raw |= {"format": WHOLE_NUMBERS, "ef": graphs.LEAST_EF, "recall": None, "recall_vectors": 0}
            return msgspec.convert(raw, cls)
        except OSError:
            raise UnusableGenerationError("missing") from None
        except (ValueError, TypeError, KeyError, msgspec.ValidationError):
            raise UnusableGenerationError("torn") from None


def numbers(directory: Path) -> list[int]:
    """The generations on disk, the one to try first in front: CURRENT, then the newest."""
    if not directory.is_dir():
        return []
    found = sorted((int(entry.name) for entry in directory.iterdir() if _is_generation(entry)), reverse=True)
    try:
        current = int((directory / CURRENT).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return found
    return sorted(found, key=lambda number: (number != current, -number))


def load(directory: Path, number: int, *, fingerprint: str, dimensions: int, threads: int) -> Graph:
    """Read a generation. Raises UnusableGenerationError."""
    folder = directory / str(number)
    manifest = Manifest.read(folder)
    ours = (fingerprint, dimensions, graphs.M, graphs.EF_CONSTRUCTION)
    stored = (manifest.fingerprint, manifest.dimensions, manifest.m, manifest.ef_construction)
    if stored != ours or manifest.format not in (FORMAT, WHOLE_NUMBERS):
        raise UnusableGenerationError("foreign")
    graph = _checked(folder / GRAPH_FILE, manifest, threads)
    graph.restore_dead(np.array(sorted(manifest.removed), dtype=np.int64))
    if (len(graph.held.ids), graph.held.dead) != (manifest.vectors, len(manifest.removed)):
        raise UnusableGenerationError("torn")
    if manifest.recall is not None:
        graph.measured(Recall(manifest.recall, manifest.ef, manifest.recall_vectors))
    return graph


def is_old(directory: Path, number: int) -> bool:
    """Whether it is of a format that is read more slowly than one written now. Raises UnusableGenerationError."""
    return Manifest.read(directory / str(number)).format != FORMAT


def write(directory: Path, graph: Graph, fingerprint: str) -> int:
    """Write the graph as the newest generation, make it current, and remove all but one other.

    That is the newest file of a graph built before this one, to roll back to; where there is none, the file of this
    graph that was current before. The graph must not change meanwhile. Returns the generation's number. Raises OSError.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    _remove_strays(directory)
    existing = numbers(directory)
    number = max(existing, default=0) + 1
    beside = directory / f"{number}.new"
    beside.mkdir(mode=0o700)
    try:
        path = beside / GRAPH_FILE
        expected = graph.save(path)
        reached("generation.graph_written")
        sync_path(path)
        if path.stat().st_size != expected:  # saving does not look whether its writes succeed
            raise OSError(28, "the graph file is shorter than it should be; the disk may be full", str(path))
        _write_synced(beside / "manifest.json", json.dumps(asdict(_manifest(graph, fingerprint, path))))
        reached("generation.files_synced")
        beside.rename(directory / str(number))
        reached("generation.renamed")
    except BaseException:
        shutil.rmtree(beside, ignore_errors=True)
        raise
    sync_path(directory)
    switch(directory, number)
    kept = _kept(directory, existing, graph.origin)
    for old in existing:
        if old != kept:
            shutil.rmtree(directory / str(old), ignore_errors=True)
    reached("generation.older_removed")
    return number


def switch(directory: Path, number: int) -> None:
    """Make a generation on disk the current one. Raises OSError."""
    _write_synced(directory / f"{CURRENT}.new", str(number))
    reached("generation.current_written")
    (directory / f"{CURRENT}.new").replace(directory / CURRENT)
    sync_path(directory)
    reached("generation.switched")


def previous(directory: Path, current: int | None) -> int | None:
    """The generation to roll back to: the newest that is not the current one; None without one."""
    return next((number for number in numbers(directory) if number != current), None)


def manifests(directory: Path) -> list[tuple[int, Manifest]]:
    """What lies on disk and can be read, newest first; a file read meanwhile may go missing and is left out."""
    found = []
    for number in sorted(numbers(directory), reverse=True):
        with contextlib.suppress(UnusableGenerationError):
            found.append((number, Manifest.read(directory / str(number))))
    return found


def damaged(directory: Path) -> list[tuple[int, str]]:
    """The generations whose graph file is not the one that was written, and why: missing or torn. All bytes are read.

    One that is replaced meanwhile is left out. Raises OSError where a file cannot be read.
    """
    found = []
    for number in numbers(directory):
        folder = directory / str(number)
        try:
            manifest = Manifest.read(folder)
            why = "" if _sha256(folder / GRAPH_FILE) == manifest.sha256 else "torn"
        except UnusableGenerationError as error:
            why = str(error)
        except FileNotFoundError:
            why = "missing"
        except IsADirectoryError:
            why = "torn"
        if why and folder.is_dir():
            found.append((number, why))
    return found


def bytes_on_disk(directory: Path) -> int:
    """Of all files below it; one that vanishes meanwhile counts nothing."""
    total = 0
    for path in directory.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            total += path.stat().st_size
    return total


def remove_all(directory: Path, *, but: int | None = None) -> None:
    """Remove every generation, or all but one. Raises OSError when one stays."""
    for entry in list(directory.iterdir()) if directory.is_dir() else []:
        if entry.is_dir() and entry.name != str(but):
            shutil.rmtree(entry)
    if but is None and directory.is_dir():
        shutil.rmtree(directory)


def _is_generation(entry: Path) -> bool:
    return entry.name.isdecimal() and entry.is_dir()


def _remove_strays(directory: Path) -> None:
    """What a crash, or somebody else, has left."""
    for entry in list(directory.iterdir()):
        if entry.is_dir() and not _is_generation(entry):
            shutil.rmtree(entry)
        elif not entry.is_dir() and entry.name != CURRENT:
            entry.unlink()


def _kept(directory: Path, existing: list[int], origin: Origin) -> int | None:
    """Which of the generations to keep beside a new one of a graph of this origin."""
    others = []
    for number in existing:
        with contextlib.suppress(UnusableGenerationError):
            if Manifest.read(directory / str(number)).built_at != origin.built_at:
                others.append(number)
    return next(iter(others or existing), None)


def _manifest(graph: Graph, fingerprint: str, path: Path) -> Manifest:
    held = graph.held
    dead: Ids = held.ids[~held.live]
    return Manifest(
        format=FORMAT,
        fingerprint=fingerprint,
        dimensions=graph.dimensions,
        m=graphs.M,
        ef_construction=graphs.EF_CONSTRUCTION,
        vectors=len(held.ids),
        removed=tuple(dead.tolist()),
        last_chunk_id=int(held.ids[-1]) if len(held.ids) else 0,
        bytes=path.stat().st_size,
        sha256=_sha256(path),
        built_at=graph.origin.built_at,
        created_at=time.time(),
        reason=graph.origin.reason,
        ef=graph.ef,
        recall=None if graph.recall is None else graph.recall.value,
        recall_vectors=0 if graph.recall is None else graph.recall.vectors,
    )


def _checked(path: Path, manifest: Manifest, threads: int) -> Graph:
    """The graph of a file that is what its manifest says; its checksum is made while it is read.

    Raises UnusableGenerationError.
    """
    origin = Origin(manifest.built_at, manifest.reason)
    try:
        if path.stat().st_size != manifest.bytes:
            raise UnusableGenerationError("torn")
        with ThreadPoolExecutor(1, "checksum") as beside:
            checksum = beside.submit(_sha256, path)
            graph = Graph.load(path, manifest.dimensions, origin, threads=threads)
            if checksum.result() != manifest.sha256:
                raise UnusableGenerationError("torn")
    except OSError:
        raise UnusableGenerationError("missing") from None
    except RuntimeError:
        raise UnusableGenerationError("torn") from None
    return graph


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
