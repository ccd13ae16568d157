"""Reads every byte of the data directory and says which needles are still in it, and where."""

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from appliance.erasure.needles import Kind, Sought, hash_forms, metadata_values, text_forms, vector_forms
from appliance.erasure.rolling import Matcher, Needles
from appliance.store.stored_content import StoredDocument

BLOCK_BYTES = 512 * 1024  # the arrays made of it fit the processor's cache
PLACES = 20  # files named in a receipt

Progress = Callable[[int, int], None]


@dataclass(slots=True)
class Scan:
    """What was read and found; `hits` are numbers of needles by file, relative to the data directory."""

    files: int = 0
    bytes: int = 0
    seconds: float = 0.0
    hits: dict[str, set[int]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)

    @property
    def found(self) -> set[int]:
        return set().union(*self.hits.values())


def scan_directory(root: Path, sought: Sought, *, left_out: Callable[[Path], bool], progress: Progress) -> Scan:
    """Every regular file below `root`, links not followed; those that `left_out` names are listed, not read.

    `progress(bytes read, bytes in all)` is called after each block and may raise to end the scan. Raises OSError for a
    file that is there and cannot be read.
    """
    started = time.monotonic()
    scan = Scan()
    matcher = Matcher(sought.needles, sought.key)
    files = []
    for path in _files(root):
        if path.is_symlink() or left_out(path):
            scan.left_out.append(str(path.relative_to(root)))
        else:
            files.append(path)
    total = sum(_size(path) for path in files)
    for path in files:
        try:
            found, read = _scan_file(path, matcher, lambda count: progress(scan.bytes + count, total))
        except FileNotFoundError:
            continue  # removed meanwhile
        scan.files += 1
        scan.bytes += read
        if found:
            scan.hits[str(path.relative_to(root))] = found
    scan.seconds = round(time.monotonic() - started, 3)
    return scan


def _scan_file(path: Path, matcher: Matcher, progress: Callable[[int], None]) -> tuple[set[int], int]:
    found: set[int] = set()
    tail, read = b"", 0
    with path.open("rb", buffering=0) as file:
        while block := file.read(BLOCK_BYTES):
            read += len(block)
            whole = tail + block
            found |= matcher.find(whole)
            tail = whole[-matcher.overlap :] if matcher.overlap else b""
            progress(read)
    return found, read


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for name in sorted(names):
            path = Path(folder, name)
            if path.is_file() or path.is_symlink():
                yield path


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def shared_with(
    documents: Iterator[StoredDocument],
    noted: Iterator[bytes],
    sought: Sought,
    numbers: set[int],
    check: Callable[[], None],
) -> set[int]:
    """Those of the needles `numbers` that documents still stored hold as well, or what is rightly `noted` elsewhere.

    `check` is called between documents and may raise.
    """
    order = np.array(sorted(numbers), dtype=np.int64)
    chosen: Needles = sought.needles[order]
    matcher = Matcher(chosen, sought.key)
    found: set[int] = set()
    for content in _contents(documents, noted, {Kind(kind) for kind in chosen["kind"].tolist()}, check):
        found |= matcher.find(content)
        if len(found) == len(order):
            break
    return set(order[sorted(found)].tolist())


def _contents(
    documents: Iterator[StoredDocument], noted: Iterator[bytes], kinds: set[Kind], check: Callable[[], None]
) -> Iterator[bytes]:
    yield from noted
    for document in documents:
        check()
        yield from text_forms(document.text)
        yield from text_forms(document.source)
        yield from text_forms(document.title)
        yield document.metadata.encode("utf-8")
        yield from metadata_values(document.metadata)
        yield from hash_forms(document.sha256)
        if kinds & {Kind.VECTOR, Kind.SENTENCE_VECTOR}:
            for chunk in document.chunks():
                for _, row in vector_forms(chunk):
                    yield row
