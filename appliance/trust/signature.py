"""Detached signatures: a small text file beside the file it vouches for, `FILE.sig`.

    rag-appliance signature 1
    size: 142318080
    digest: blake2b-512 HEX
    key: 3f1c5a9be07d2486
    signature: BASE64 of 64 bytes

The Ed25519 signature (RFC 8032) is over all bytes before its own line, so the first line separates it from anything
else the key may ever sign. The digest is what `b2sum FILE` prints. Signing a digest, with a key id to choose the key
by, is minisign's idea. The same key makes the same signature of the same file, byte for byte.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import NotFound, Untrusted
from appliance.trust.keypair import PublicKey, SigningKey
from appliance.trust.lines import Form, encoded

_NAMES = ("size", "digest", "key", "signature")
_FORM = Form("rag-appliance signature 1", _NAMES, "signature", "unsigned", code="malformed_signature")
DIGEST = "blake2b-512"
BLOCK = 1 << 20
_AGAIN = "Fetch the file and its signature again from where they come from; do not use this copy."


@dataclass(frozen=True, slots=True)
class Signature:
    """What a signature file says: `size` in bytes and `digest` (128 hexadecimal digits) of the file, by which key."""

    size: int
    digest: str
    key_id: str
    signature: bytes

    @property
    def message(self) -> bytes:
        """The bytes that are signed."""
        return _message(self.size, self.digest, self.key_id)

    @property
    def text(self) -> bytes:
        """The content of the signature file."""
        return self.message + f"signature: {encoded(self.signature)}\n".encode()


def signature_path(file: Path) -> Path:
    """Where the signature of a file lies: beside it, with `.sig`."""
    return file.with_name(f"{file.name}.sig")


def sign(file: Path, key: SigningKey) -> Path:
    """Sign a file of any size and write the signature beside it; returns where. Raises NotFound, Untrusted, OSError."""
    digest, size = digest_of(file)
    path = signature_path(file)
    path.write_bytes(sign_digest(digest, size, key).text)
    return path


def sign_digest(digest: str, size: int, key: SigningKey) -> Signature:
    """The signature of bytes that were digested (BLAKE2b-512, hexadecimal) while they were written."""
    key_id = key.public.id
    return Signature(size, digest, key_id, key.sign(_message(size, digest, key_id)))


def verify(file: Path, signature: Path | None, keys: Iterable[PublicKey]) -> PublicKey:
    """The key that vouches for the file, by the signature in a file (None: the one beside it).

    Raises NotFound (file_not_found, unsigned), InvalidRequest (malformed_signature), Untrusted (unknown_signing_key,
    forged_signature, wrong_digest, file_changed).
    """
    said = read_signature(signature or signature_path(file))
    key = check_signature(said, keys)  # first: a file of gigabytes is not read for a key that nobody knows
    digest, size = digest_of(file)
    if (digest, size) != (said.digest, said.size):
        how = f"it has {size} bytes instead of {said.size}" if size != said.size else "its content differs"
        raise Untrusted(f"{file} is not what {key.name!r} signed: {how}.", code="wrong_digest", hint=_AGAIN)
    return key


def check_signature(said: Signature, keys: Iterable[PublicKey]) -> PublicKey:
    """The key that made the signature; whether it fits a file is another question.

    Raises Untrusted (unknown_signing_key, forged_signature).
    """
    key = next((key for key in keys if key.id == said.key_id), None)
    if key is None:
        hint = "`rag-appliance trust list` shows the keys that are trusted; `trust add` adds one that you have checked."
        message = f"The key {said.key_id}, which made this signature, is not trusted here."
        raise Untrusted(message, code="unknown_signing_key", hint=hint)
    if not key.vouches(said.signature, said.message):
        message = f"The signature was not made by {key.name!r}, as it claims."
        raise Untrusted(message, code="forged_signature", hint=_AGAIN)
    return key


def read_signature(path: Path) -> Signature:
    """Raises NotFound (code unsigned), InvalidRequest (code malformed_signature)."""
    return parse_signature(_FORM.read(path))


def parse_signature(text: bytes) -> Signature:
    """A signature from the content of its file. Raises InvalidRequest (code malformed_signature)."""
    found = _FORM.parse(text)
    method, _, digest = found["digest"].partition(" ")
    if method != DIGEST or not _is_hex(digest, 128) or not _is_hex(found["key"], 16):
        raise _FORM.malformed(f"its digest is not {DIGEST}, or its key is no key id")
    if not (found["size"].isascii() and found["size"].isdecimal() and len(found["size"]) < 19):
        raise _FORM.malformed("its size is no number")
    said = Signature(int(found["size"]), digest, found["key"], _FORM.decoded(found["signature"], 64))
    if said.text != text:
        raise _FORM.malformed("it is not written as signatures are")
    return said


def digest_of(file: Path) -> tuple[str, int]:
    """BLAKE2b-512 in hexadecimal and the size in bytes, read in blocks of a mebibyte.

    Raises NotFound (code file_not_found), Untrusted (code file_changed) when somebody writes it meanwhile.
    """
    hashed = hashlib.blake2b()
    try:
        with file.open("rb", buffering=0) as opened:
            before = os.fstat(opened.fileno())
            buffer = memoryview(bytearray(BLOCK))
            size = 0
            while count := opened.readinto(buffer):
                hashed.update(buffer[:count])
                size += count
            after = os.fstat(opened.fileno())
    except OSError as error:
        hint = "Check the path and its permissions."
        raise NotFound(f"{file} cannot be read: {error.strerror}.", code="file_not_found", hint=hint) from error
    if (size, after.st_mtime_ns) != (before.st_size, before.st_mtime_ns):
        hint = "Wait until it is copied, or find out who writes it; then verify again."
        raise Untrusted(f"{file} was changed while it was read.", code="file_changed", hint=hint)
    return hashed.hexdigest(), size


def _message(size: int, digest: str, key_id: str) -> bytes:
    return _FORM.compose(str(size), f"{DIGEST} {digest}", key_id)


def _is_hex(value: str, digits: int) -> bool:
    return len(value) == digits and not set(value) - set("0123456789abcdef")
