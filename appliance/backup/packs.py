"""Packs: files of blocks, written once. Blocks, then an index, then its length and digest.

A block is found by its digest and checked against it each time it is read. A pack gets its name when it is whole.
"""

import os
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

import msgspec

from appliance.backup.manifest import DIGEST, HEADER, damaged, digest
from appliance.paths import sync_path

SUFFIX = ".pack"
PART = ".part"
_TAIL = struct.Struct(f"<Q{DIGEST}s")  # length and digest of the index


class _Index(msgspec.Struct, frozen=True):
    digests: bytes
    sizes: bytes  # uint32, little-endian


@dataclass(frozen=True, slots=True)
class Place:
    """Where a block lies."""

    pack: Path
    offset: int
    size: int


class PackWriter:
    """Writes a pack beside its name. Left without `finish`, nothing of it counts and `close` removes it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.written = 0
        self._part = path.with_name(path.name + PART)
        self._file: BinaryIO = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        self._digests: list[bytes] = []
        self._sizes: list[int] = []
        self._file.write(HEADER)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        self._part.unlink(missing_ok=True)

    def add(self, name: bytes, block: bytes) -> None:
        """`name` is the digest of the block. Raises OSError."""
        self._file.write(block)
        self._digests.append(name)
        self._sizes.append(len(block))
        self.written += len(block)

    def finish(self) -> None:
        """Give it its name, durably; a pack without blocks gets none. Raises OSError."""
        if not self._digests:
            return
        index = msgspec.msgpack.encode(
            _Index(b"".join(self._digests), struct.pack(f"<{len(self._sizes)}I", *self._sizes))
        )
        self._file.write(index + _TAIL.pack(len(index), digest(index)))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._part.replace(self.path)
        sync_path(self.path.parent)


def read_index(path: Path) -> Iterable[tuple[bytes, Place]]:
    """The blocks of a pack. Raises StorageError (backup_damaged)."""
    try:
        with path.open("rb") as file:
            file.seek(-_TAIL.size, os.SEEK_END)
            length, expected = _TAIL.unpack(file.read(_TAIL.size))
            file.seek(-_TAIL.size - length, os.SEEK_END)
            index = file.read(length)
    except (OSError, struct.error, ValueError, OverflowError) as error:  # a torn length leads anywhere
        raise damaged(f"the pack {path.name} cannot be read") from error
    if digest(index) != expected:
        raise damaged(f"the index of the pack {path.name} is not as it was written")
    found = msgspec.msgpack.decode(index, type=_Index)
    offset = len(HEADER)
    for number, (size,) in enumerate(struct.iter_unpack("<I", found.sizes)):
        yield found.digests[number * DIGEST : (number + 1) * DIGEST], Place(path, offset, size)
        offset += size


class BlockReader:
    """Reads blocks from packs, which stay open until `close`."""

    def __init__(self, places: dict[bytes, Place]) -> None:
        self.places = places
        self._open: dict[Path, BinaryIO] = {}

    def read(self, name: bytes) -> bytes:
        """The block of a digest. Raises StorageError (backup_damaged)."""
        place = self.places.get(name)
        if place is None:
            raise damaged(f"the block {name.hex()[:16]} is in no pack")
        try:
            if place.pack not in self._open:
                self._open[place.pack] = place.pack.open("rb")
            block = os.pread(self._open[place.pack].fileno(), place.size, place.offset)
        except OSError as error:
            raise damaged(f"{place.pack.name} cannot be read at {place.offset}: {error.strerror}") from error
        if digest(block) != name:
            raise damaged(f"{place.pack.name} has other bytes at {place.offset} than were written")
        return block

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
