"""What follows the removal of the rows: every place that may hold copies is cleaned, then all bytes are looked at.

Each step can be done twice: after a crash the run begins anew behind the removal.
"""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from appliance import evidence, search
from appliance.cache import Caches
from appliance.collections import Collections
from appliance.erasure.needles import Sought, metadata_values
from appliance.erasure.plan import Outcome, decode_plan, receipt
from appliance.erasure.rolling import digest_of
from appliance.erasure.scan import Scan, scan_directory, shared_with
from appliance.errors import Conflict, NotFound
from appliance.faults import reached
from appliance.ingest.spec import decode_spec
from appliance.paths import DataPaths
from appliance.store import Store, premigration
from appliance.store.compaction import (
    check_room,
    compact,
    empty_log,
    keyword_tables,
    log_bytes,
    merge_keywords,
)
from appliance.store.erasures import ErasureRow
from appliance.store.keyword_pages import orphans, terms, tombstones
from appliance.store.stored_content import stored_documents

TASKS = 10_000  # of the ledger, the newest
LOOKS = 2  # at keyword indexes: others may have deleted something meanwhile, whose marks go with one merge


class Stopped(Exception):
    """The appliance is closing; the erasure goes on at the next start."""


class Run:
    """One erasure, from the cleaning to the receipt."""

    def __init__(
        self,
        row: ErasureRow,
        store: Store,
        collections: Collections,
        cache: Caches,
        paths: DataPaths,
        stopping: threading.Event,
        forget_backups: Callable[[bool], int],
    ) -> None:
        self.id = row.id
        self.scanned = (0, 0)
        self._row, self._store, self._collections = row, store, collections
        self._cache, self._paths, self._stopping = cache, paths, stopping
        self._forget_backups = forget_backups
        self._plan = decode_plan(row.plan)
        self._sought = Sought.decode(row.needles or b"")
        self._outcome = Outcome()
        self._interrupt: Callable[[], None] | None = None

    def interrupt(self) -> None:
        """Let a long statement of the database end early."""
        interrupt = self._interrupt
        if interrupt is not None:
            interrupt()

    def run(self) -> dict[str, Any]:
        """Clean, scan, and write the receipt. Raises Stopped, StorageError, DiskFull, OSError.

        A copy may slip in while the first round is at work (a build of an index begun before), and what others write or
        delete beside it can look like something left; so where anything is, a second round looks while nobody writes.
        """
        self._outcome.bytes_before = self._paths.database.stat().st_size
        for undisturbed in (contextlib.nullcontext, self._store.database.writing):
            self._clean()
            with undisturbed():
                self._look()
            if self._outcome.nothing_left:
                break
        now = time.time()
        made = receipt(self._row, self._plan, self._sought, self._outcome, now)
        self._store.erasures.finish(self.id, msgspec.json.encode(made), now, proved=made["verdict"] != "not_proved")
        reached("erase.finished")
        empty_log(self._store.database)
        return made

    # --- cleaning ----------------------------------------------------------------------------------------------------

    def _clean(self) -> None:
        self._step("indexes")
        for name in self._plan.collections:
            self._check()
            self._clean_index(name)
        reached("erase.indexes_cleaned")
        self._step("cache")
        self._clean_spool()
        self._outcome.cached_answers += sum(self._cache.erase(name) for name in self._plan.collections)
        reached("erase.spool_cleaned")
        self._step("keywords")
        self._merge_keywords()
        reached("erase.keywords_merged")
        self._step("compacting")
        self._compact()
        reached("erase.compacted")
        self._step("backups")  # after the compaction: one taken before it holds the pages that were freed
        self._outcome.backups += self._forget_backups(self._plan.backups)

    def _merge_keywords(self) -> None:
        for table in self._tables():
            merge_keywords(self._store.database, table, self._check)

    def _clean_index(self, name: str) -> None:
        """The index that answers, and the files of one kept for going back to the model before."""
        ids = np.array(sorted(self._plan.chunk_ids.get(name, [])), dtype=np.int64)
        if self._store.changes.unfinished(name):
            raise Conflict(
                f"The model of collection {name!r} is being changed; its new index would keep what is erased.",
                code="model_change_under_way",
                hint="The erasure goes on by itself when the change has ended; `models changes` shows how far it is.",
            )
        with contextlib.suppress(NotFound):  # the collection was dropped since
            self._collections.index(name).purge(ids)
            self._store.segments.drop_deleted(name)
            self._store.documents.forget()
            self._store.lexical.forget()
            evidence.forget()
            search.forget()
            kept = self._store.shadow.find(name)
            if kept is not None:
                self._collections.remove_index(kept)

    def _clean_spool(self) -> None:
        """Uploaded files that held the documents, and the folders that are empty without them."""
        for name in self._plan.spooled:
            path = Path(name)
            if path.is_relative_to(self._paths.spool) and path.exists():
                path.unlink()
                self._outcome.spooled_files += 1
                if not any(path.parent.iterdir()):
                    path.parent.rmdir()

    def _compact(self) -> None:
        premigration.forget(self._paths.database)  # it holds what is erased
        check_room(self._paths.database)

        def interruptible(interrupt: Callable[[], None] | None) -> None:
            self._interrupt = interrupt

        self._check()
        free_pages = compact(self._store.database, interruptible)
        if free_pages is None:
            raise Stopped
        self._outcome.free_pages, self._outcome.log_bytes = free_pages, log_bytes(self._store.database)
        self._outcome.bytes_after = self._paths.database.stat().st_size

    # --- looking -----------------------------------------------------------------------------------------------------

    def _look(self) -> None:
        self._step("scanning")
        outcome = self._outcome
        for _ in range(LOOKS):
            outcome.terms_left, outcome.marked_pages = self._terms_left()
            if not outcome.marked_pages:
                break
            self._merge_keywords()  # marks of what others deleted since; the erased rows were merged away before
        outcome.scan = scan_directory(
            self._paths.root, self._sought, left_out=self._is_later_upload, progress=self._progress
        )
        outcome.shared = frozenset(self._shared(outcome.scan))
        reached("erase.scanned")

    def _terms_left(self) -> tuple[int, int]:
        """(terms that only the erased documents had and that some page still holds, pages that mark deleted rows)."""
        left = marked = 0
        for table in self._tables():
            suspects: set[str] = set()
            with self._store.database.read() as connection:
                marked += tombstones(connection, table)
                for number, term in enumerate(terms(connection, table) if self._sought.terms else ()):
                    if not number % 10_000:
                        self._check()
                    if digest_of(self._sought.key, term) in self._sought.terms:
                        suspects.add(term.decode("utf-8", "replace"))
            left += orphans(self._paths.database, table, suspects)
        return left, marked

    def _shared(self, scan: Scan) -> set[int]:
        """What was found because others hold it as well."""
        if not scan.found:
            return set()
        documents = stored_documents(self._store.database)
        return shared_with(documents, self._rightly_noted(), self._sought, scan.found, self._check)

    def _rightly_noted(self) -> Iterator[bytes]:
        """What the ledger may hold: of later tasks all (the same document may come again), of others their metadata."""
        for task in self._store.jobs.tasks(TASKS):
            if task.created_at > self._row.created_at:
                yield task.spec
                yield from (source.encode("utf-8", "ignore") for source in self._store.jobs.sources(task.seq))
            else:
                with contextlib.suppress(msgspec.MsgspecError):
                    yield from metadata_values(json.dumps(dict(decode_spec(task.spec).metadata)))

    def _is_later_upload(self, path: Path) -> bool:
        """Files of the spool are written once; one written after the erasure began is of a later task."""
        with contextlib.suppress(OSError):
            return path.is_relative_to(self._paths.spool) and path.stat().st_mtime > self._row.created_at
        return False

    # --- within ------------------------------------------------------------------------------------------------------

    def _tables(self) -> list[str]:
        wanted = set(self._plan.collections)
        ids = [found.id for found in self._collections.all() if found.name in wanted]
        with self._store.database.read() as connection:
            return keyword_tables(connection, ids)

    def _progress(self, done: int, total: int) -> None:
        self._check()
        self.scanned = (done, total)

    def _step(self, step: str) -> None:
        self._check()
        self._store.erasures.note(self.id, step=step)

    def _check(self) -> None:
        if self._stopping.is_set():
            raise Stopped
