"""The signature at the end of a pack, so that it travels with it."""

import hashlib
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

from appliance.errors import NotFound, Untrusted
from appliance.packs.form import opened
from appliance.trust import PublicKey, Signature, SigningKey, check_signature, digest_of, parse_signature, sign_digest

MARK = b"SEALED\n"
_TAIL = struct.Struct(f"<I{len(MARK)}s")
MOST_TEXT = 4096


def seal(path: Path, key: SigningKey) -> Signature:
    """Sign a pack that was just written, by appending. Raises NotFound, Untrusted (file_changed), OSError."""
    digest, size = digest_of(path)
    made = sign_digest(digest, size, key)
    with path.open("ab") as file:
        file.write(made.text + _TAIL.pack(len(made.text), MARK))
        file.flush()
        os.fsync(file.fileno())
    return made


def check_seal(path: Path, keys: Iterable[PublicKey]) -> tuple[Signature, PublicKey]:
    """What a pack must be, and whose key says so; the content itself is compared while it is read (`Sealed`).

    Raises NotFound (file_not_found, unsigned), InvalidRequest (malformed_signature), Untrusted.
    """
    with opened(path) as file:
        length = file.seek(0, os.SEEK_END)
        file.seek(max(0, length - _TAIL.size))
        tail = file.read()
        size, mark = _TAIL.unpack(tail) if len(tail) == _TAIL.size else (0, b"")
        if mark != MARK or not 0 < size <= min(MOST_TEXT, length - _TAIL.size):
            hint = "Whoever made it signs it: `pack export … --key SECRET`. Only what a trusted key signed is read."
            raise NotFound(f"{path} has no signature.", code="unsigned", hint=hint)
        file.seek(length - _TAIL.size - size)
        said = parse_signature(file.read(size))
    key = check_signature(said, keys)
    if said.size != length - _TAIL.size - size:
        raise changed(path, key)
    return said, key


def changed(path: Path, key: PublicKey) -> Untrusted:
    hint = "Copy it again from where it was made; nothing was taken from this copy."
    return Untrusted(f"{path} is not what {key.name!r} signed.", code="wrong_digest", hint=hint)


class Sealed:
    """Reads the signed bytes of a pack, no more, and knows in the end whether they were the right ones."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self.size, self.done = size, 0
        self._file = file
        self._hashed = hashlib.blake2b()

    def read(self, count: int) -> bytes:
        piece = self._file.read(min(count, self.size - self.done))
        self._hashed.update(piece)
        self.done += len(piece)
        return piece

    def holds(self, digest: str) -> bool:
        """Whether all of it was read, and was what this digest says."""
        return self.done == self.size and self._hashed.hexdigest() == digest
