"""Writing a pack: of a whole collection, or of what has changed since another pack."""

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from appliance import __version__
from appliance.errors import Conflict, StorageError
from appliance.packs import form
from appliance.packs.content import packed
from appliance.packs.form import Ended, Kind, Listing, PackManifest, Removed, write_record
from appliance.packs.graph import packed_graph, places_of
from appliance.store import Store, collections, exchange
from appliance.types import Ids
from appliance.vectors import Links

Progress = Callable[[int, int], None]
Graph = tuple[Links, Ids]  # and the chunk id of each node


def export(
    store: Store,
    collection: str,
    path: Path,
    since: Path | None,
    model: str,
    progress: Progress,
    graph: Graph | None = None,
) -> PackManifest:
    """Write a pack to a new file; a file that is cut off has no END and no seal, and is removed here if it can be.

    `since` is a pack of an earlier state; `model` names the embedder for people; `graph` goes into a pack of a whole
    collection, if the collection still has all its chunks. `progress(documents done, in all)` may raise. Raises
    NotFound, Conflict (file_exists), InvalidRequest (pack_damaged), StorageError.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Conflict(f"{path} exists already.", code="file_exists", hint="Name a new file.") from error
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            made = _write(store, collection, file, since, model, progress, None if since else graph)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        path.unlink(missing_ok=True)
        raise _unwritable(path, error) from error
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return made


def read_listing(path: Path) -> dict[str, bytes]:
    """The documents of the state that a pack leads to. Raises NotFound, InvalidRequest (pack_damaged)."""
    listed: dict[str, bytes] = {}
    manifest: PackManifest | None = None
    with form.opened(path) as file:
        for value, _ in form.records(file):
            if isinstance(value, PackManifest):
                manifest = value
            elif isinstance(value, Listing):
                listed |= listed_by(value)
            else:
                break
    if manifest is None or exchange.state_of(listed) != manifest.state:
        raise form.damaged("its list of documents is not that of its state")
    return listed


def listed_by(listing: Listing) -> dict[str, bytes]:
    """Raises InvalidRequest (pack_damaged)."""
    size = exchange.DIGEST
    if len(listing.digests) != size * len(listing.sources) or len(set(listing.sources)) != len(listing.sources):
        raise form.damaged("its list of documents does not fit together")
    return {source: listing.digests[at * size : (at + 1) * size] for at, source in enumerate(listing.sources)}


def _write(
    store: Store,
    name: str,
    file: BinaryIO,
    since: Path | None,
    model: str,
    progress: Progress,
    graph: Graph | None,
) -> PackManifest:
    before = read_listing(since) if since is not None else {}
    with exchange.reading(store.database) as connection:
        collection = collections.require(connection, name)
        listed = exchange.listing(connection, collection.id)
        changed = sorted(source for source, digest in listed.items() if before.get(source) != digest)
        removed = sorted(before.keys() - listed.keys())
        counts = exchange.chunk_counts(connection, collection.id)
        places = places_of(graph[1], exchange.chunk_ids(connection, collection.id)) if graph else None
        made = PackManifest(
            *(name, collection.embedder, model, collection.dimensions),
            base=exchange.state_of(before) if since is not None else None,
            state=exchange.state_of(listed),
            documents=len(changed),
            chunks=sum(counts[source] for source in changed),
            removed=len(removed),
            indexed=len(places) if places is not None else 0,
            program=__version__,
            made_at=time.time(),
        )
        file.write(form.HEADER)
        write_record(file, Kind.MANIFEST, made)
        write_listing(file, listed)
        for number, source in enumerate(changed):
            write_record(file, Kind.DOCUMENT, *packed(exchange.whole(connection, collection, source)))
            progress(number + 1, len(changed))
        for start in range(0, len(removed), form.LISTED):
            write_record(file, Kind.REMOVED, Removed(removed[start : start + form.LISTED]))
        if graph and places is not None:
            write_record(file, Kind.GRAPH, *packed_graph(graph[0], places))
        write_record(file, Kind.END, Ended(made.documents, made.chunks, made.removed))
    return made


def write_listing(file: BinaryIO, listed: Mapping[str, bytes]) -> None:
    sources = sorted(listed)
    for start in range(0, len(sources), form.LISTED):
        some = sources[start : start + form.LISTED]
        write_record(file, Kind.LISTING, Listing(some, b"".join(listed[source] for source in some)))


def _unwritable(path: Path, error: OSError) -> StorageError:
    hint = "The server writes the file itself: name a folder on its host that its user may write, with room for it."
    return StorageError(f"{path} cannot be written: {error.strerror}.", code="pack_unwritable", hint=hint)
