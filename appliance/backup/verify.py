"""Proving a backup: a copy is restored, opened, checked against itself and searched for what is known to be in it."""

import random
import shutil
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec

from appliance.accounting import Accounts
from appliance.answer import Prompts
from appliance.asking import Asking
from appliance.backup.manifest import DATABASE, Manifest, Probe
from appliance.backup.repository import Repository
from appliance.backup.restore import restore_into
from appliance.cache import Caches
from appliance.collections import Collections
from appliance.config import Settings
from appliance.errors import ApplianceError
from appliance.flags import Canary, LiveFlags
from appliance.inference import Embedders
from appliance.optional_models import Models
from appliance.paths import DataPaths
from appliance.search import TermReranker
from appliance.settling import Settling
from appliance.store import Store
from appliance.types import Query

PROBES = 8  # questions a collection
COLLECTIONS = 10  # the first, by name, that questions are made for
QUESTION = 200  # characters
BEST = 5  # hits among which the document must be when it is asked for first
LATER = 2 * BEST  # and in a copy: what came in between may have moved it
SEED = 7

Progress = Callable[[str, int, int], None]


class Verdict(msgspec.Struct, frozen=True):
    """What a verification found: `problems` in sentences, none when the backup can be relied upon."""

    backup_id: str
    documents: int
    chunks: int
    searches: int
    problems: tuple[str, ...]


def probes(asking: Asking, store: Store, collections: Collections) -> dict[int, Probe]:
    """By chunk id, questions in the words of stored passages whose document is found now.

    A collection whose model is not on this host has none.
    """
    chance = random.Random(SEED)
    found: dict[int, Probe] = {}
    for collection in collections.all()[:COLLECTIONS]:
        ids = store.documents.chunk_ids(collection.name).tolist()
        chunks = store.documents.chunks(chance.sample(ids, min(len(ids), PROBES)))
        for number, chunk in chunks.items():
            probe = Probe(collection.name, _question(chunk.text), chunk.source)
            if probe.question and not _missed(asking, collections, [probe], BEST):
                found[number] = probe
    return found


def verify(
    repository: Repository, backup: Manifest, scratch: Path, embedders: Embedders, settings: Settings, step: Progress
) -> Verdict:
    """Restore a copy into `scratch` (made and removed here), open it, compare its parts, and search it.

    Raises StorageError (backup_damaged), DiskFull; what is wrong with the copy is in the verdict.
    """
    shutil.rmtree(scratch, ignore_errors=True)
    try:
        restore_into(repository, backup, scratch, lambda done, total: step("restoring", done, total))
        step("checking", 0, 0)
        problems, searches = _examine(backup, scratch, embedders, settings, step)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Verdict(backup.id, backup.documents, backup.chunks, searches, tuple(problems))


def _examine(
    backup: Manifest, scratch: Path, embedders: Embedders, settings: Settings, step: Progress
) -> tuple[list[str], int]:
    """Problems of the copy, and how many searches were made."""
    paths = DataPaths(scratch)
    with ExitStack() as parts:
        store = Store.open(scratch / DATABASE)
        parts.callback(store.close)
        problems = store.documents.check()  # integrity_check; keyword rows, vectors and sentences for each chunk
        problems += _counts(backup, store)
        if problems:
            return problems, 0
        paths.create()
        scanned = settings.model_copy(update={"exact_scan_below": 10_000_000, "data_dir": scratch, "cache_bytes": 0})
        collections = Collections(store, embedders, paths.index, scanned)  # searched exactly: no graph is built for it
        parts.callback(collections.close)
        collections.open_all()
        accounts = Accounts(store.costs, scanned)
        reranker = TermReranker() if settings.reranker == "terms" else None
        models, prompts, cache = Models(reranker=reranker), Prompts(paths.prompts), Caches(paths.cache, scanned)
        settling = Settling(scanned, collections, models, prompts, Canary(store, LiveFlags(store, scanned)))
        asking = Asking(scanned, store, collections, models, accounts, cache, settling)
        parts.callback(asking.stop)
        step("searching", 0, len(backup.probes))
        return _missed(asking, collections, backup.probes, LATER), len(backup.probes)


def _counts(backup: Manifest, store: Store) -> list[str]:
    """Where the copy has other collections, documents or chunks than the manifest says."""
    told = {(c.name, c.embedder, c.documents, c.chunks) for c in backup.collections}
    found = {(c.name, c.embedder, c.documents, c.chunks) for c in store.documents.collections()}
    return [f"collection {name}: the copy differs in documents, chunks or model" for name, *_ in sorted(told ^ found)]


def _missed(asking: Asking, collections: Collections, asked: Sequence[Probe], best: int) -> list[str]:
    """Questions that no longer find the document they come from."""
    missed = []
    for probe in asked:
        try:
            with collections.serving(probe.collection) as serving:
                hits = asking.as_served(Query(probe.question, probe.collection, k=best), serving).hits
        except ApplianceError as error:
            missed.append(f"collection {probe.collection} cannot be searched: {error}")
        else:
            if probe.source not in {hit.chunk.source for hit in hits}:
                missed.append(f"collection {probe.collection}: a search does not find {probe.source} any more")
    return missed


def _question(text: str) -> str:
    return " ".join(text[:QUESTION].split())
