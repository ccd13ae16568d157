"""What a backup holds, and its file: a first line, msgpack, and a digest of both."""

import hashlib
import re
from pathlib import Path, PurePosixPath

import msgspec

from appliance.errors import StorageError

HEADER = b"rag-appliance backup 1\n"
SUFFIX = ".backup"
BLOCK = 64 * 1024  # bytes; smaller ones cost less for a few changed pages and more for everything else
DIGEST = 32  # bytes of BLAKE2b
DATABASE = "appliance.db"
_ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{4}")


class StoredFile(msgspec.Struct, frozen=True):
    """A file below the data directory, as blocks of BLOCK bytes (the last may be shorter), by their digests."""

    path: str
    size: int
    digests: bytes

    def blocks(self) -> list[bytes]:
        return [self.digests[at : at + DIGEST] for at in range(0, len(self.digests), DIGEST)]


class StoredCollection(msgspec.Struct, frozen=True):
    """A collection as it was, with the fingerprint of its model."""

    name: str
    embedder: str
    documents: int
    chunks: int


class Probe(msgspec.Struct, frozen=True):
    """A question and the source of a document that was among the best hits when the backup was taken."""

    collection: str
    question: str
    source: str


class StoredModel(msgspec.Struct, frozen=True):
    """A model of the operator's own, by name and SHA-256; `held`: its files are in the backup."""

    name: str
    sha256: str
    size: int
    held: bool


class Manifest(msgspec.Struct, frozen=True):
    """Times in seconds since the epoch: `taken_at` of the snapshot, `last_commit_at` of the last change before it (0:
    unknown), `newest_document_at`. `new_bytes` were written for this backup, `total_bytes` are those it restores.
    """

    id: str
    taken_at: float
    last_commit_at: float
    newest_document_at: float
    program: str
    schema: int
    full: bool
    seconds: float
    new_bytes: int
    total_bytes: int
    unfinished_tasks: int
    collections: tuple[StoredCollection, ...]
    probes: tuple[Probe, ...]
    models: tuple[StoredModel, ...]
    settings: dict[str, str]
    files: tuple[StoredFile, ...]

    @property
    def documents(self) -> int:
        return sum(collection.documents for collection in self.collections)

    @property
    def chunks(self) -> int:
        return sum(collection.chunks for collection in self.collections)


def digest(content: bytes) -> bytes:
    return hashlib.blake2b(content, digest_size=DIGEST).digest()


def encode(manifest: Manifest) -> bytes:
    content = HEADER + msgspec.msgpack.encode(manifest)
    return content + digest(content)


def decode(path: Path) -> Manifest:
    """Raises StorageError (code backup_damaged) when a bit is not as it was written, or a path leads elsewhere."""
    try:
        stored = path.read_bytes()
    except OSError as error:
        raise damaged(f"{path} cannot be read: {error.strerror}") from error
    content = stored[:-DIGEST]
    if not stored.startswith(HEADER) or digest(content) != stored[-DIGEST:]:
        raise damaged(f"{path.name} is not as it was written")
    try:
        found = msgspec.msgpack.decode(content[len(HEADER) :], type=Manifest)
    except msgspec.MsgspecError as error:
        raise damaged(f"{path.name} is of another version ({error})") from error
    for file in found.files:
        if not is_safe(file.path) or len(file.digests) != DIGEST * -(-file.size // BLOCK):
            raise damaged(f"{path.name} names the file {file.path!r}, which cannot be")
    return found


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


def is_safe(path: str) -> bool:
    """Whether a path leads below the folder that it is joined to, whatever it is."""
    parts = PurePosixPath(path).parts
    return bool(parts) and "\0" not in path and not path.startswith("/") and ".." not in parts


def damaged(what: str) -> StorageError:
    hint = "This backup cannot be used as it is: `backup verify` says which ones can. Look for disk errors (dmesg)."
    return StorageError(f"The backup is damaged: {what}.", code="backup_damaged", hint=hint)
