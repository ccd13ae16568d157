"""Which keys are trusted, and where they come from."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import Conflict, InvalidRequest, NotFound, StorageError
from appliance.trust.keypair import PublicKey, read_public_key

PINNED = Path(__file__).resolve().parent / "keys"
SYSTEM = Path("/etc/rag-appliance/trusted-keys")
MOST_KEYS = 100


@dataclass(frozen=True, slots=True)
class TrustedKey:
    """A key with its file; `origin` is program, host or data."""

    key: PublicKey
    origin: str
    path: Path


def pinned_keys() -> list[TrustedKey]:
    """The keys that came with the program."""
    return list(_keys(PINNED, "program"))


def system_keys() -> list[TrustedKey]:
    """Those of the program and of this host's administrator: a release must be signed by one of them."""
    return [*pinned_keys(), *_keys(SYSTEM, "host")]


def known_keys(folder: Path) -> list[TrustedKey]:
    """All that vouch for corpus packs: those of `system_keys` and those in the data directory's folder."""
    return [*system_keys(), *_keys(folder, "data")]


def add_key(folder: Path, key: PublicKey) -> TrustedKey:
    """Trust a key from now on. Raises Conflict when it is trusted already, or there are too many; StorageError."""
    known = known_keys(folder)
    if any(trusted.key.id == key.id for trusted in known):
        raise Conflict(f"The key {key.id} is trusted already.", code="key_exists", hint="There is nothing to do.")
    if len(known) >= MOST_KEYS:
        hint = "`rag-appliance trust remove` removes one that is not needed."
        raise Conflict(f"There are {MOST_KEYS} keys already.", code="too_many_keys", hint=hint)
    path = folder / f"{key.id}.pub"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_bytes(key.text)
    except OSError as error:
        raise StorageError(f"{path} cannot be written: {error.strerror}.", code="key_unwritable") from error
    return TrustedKey(key, "data", path)


def remove_key(folder: Path, key_id: str) -> None:
    """Trust a key of the data directory no more. Raises NotFound; Conflict for one that lies elsewhere."""
    found = next((trusted for trusted in known_keys(folder) if trusted.key.id == key_id), None)
    if found is None:
        raise NotFound(f"No key {key_id} is trusted.", code="key_not_found", hint="`trust list` shows those that are.")
    if found.origin != "data":
        hint = f"It lies at {found.path}; only who may write there can remove it."
        raise Conflict(f"The key {key_id} is not one of the data directory.", code="key_not_removable", hint=hint)
    found.path.unlink(missing_ok=True)


def _keys(folder: Path, origin: str) -> Iterator[TrustedKey]:
    """Those in a folder, by name of file. Raises InvalidRequest for one that is malformed, NotFound if unreadable."""
    for path in sorted(folder.glob("*.pub"))[:MOST_KEYS] if folder.is_dir() else []:
        try:
            yield TrustedKey(read_public_key(path), origin, path)
        except InvalidRequest as error:
            hint = "Remove this file from the trusted keys, or copy it again from its owner."
            raise InvalidRequest(f"{path}: {error}", code="malformed_key", hint=hint) from error
