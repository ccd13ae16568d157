"""The ledger of erasures, and the transaction that begins one: documents out, every trace in the ledger out, noted."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import apsw

from appliance.errors import Conflict, NotFound
from appliance.store import collections, rows
from appliance.store.compaction import secure_delete
from appliance.store.database import Database, fetch
from appliance.store.job_rows import container
from appliance.types import Ids

KEPT = 1_000  # receipts; older ones are forgotten
_COLUMNS = "seq, id, created_at, finished_at, step, plan, needles, error, receipt"


@dataclass(frozen=True, slots=True)
class ErasureRow:
    """An erasure as stored; times in seconds since the epoch."""

    seq: int
    id: str
    created_at: float
    finished_at: float | None
    step: str
    plan: bytes
    needles: bytes | None
    error: str | None
    receipt: bytes | None


@dataclass(frozen=True, slots=True)
class Target:
    """A document to erase; `document_id` is None for a source of which only traces may be left."""

    collection: str
    source: str
    document_id: int | None


@dataclass(frozen=True, slots=True)
class Covered:
    """What a task's specification says of a file: whether it is of the task, whether the specification itself names it,
    what is left without it (None for nothing), and where its spooled bytes are.
    """

    covers: bool
    named: bool = False
    rest: bytes | None = None
    spooled: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Removed:
    """Chunk ids by collection, how many rows of each kind went, and spooled files (paths) that are to go."""

    chunk_ids: dict[str, Ids]
    counts: dict[str, int]
    spooled: tuple[str, ...]


Forget = Callable[[bytes, str], Covered]
Connection: TypeAlias = apsw.Connection  # for those outside that only hand one on


class Erasures:
    """Thread-safe; every method is one transaction or one read. Raises StorageError, DiskFull."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, erasure_id: str) -> ErasureRow:
        """Raises NotFound."""
        with self._database.read() as connection:
            found = fetch(connection, f"SELECT {_COLUMNS} FROM erasures WHERE id = ?", (erasure_id,))
        if not found:
            raise NotFound(
                f"There is no erasure {erasure_id[:80]!r}.",
                code="unknown_erasure",
                hint="`rag-appliance documents erasures` lists them.",
            )
        return ErasureRow(*found[0])

    def list(self, limit: int) -> list[ErasureRow]:
        """The newest first."""
        with self._database.read() as connection:
            found = fetch(connection, f"SELECT {_COLUMNS} FROM erasures ORDER BY seq DESC LIMIT ?", (limit,))
        return [ErasureRow(*row) for row in found]

    def next(self) -> ErasureRow | None:
        """The oldest one that has not ended."""
        sql = f"SELECT {_COLUMNS} FROM erasures WHERE finished_at IS NULL ORDER BY seq LIMIT 1"
        with self._database.read() as connection:
            found = fetch(connection, sql)
        return ErasureRow(*found[0]) if found else None

    def note(self, erasure_id: str, *, step: str, error: str | None = None) -> None:
        """Where it stands, or what it waits for."""
        with self._database.write() as connection:
            connection.execute("UPDATE erasures SET step = ?, error = ? WHERE id = ?", (step, error, erasure_id))

    def reopen(self, erasure_id: str) -> None:
        """Take up again one that ended without a proof. Raises NotFound, Conflict (erasure_ended)."""
        self.find(erasure_id)
        with self._database.write() as connection:
            connection.execute(
                "UPDATE erasures SET finished_at = NULL, receipt = NULL, step = 'removed' "
                "WHERE id = ? AND finished_at IS NOT NULL AND needles IS NOT NULL",
                (erasure_id,),
            )
            if not connection.changes():
                raise Conflict(
                    "This erasure is proved, or still under way.",
                    code="erasure_ended",
                    hint="Only one that ended without a proof can be done again.",
                )

    def finish(self, erasure_id: str, receipt: bytes, now: float, *, proved: bool) -> None:
        """The end: the receipt stays; what was looked for goes, unless it is to be looked for again."""
        with self._database.write() as connection, secure_delete(connection):
            connection.execute(
                "UPDATE erasures SET step = 'done', needles = iif(?, NULL, needles), error = NULL, receipt = ?, "
                "finished_at = ? WHERE id = ?",
                (proved, receipt, now, erasure_id),
            )
            connection.execute(
                "DELETE FROM erasures WHERE finished_at IS NOT NULL AND seq <= (SELECT max(seq) FROM erasures) - ?",
                (KEPT,),
            )


def targets(connection: apsw.Connection, ids: Sequence[int]) -> list[Target]:
    """Those of the documents that exist."""
    query = "SELECT c.name, d.source, d.id FROM documents d JOIN collections c ON c.id = d.collection_id WHERE d.id = ?"
    return [Target(*row) for number in ids for row in fetch(connection, query, (number,))]


def targets_of_source(connection: apsw.Connection, source: str, collection: str | None) -> list[Target]:
    """The documents of a source, its members when it is an archive, and the source itself for the traces it left."""
    names = [collection] if collection is not None else [found.name for found in collections.find_all(connection)]
    query = (
        "SELECT c.name, d.source, d.id FROM documents d JOIN collections c ON c.id = d.collection_id WHERE c.name = ?1 "
        "AND (d.source = ?2 OR (d.source >= ?2 || '!/' AND d.source < ?2 || '!0'))"
    )
    found = [Target(*row) for name in names for row in fetch(connection, query, (name, source))]
    return found + [Target(name, source, None) for name in names]


def remove(connection: apsw.Connection, wanted: Sequence[Target], forget: Forget) -> Removed:
    """Remove the documents and what the ledger knows of them, overwriting it, in the caller's transaction.

    Raises Conflict (being_ingested) when an unfinished task holds one of them.
    """
    counts: dict[str, int] = dict.fromkeys(("documents", "chunks", "metadata", "ledger"), 0)
    with secure_delete(connection):
        spooled = _forget_sources(connection, wanted, forget, counts)
        return Removed(_remove_rows(connection, wanted, counts), counts, tuple(spooled))


def insert(connection: apsw.Connection, erasure: ErasureRow) -> None:
    """Note a new erasure in the caller's transaction."""
    connection.execute(
        "INSERT INTO erasures (id, created_at, step, plan, needles) VALUES (?, ?, ?, ?, ?)",
        (erasure.id, erasure.created_at, erasure.step, erasure.plan, erasure.needles),
    )


def _remove_rows(connection: apsw.Connection, wanted: Sequence[Target], counts: dict[str, int]) -> dict[str, Ids]:
    removed: dict[str, Ids] = {}
    for name in sorted({target.collection for target in wanted}):
        collection = collections.require(connection, name)
        ids = sorted({t.document_id for t in wanted if t.collection == name and t.document_id is not None})
        if not ids:
            continue
        query = "SELECT count(*) FROM metadata WHERE document_id = ?"
        counts["metadata"] += sum(int(connection.execute(query, (number,)).get) for number in ids)
        removed[name] = rows.remove_documents(connection, collection.id, ids)
        collections.changed(connection, collection.id)
        counts["documents"] += len(ids)
        counts["chunks"] += len(removed[name])
    return removed


def _forget_sources(
    connection: apsw.Connection, wanted: Sequence[Target], forget: Forget, counts: dict[str, int]
) -> list[str]:
    """Everything that the ledger of ingestion says of the sources; returns spooled files that held them."""
    spooled: list[str] = []
    before = connection.total_changes()
    for collection, source in sorted({(target.collection, target.source) for target in wanted}):
        spooled += _forget_source(connection, collection, source, forget)
    counts["ledger"] += connection.total_changes() - before
    return spooled


def _forget_source(connection: apsw.Connection, collection: str, source: str, forget: Forget) -> list[str]:
    file = container(source)
    tasks: list[Any] = fetch(
        connection,
        "SELECT seq, spec, listed, finished_at IS NOT NULL, error FROM tasks WHERE collection = ?",
        (collection,),
    )
    spooled: list[str] = []
    for seq, spec, listed, finished, error in tasks:
        found = forget(spec, file)
        if not finished and (found.named or (found.covers and not listed) or _is_open(connection, seq, file)):
            raise Conflict(
                "A task is about to take this document in.",
                code="being_ingested",
                hint="Wait until the task is finished, or cancel it; `rag-appliance tasks list` shows it.",
            )
        connection.execute(
            "DELETE FROM task_items WHERE task = ?1 "
            "AND (source = ?2 OR (source >= ?2 || '!/' AND source < ?2 || '!0'))",
            (seq, source),
        )
        spooled += found.spooled
        if finished:
            _forget_task(connection, seq, found, error, file)
    connection.execute(
        "DELETE FROM ingested_files WHERE collection = ? AND source IN (?, ?)", (collection, source, file)
    )
    return spooled


def _is_open(connection: apsw.Connection, seq: int, file: str) -> bool:
    sql = "SELECT 1 FROM task_items WHERE task = ? AND source = ? AND state IN ('pending', 'failed')"
    return connection.execute(sql, (seq, file)).get is not None


def _forget_task(connection: apsw.Connection, seq: int, found: Covered, error: str | None, file: str) -> None:
    """A finished task goes when nothing of it could be tried again; else its specification no longer names the file."""
    if not found.covers:
        return
    dead = connection.execute("SELECT 1 FROM task_items WHERE task = ? AND state = 'dead'", (seq,)).get
    if dead is None or found.rest is None:
        connection.execute("DELETE FROM tasks WHERE seq = ?", (seq,))
        return
    connection.execute(
        "UPDATE tasks SET spec = ?, error = ? WHERE seq = ?",
        (found.rest, None if error and file in error else error, seq),
    )
