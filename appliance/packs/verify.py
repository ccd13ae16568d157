"""Reading a pack through, without a database: every record, every count, every digest."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from appliance.errors import InvalidRequest
from appliance.packs import form
from appliance.packs.content import unpacked
from appliance.packs.export import listed_by
from appliance.packs.form import Ended, Listing, PackedDocument, PackedGraph, PackManifest, Removed
from appliance.packs.graph import unpacked_graph
from appliance.packs.seal import Sealed, changed, check_seal
from appliance.store import exchange
from appliance.trust import PublicKey
from appliance.types import Ids, NewDocument
from appliance.vectors import Links

Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class PackReport:
    """A pack that is whole, and whose key says so."""

    manifest: PackManifest
    key: PublicKey


class Reading:
    """One pass over a sealed pack. Nothing may be kept of it unless the pass came to its end without an error."""

    def __init__(self, path: Path, keys: Iterable[PublicKey]) -> None:
        """Raises what `check_seal` raises."""
        self.path = path
        self.said, self.key = check_seal(path, keys)
        self.manifest: PackManifest
        self.removed: list[str] = []
        self.graph: tuple[Links, Ids] | None = None
        self._documents = self._chunks = 0
        self.listed: dict[str, bytes] = {}

    def documents(self, progress: Progress = lambda done, total: None) -> Iterator[NewDocument]:
        """Each document of the pack, checked; after the last one `removed` and `graph` are there, and all counts right.

        The manifest is known once the first `next` returns or raises StopIteration. Raises InvalidRequest
        (pack_damaged), Untrusted (wrong_digest: the file was changed since its seal was looked at, or it never fitted).
        """
        with form.opened(self.path) as file:
            sealed = Sealed(file, self.said.size)
            for value, raw in form.records(sealed):
                if isinstance(value, PackManifest):
                    self.manifest = value
                elif isinstance(value, Listing):
                    self.listed |= listed_by(value)
                elif isinstance(value, PackedDocument):
                    yield self._document(value, raw)
                    progress(sealed.done, sealed.size)
                elif isinstance(value, Removed):
                    self.removed += value.sources
                elif isinstance(value, PackedGraph):
                    if self.graph is not None or self.manifest.base is not None:
                        raise form.damaged("it holds a graph that has no place in it")
                    self.graph = unpacked_graph(value, raw, self.manifest.chunks)
                else:
                    self._end(value)
            if not sealed.holds(self.said.digest):
                raise changed(self.path, self.key)

    def _document(self, value: PackedDocument, raw: bytes) -> NewDocument:
        self._documents += 1
        self._chunks += len(value.chunks)
        if value.source not in self.listed:
            raise form.damaged(f"{value.source!r} is not in its list of documents")
        return unpacked(value, raw, self.manifest.dimensions)

    def _end(self, value: msgspec.Struct) -> None:
        found = Ended(self._documents, self._chunks, len(self.removed))
        told = Ended(self.manifest.documents, self.manifest.chunks, self.manifest.removed)
        if not found == told == value:
            raise form.damaged("it holds other numbers of documents, chunks or removals than it says")
        if (len(self.graph[1]) if self.graph else 0) != self.manifest.indexed:
            raise form.damaged("its graph is not the one that it says")
        if exchange.state_of(self.listed) != self.manifest.state:
            raise form.damaged("its list of documents is not that of its state")
        if self.manifest.base is None and (self._documents != len(self.listed) or self.removed):
            raise form.damaged("it has no base and does not hold every document of its list")


def verify_pack(path: Path, keys: Iterable[PublicKey], progress: Progress = lambda done, total: None) -> PackReport:
    """Read a pack through. Raises what `Reading` and its `documents` raise."""
    reading = Reading(path, keys)
    for _ in reading.documents(progress):
        pass
    return PackReport(reading.manifest, reading.key)


def digest_pass(path: Path, reading: Reading) -> None:
    """Compare the whole file with its seal before anything of it is looked at. Raises Untrusted (wrong_digest)."""
    hashed = hashlib.blake2b()
    left = reading.said.size
    with form.opened(path) as file:
        while left and (piece := file.read(min(1 << 20, left))):
            hashed.update(piece)
            left -= len(piece)
    if left or hashed.hexdigest() != reading.said.digest:
        raise changed(path, reading.key)


def not_over(manifest: PackManifest, base: str) -> InvalidRequest:
    hint = (
        "Import the packs in their order, or a whole one with --replace: it takes nothing over that is there already."
    )
    return InvalidRequest(
        f"This pack holds changes of {manifest.collection!r} since another state than the one here ({base[:16]}…).",
        code="pack_base_mismatch",
        hint=hint,
    )
