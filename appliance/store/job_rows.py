"""The rows of the ledger of ingestion, and the changes that are made to them inside somebody else's transaction."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import apsw


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task as stored; times in seconds since the epoch. `listed`: 0 not yet, 1 complete, 2 with folders left out."""

    seq: int
    id: str
    collection: str
    spec: bytes
    upload: str | None
    state: str
    step: str
    created_at: float
    finished_at: float | None
    listed: int
    cancelled: int
    crashes: int
    total: int
    done: int
    documents: int
    skipped: int
    removed: int
    chunks: int
    error: str | None


@dataclass(frozen=True, slots=True)
class NewTask:
    id: str
    collection: str
    spec: bytes
    upload: str | None
    created_at: float


@dataclass(frozen=True, slots=True)
class ItemRow:
    """A file that is still to be dealt with. `path` is as the file system has it."""

    id: int
    source: str
    path: bytes
    attempts: int


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A document that failed: to be tried again, or dead."""

    task_id: str
    collection: str
    source: str
    code: str
    message: str
    hint: str
    attempts: int
    dead: bool
    changed_at: float


@dataclass(frozen=True, slots=True)
class Failure:
    code: str
    message: str
    hint: str


@dataclass(frozen=True, slots=True)
class Settled:
    """What became of a file. `state` is done | skipped | failed | dead; `failure` says why for the last two.

    `documents` are the chunk counts of what it gave, `members` its failed members;
    `sha256` None leaves the ledger of ingested files as it is.
    """

    item: ItemRow
    state: str
    attempts: int
    next_attempt_at: float = 0.0
    sha256: str | None = None
    version: str = ""
    documents: Sequence[int] = ()
    failure: Failure | None = None
    members: Sequence[tuple[str, Failure]] = ()


def container(source: str) -> str:
    """The file that a document came from: "x.zip!/a.txt" -> "x.zip"."""
    return source.partition("!/")[0]


def settle(connection: apsw.Connection, task: TaskRow, settled: Sequence[Settled], now: float) -> None:
    """Write what became of files, inside the caller's transaction."""
    connection.executemany(
        "UPDATE task_items SET state = ?, attempts = ?, next_attempt_at = ?, sha256 = ?, chunks = ?, "
        "code = ?, message = ?, hint = ?, changed_at = ? WHERE id = ?",
        [_item_row(one, now) for one in settled],
    )
    final = [one for one in settled if one.state != "failed"]
    _supersede(connection, task, [one.item.source for one in final if one.state != "skipped"])
    for one in final:
        _settle_members(connection, task, one, now)
    connection.executemany(
        "INSERT OR REPLACE INTO ingested_files (collection, source, sha256, version, documents) VALUES (?, ?, ?, ?, ?)",
        [
            (task.collection, one.item.source, one.sha256, one.version, len(one.documents))
            for one in final
            if one.sha256 is not None
        ],
    )
    documents = [chunks for one in final for chunks in one.documents]
    skipped = sum(one.state == "skipped" for one in final)
    connection.execute(
        "UPDATE tasks SET done = done + ?, documents = documents + ?, chunks = chunks + ?, skipped = skipped + ?, "
        "crashes = 0 WHERE seq = ?",
        (len(final), len(documents), sum(documents), skipped, task.seq),
    )


def count_removed(connection: apsw.Connection, task: TaskRow, sources: Iterable[str]) -> None:
    """Count documents removed because their files are gone, inside the caller's transaction."""
    gone = list(sources)
    connection.executemany(
        "DELETE FROM ingested_files WHERE collection = ? AND source = ?",
        [(task.collection, name) for source in gone for name in {source, container(source)}],
    )
    connection.execute("UPDATE tasks SET removed = removed + ? WHERE seq = ?", (len(gone), task.seq))


def revive(connection: apsw.Connection, seq: int) -> int:
    """Make the dead files of a task pending, those with dead members as well; returns how many files."""
    connection.execute(
        """UPDATE task_items
        SET state = 'pending', attempts = 0, next_attempt_at = 0, code = NULL, message = NULL, hint = NULL
        WHERE task = ?1 AND member_of IS NULL AND superseded = 0 AND (state = 'dead' OR id IN
        (SELECT member_of FROM task_items WHERE task = ?1 AND state = 'dead' AND superseded = 0))""",
        (seq,),
    )
    revived = connection.changes()
    connection.execute(  # what was taken in of an archive without its dead members does not count as unchanged
        "DELETE FROM ingested_files WHERE collection = (SELECT collection FROM tasks WHERE seq = ?1) AND source IN "
        "(SELECT source FROM task_items WHERE task = ?1 AND state = 'pending' AND attempts = 0)",
        (seq,),
    )
    connection.execute("DELETE FROM task_items WHERE task = ? AND member_of IS NOT NULL AND superseded = 0", (seq,))
    return revived


def _item_row(one: Settled, now: float) -> "tuple[apsw.SQLiteValue, ...]":
    failure = one.failure
    reason = (failure.code, failure.message, failure.hint) if failure else (None, None, None)
    chunks = sum(one.documents)
    return (one.state, one.attempts, one.next_attempt_at, one.sha256, chunks, *reason, now, one.item.id)


def _supersede(connection: apsw.Connection, task: TaskRow, sources: Sequence[str]) -> None:
    """Older tasks' dead documents of these files are no longer of interest."""
    if connection.execute("SELECT 1 FROM task_items WHERE state = 'dead' AND superseded = 0 LIMIT 1").get is None:
        return
    connection.executemany(
        "UPDATE task_items SET superseded = 1 WHERE state = 'dead' AND superseded = 0 "
        "AND (source = ?1 OR (source >= ?1 || '!/' AND source < ?1 || '!0')) "
        "AND task IN (SELECT seq FROM tasks WHERE collection = ?2 AND seq <> ?3)",
        [(source, task.collection, task.seq) for source in sources],
    )


def _settle_members(connection: apsw.Connection, task: TaskRow, one: Settled, now: float) -> None:
    connection.executemany(
        "INSERT OR REPLACE INTO task_items (task, member_of, source, path, state, attempts, code, message, hint, "
        "changed_at) VALUES (?, ?, ?, x'', 'dead', ?, ?, ?, ?, ?)",
        [
            (task.seq, one.item.id, source, one.attempts, failure.code, failure.message, failure.hint, now)
            for source, failure in one.members
        ],
    )


def failed_row(row: "tuple[apsw.SQLiteValue, ...]") -> FailedRow:
    task_id, collection, source, code, message, hint, attempts, dead, changed_at = row
    return FailedRow(
        str(task_id),
        str(collection),
        str(source),
        str(code or ""),
        str(message or ""),
        str(hint or ""),
        int(str(attempts)),
        bool(dead),
        float(str(changed_at or 0)),
    )
