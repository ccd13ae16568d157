"""A folder behind the launcher, as one file: launcher, tar compressed with zstd, trailer. Same input, same bytes.

The tar holds MANIFEST first and then what it lists, in its order; `tail -c +OFFSET FILE | zstd -d | tar t` shows it.
A tree is named by the digest of its manifest, so its name says what every byte in it must be.
"""

import hashlib
import io
import os
import stat
import struct
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

MANIFEST = "MANIFEST"
MAGIC = b"rag-appliance 1\n"
TRAILER = struct.Struct("<16sQQQQQ32s32s")  # Trailer of build/launcher/launcher.h
TREE_TIME = 946684800  # 2000-01-01 00:00 UTC
LEVEL = 12
PART = 1 << 20


@dataclass(frozen=True, slots=True)
class Entry:
    """A file (`digest` of its bytes, BLAKE2b-256) or a link (`digest` is its target)."""

    path: str
    kind: str
    mode: int
    size: int
    digest: str

    def line(self) -> str:
        return f"{self.kind}\t{self.mode:o}\t{self.size}\t{self.digest}\t{self.path}\n"


def list_tree(root: Path) -> list[Entry]:
    """Every file and link below `root`, sorted by path. Raises ValueError for anything else."""
    paths = [
        Path(folder) / name for folder, folders, names in os.walk(root) for name in [*names, *links(folder, folders)]
    ]
    entries = [_entry(path, str(path.relative_to(root))) for path in paths if path != root / MANIFEST]
    return sorted(entries, key=lambda entry: entry.path)


def links(folder: str, names: list[str]) -> list[str]:
    """Those of the folders `names` that are links."""
    return [name for name in names if (Path(folder) / name).is_symlink()]


def _entry(path: Path, name: str) -> Entry:
    seen = path.lstat()
    if set(name) & {"\t", "\n"}:
        raise ValueError(f"{name!r} cannot stand in a manifest")
    if stat.S_ISLNK(seen.st_mode):
        target = str(path.readlink())
        if target.startswith("/"):
            raise ValueError(f"{name} points out of the tree, to {target}")
        return Entry(name, "l", 0o777, 0, target)
    if not stat.S_ISREG(seen.st_mode):
        raise ValueError(f"{name} is neither file nor link")
    with path.open("rb") as stream:
        digest = hashlib.file_digest(stream, lambda: hashlib.blake2b(digest_size=32)).hexdigest()
    return Entry(name, "f", 0o555 if seen.st_mode & 0o111 else 0o444, seen.st_size, digest)


def write_manifest(root: Path, version: str) -> tuple[bytes, list[Entry]]:
    """Write MANIFEST into `root`; -> its bytes, and the entries it lists."""
    entries = list_tree(root)
    heading = f"# rag-appliance {version}: kind, mode, size, BLAKE2b-256 or target, path\n"
    text = (heading + "".join(entry.line() for entry in entries)).encode()
    (root / MANIFEST).unlink(missing_ok=True)
    (root / MANIFEST).write_bytes(text)
    return text, entries


def pack(root: Path, launcher: Path, version: str, target: Path) -> str:
    """Write `target`, whole or not at all; -> the digest of the tree."""
    manifest, entries = write_manifest(root, version)
    digest = hashlib.blake2b(manifest, digest_size=32)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f".{target.name}.partial")
    with partial.open("wb") as out:
        out.write(launcher.read_bytes())
        offset = out.tell()
        compressor = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=os.cpu_count() or 1)
        with compressor.stream_writer(out, closefd=False) as stream:
            _write_tar(stream, root, manifest, entries)
        size = out.tell() - offset
        unpacked = len(manifest) + sum(entry.size for entry in entries)
        out.write(
            TRAILER.pack(MAGIC, offset, size, unpacked, len(manifest), len(entries), digest.digest(), version.encode())
        )
    partial.chmod(0o755)
    partial.replace(target)
    return digest.hexdigest()


def _write_tar(stream: BinaryIO, root: Path, manifest: bytes, entries: list[Entry]) -> None:
    whole = Entry(MANIFEST, "f", 0o444, len(manifest), "")
    _write_member(stream, whole, io.BytesIO(manifest))
    for entry in entries:
        if entry.kind == "l":
            stream.write(_header(entry))
            continue
        with (root / entry.path).open("rb") as content:
            _write_member(stream, entry, content)
    stream.write(bytes(2 * tarfile.BLOCKSIZE))


def _header(entry: Entry) -> bytes:
    info = tarfile.TarInfo(entry.path)
    info.mode, info.size, info.mtime = entry.mode, entry.size, TREE_TIME
    if entry.kind == "l":
        info.type, info.linkname = tarfile.SYMTYPE, entry.digest
    return info.tobuf(tarfile.USTAR_FORMAT)


def _write_member(stream: BinaryIO, entry: Entry, content: BinaryIO) -> None:
    stream.write(_header(entry))
    left = entry.size
    while left and (part := content.read(min(PART, left))):
        stream.write(part)
        left -= len(part)
    if left or content.read(1):
        raise ValueError(f"{entry.path} changed while it was packed")
    stream.write(bytes(-entry.size % tarfile.BLOCKSIZE))
