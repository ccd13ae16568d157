"""Keys and their files.

A public key (`NAME.pub`):                          a secret key, readable by its owner alone:

    rag-appliance public key 1                      rag-appliance secret key 1
    name: releases of example.org                   name: releases of example.org
    key: BASE64 of 32 bytes                         secret: BASE64 of 32 bytes

A key is called by its id: the first 16 hexadecimal digits of the BLAKE2b digest of the public key's 32 bytes.
"""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from appliance.errors import Conflict, Forbidden, InvalidRequest, StorageError
from appliance.trust.lines import Form, encoded

_PUBLIC = Form("rag-appliance public key 1", ("name", "key"), "public key", "key_not_found", code="malformed_key")
_SECRET = Form("rag-appliance secret key 1", ("name", "secret"), "secret key", "key_not_found", code="malformed_key")
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,100}")


@dataclass(frozen=True, slots=True)
class PublicKey:
    """An Ed25519 public key (RFC 8032), 32 bytes, and a name for people."""

    name: str
    raw: bytes

    @property
    def id(self) -> str:
        return hashlib.blake2b(self.raw).hexdigest()[:16]

    @property
    def text(self) -> bytes:
        """The content of its file."""
        return _PUBLIC.compose(self.name, encoded(self.raw))

    def vouches(self, signature: bytes, message: bytes) -> bool:
        """Whether this key signed the message."""
        try:
            Ed25519PublicKey.from_public_bytes(self.raw).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SigningKey:
    """An Ed25519 secret key, 32 bytes: it never shows in a message, a log or a repr."""

    name: str
    _raw: bytes

    def __repr__(self) -> str:
        return f"SigningKey({self.name!r})"

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.name, Ed25519PrivateKey.from_private_bytes(self._raw).public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes, the same for the same message."""
        return Ed25519PrivateKey.from_private_bytes(self._raw).sign(message)

    def write(self, path: Path) -> None:
        """Write the secret key to a new file (0600) and the public one beside it, with `.pub`.

        Raises Conflict when either is there, StorageError.
        """
        secret = _SECRET.compose(self.name, encoded(self._raw))
        for target, content, mode in ((path, secret, 0o600), (public_path(path), self.public.text, 0o644)):
            try:
                with os.fdopen(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
                    file.write(content)
            except FileExistsError as error:
                hint = "A key is never written over: name a new file."
                raise Conflict(f"{target} exists already.", code="key_exists", hint=hint) from error
            except OSError as error:
                raise StorageError(f"{target} cannot be written: {error.strerror}.", code="key_unwritable") from error


def generate_key(name: str) -> SigningKey:
    """A new key. Raises InvalidRequest for a name that is empty, longer than 100 characters or of several lines."""
    if not _NAME.fullmatch(name):
        raise InvalidRequest("The name of a key is one line of 1 to 100 characters.", code="malformed_key")
    return SigningKey(name, Ed25519PrivateKey.generate().private_bytes_raw())


def read_public_key(path: Path) -> PublicKey:
    """Raises NotFound (code key_not_found), InvalidRequest (code malformed_key)."""
    found = _PUBLIC.parse(_PUBLIC.read(path))
    if not _NAME.fullmatch(found["name"]):
        raise _PUBLIC.malformed("its name is not one line of 1 to 100 characters")
    return PublicKey(found["name"], _PUBLIC.decoded(found["key"], 32))


def read_signing_key(path: Path) -> SigningKey:
    """Raises NotFound (key_not_found), InvalidRequest (malformed_key), Forbidden when others may read the file."""
    content = _SECRET.read(path)
    if path.stat().st_mode & 0o077:
        hint = f"If nobody else can have read it: chmod 600 {path}. Otherwise make a new key."
        raise Forbidden(f"Others may read the secret key {path}.", code="secret_key_exposed", hint=hint)
    found = _SECRET.parse(content)
    if not _NAME.fullmatch(found["name"]):
        raise _SECRET.malformed("its name is not one line of 1 to 100 characters")
    return SigningKey(found["name"], _SECRET.decoded(found["secret"], 32))


def public_path(path: Path) -> Path:
    return path.with_name(f"{path.name}.pub")
