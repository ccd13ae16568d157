"""API keys: made once in clear, kept as a hash, looked up in memory."""

import hashlib
import secrets
import threading
import time
from dataclasses import dataclass

from appliance.errors import InvalidRequest, NotFound
from appliance.store.database import Database, fetch
from appliance.types import Principal, Role

PREFIX = "rag_"
MAX_KEY_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class KeyInfo:
    """A key without its secret. Times are seconds since the epoch; `revoked_at` is None while it works."""

    id: str
    name: str
    role: Role
    created_at: float
    revoked_at: float | None


class Keys:
    """The keys of one database. Thread-safe; the valid ones are held in memory, by hash."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._change = threading.Lock()
        self._valid = self._load()

    def create(self, name: str, role: Role, *, key: str | None = None) -> tuple[Principal, str]:
        """A new key, or the given one, and its clear text, which cannot be had again.

        Raises InvalidRequest, StorageError.
        """
        name = name.strip()
        if not 1 <= len(name) <= 100 or not name.isprintable():
            raise InvalidRequest("A key needs a name of 1 to 100 printable characters.", code="invalid_key_name")
        key = key or PREFIX + secrets.token_urlsafe(32)
        digest = _digest(key)
        principal = Principal(digest.hex()[:12], name, Role(role))
        with self._change:
            with self._database.write() as connection:
                connection.execute(
                    "INSERT INTO keys (id, name, role, hash, created_at) VALUES (?, ?, ?, ?, ?)",
                    (principal.id, name, principal.role.value, digest, time.time()),
                )
            self._valid = self._load()
        return principal, key

    def authenticate(self, key: str) -> Principal | None:
        """Whose key it is; None when it is unknown or revoked.

        A fast hash is enough: a key is 256 random bits, so there is nothing to guess that a slow hash would slow down.
        The look-up is by that hash, whose bytes a caller cannot steer, so its timing tells nothing about a key.
        """
        if len(key) > MAX_KEY_CHARACTERS:
            return None
        return self._valid.get(_digest(key))

    def list(self) -> list[KeyInfo]:
        """All keys, oldest first, also the revoked ones. Raises StorageError."""
        query = "SELECT id, name, role, created_at, revoked_at FROM keys ORDER BY created_at, id"
        with self._database.read() as connection:
            found = fetch(connection, query)
        return [KeyInfo(i, name, Role(role), created, revoked) for i, name, role, created, revoked in found]

    def revoke(self, key_id: str) -> None:
        """The key stops working at once; revoking it again changes nothing. Raises NotFound, StorageError."""
        with self._change:
            with self._database.write() as connection:
                connection.execute(
                    "UPDATE keys SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?", (time.time(), key_id)
                )
                if not connection.changes():
                    raise NotFound(
                        f"There is no key {key_id[:80]!r}.",
                        code="key_not_found",
                        hint="`rag-appliance keys list` shows the ids.",
                    )
            self._valid = self._load()

    def empty(self) -> bool:
        """Whether no key was ever made. Raises StorageError."""
        with self._database.read() as connection:
            return not connection.execute("SELECT EXISTS (SELECT 1 FROM keys)").get

    def _load(self) -> dict[bytes, Principal]:
        query = "SELECT hash, id, name, role FROM keys WHERE revoked_at IS NULL"
        with self._database.read() as connection:
            found = fetch(connection, query)
        return {digest: Principal(key_id, name, Role(role)) for digest, key_id, name, role in found}


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
