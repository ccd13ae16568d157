"""The ledger of ingestion: tasks, their files, and what every ingested file was when it was last taken in.

Counters and the state of files change in one transaction with the documents they are about, through `settle`.
"""

from collections.abc import Sequence
from typing import Any

from appliance.errors import Conflict, NotFound, TooManyRequests
from appliance.store.database import Database
from appliance.store.job_rows import FailedRow, Failure, ItemRow, NewTask, TaskRow, failed_row, revive

TASKS_KEPT = 1000  # finished tasks without dead documents; older ones are forgotten
DELETE_ROWS = 5000  # rows deleted in one transaction, so that nobody waits long for the writer
_UNFINISHED = "SELECT count(*) FROM tasks WHERE finished_at IS NULL"
OPEN = "('pending', 'failed')"
_TASK = (
    "seq, id, collection, spec, upload, state, step, created_at, finished_at, listed, cancelled, crashes, "
    "total, done, documents, skipped, removed, chunks, error"
)
_FAILED = "t.id, t.collection, i.source, i.code, i.message, i.hint, i.attempts, i.state = 'dead', i.changed_at"


class Jobs:
    """Thread-safe; every method is one transaction or one read. Raises StorageError, DiskFull."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- tasks -------------------------------------------------------------------------------------------------------

    def add(self, task: NewTask, *, patience_s: float | None = None) -> None:
        """Queue a task, once; it is durable when this returns.

        Raises WriterBusyError when another thread is still writing after `patience_s` seconds.
        """
        with self._database.write(patience_s=patience_s) as connection:
            connection.execute(
                "INSERT OR IGNORE INTO tasks (id, collection, spec, upload, state, step, created_at) "
                "VALUES (?, ?, ?, ?, 'PENDING', 'queued', ?)",
                (task.id, task.collection, task.spec, task.upload, task.created_at),
            )

    def task(self, task_id: str) -> TaskRow:
        """Raises NotFound."""
        with self._database.read() as connection:
            row = connection.execute(f"SELECT {_TASK} FROM tasks WHERE id = ?", (task_id,)).get
        if row is None:
            raise NotFound(
                f"There is no task {task_id[:80]!r}.",
                code="unknown_task",
                hint="GET /tasks lists the tasks; old finished ones are forgotten.",
            )
        return TaskRow(*row)

    def tasks(self, limit: int) -> list[TaskRow]:
        """The newest first."""
        with self._database.read() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT {_TASK} FROM tasks ORDER BY seq DESC LIMIT ?", (limit,)
            ).fetchall()
        return [TaskRow(*row) for row in rows]

    def next(self) -> TaskRow | None:
        """The oldest unfinished task."""
        with self._database.read() as connection:
            sql = f"SELECT {_TASK} FROM tasks WHERE finished_at IS NULL ORDER BY seq LIMIT 1"
            row = connection.execute(sql).get
        return TaskRow(*row) if row else None

    def unfinished(self) -> int:
        with self._database.read() as connection:
            return int(connection.execute(_UNFINISHED).get)

    def begin(self, seq: int) -> None:
        """The task is being worked on; counted as a crash until it makes progress or is put down in order."""
        self._update(seq, "state = 'PROGRESS', crashes = crashes + 1")

    def put_down(self, seq: int) -> None:
        """The worker stops in order: what it did not finish was no crash."""
        self._update(seq, "crashes = 0")

    def forget_crashes(self) -> None:
        """The host went down, not the process: no unfinished task and no document was the cause."""
        with self._database.write() as connection:
            connection.execute("UPDATE tasks SET crashes = 0 WHERE finished_at IS NULL AND crashes > 0")
            connection.execute(
                f"UPDATE task_items SET attempts = 0 WHERE attempts > 0 AND state IN {OPEN} "
                "AND task IN (SELECT seq FROM tasks WHERE finished_at IS NULL)"
            )

    def step(self, seq: int, step: str) -> None:
        self._update(seq, "step = ?", step)

    def cancel(self, task_id: str, now: float) -> TaskRow:
        """Ask for the end of a task; one that has not begun ends at once.

        Raises NotFound, Conflict when it is finished.
        """
        task = self.task(task_id)
        with self._database.write() as connection:
            connection.execute("UPDATE tasks SET cancelled = 1 WHERE seq = ? AND finished_at IS NULL", (task.seq,))
            if not connection.changes():
                raise Conflict(
                    "The task is finished already.", code="task_finished", hint="There is nothing to cancel."
                )
            connection.execute(
                "UPDATE tasks SET state = 'FAILURE', step = 'done', error = 'cancelled', finished_at = ? "
                "WHERE seq = ? AND state = 'PENDING'",
                (now, task.seq),
            )
        return self.task(task_id)

    def finish(self, seq: int, error: str | None, now: float) -> None:
        """SUCCESS without an `error`, else FAILURE; files that came to a good end are forgotten."""
        state = "FAILURE" if error else "SUCCESS"
        self._update(seq, "state = ?, step = 'done', error = ?, finished_at = ?", state, error, now)
        self._delete(
            "task_items WHERE task = ?1 AND state IN ('done', 'skipped') "
            "AND id NOT IN (SELECT member_of FROM task_items WHERE task = ?1 AND member_of IS NOT NULL)",
            seq,
        )
        self._delete(
            "tasks WHERE finished_at IS NOT NULL AND seq <= "
            "(SELECT seq FROM tasks WHERE finished_at IS NOT NULL ORDER BY seq DESC LIMIT 1 OFFSET ?) "
            "AND NOT EXISTS "
            "(SELECT 1 FROM task_items i WHERE i.task = tasks.seq AND i.state = 'dead' AND i.superseded = 0)",
            TASKS_KEPT,
        )

    def retry(self, task_id: str, *, limit: int) -> TaskRow:
        """Queue a finished task again: for its dead documents, or from the beginning when it failed as a whole.

        Raises NotFound, Conflict when it is not finished or nothing is left to do, TooManyRequests.
        """
        task = self.task(task_id)
        if task.finished_at is None:
            raise Conflict("The task is not finished.", code="task_unfinished", hint="Wait for its end.")
        with self._database.write() as connection:
            check_room(int(connection.execute(_UNFINISHED).get), limit)
            revived = revive(connection, task.seq)
            if task.state == "SUCCESS" and not revived:
                raise Conflict("Nothing of this task failed.", code="nothing_to_retry", hint="Ingest the files again.")
            # A failed task begins anew with its listing. One that succeeded in part has forgotten its other files:
            # its listing no longer tells which documents are gone.
            connection.execute(
                "UPDATE tasks SET state = 'PENDING', step = 'queued', finished_at = NULL, cancelled = 0, error = NULL, "
                "crashes = 0, listed = iif(state = 'SUCCESS', 2, 0), done = max(0, done - ?) WHERE seq = ?",
                (revived, task.seq),
            )
        return self.task(task_id)

    def uploads(self) -> list[tuple[str, bool, float]]:
        """Spool folders still needed: (name, task unfinished, created_at), the oldest first."""
        with self._database.read() as connection:
            rows: list[Any] = connection.execute(
                "SELECT upload, finished_at IS NULL, created_at FROM tasks t WHERE upload IS NOT NULL AND "
                "(state <> 'SUCCESS' OR EXISTS (SELECT 1 FROM task_items i WHERE i.task = t.seq "
                "AND i.state = 'dead' AND i.superseded = 0)) ORDER BY seq"
            ).fetchall()
        return [(name, bool(open_), at) for name, open_, at in rows]

    # --- files of a task ---------------------------------------------------------------------------------------------

    def forget_listing(self, seq: int) -> None:
        """A listing that was cut off starts again."""
        self._delete("task_items WHERE task = ?", seq)
        self._update(seq, "total = 0, done = 0")

    def add_items(self, seq: int, files: Sequence[tuple[str, bytes, Failure | None]], now: float) -> None:
        """(source, path, why it cannot be taken); a source that is there already is left as it is."""
        rows = [
            (
                seq,
                source,
                path,
                "dead" if bad else "pending",
                now,
                *((bad.code, bad.message, bad.hint) if bad else (None,) * 3),
            )
            for source, path, bad in files
        ]
        with self._database.write() as connection:
            before = connection.total_changes()
            connection.executemany(
                "INSERT OR IGNORE INTO task_items (task, source, path, state, changed_at, code, message, hint) "
                "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                rows,
            )
            added, dead = connection.total_changes() - before, sum(row[3] == "dead" for row in rows)
            connection.execute("UPDATE tasks SET total = total + ?, done = done + ? WHERE seq = ?", (added, dead, seq))

    def listed(self, seq: int, *, complete: bool) -> None:
        self._update(seq, "listed = ?", 1 if complete else 2)

    def due(self, seq: int, *, after: int, now: float, limit: int) -> list[ItemRow]:
        """The next files to deal with, by id; those that wait for a later try are left out until then."""
        with self._database.read() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT id, source, path, attempts FROM task_items WHERE task = ? AND id > ? AND state IN {OPEN} "
                "AND next_attempt_at <= ? ORDER BY id LIMIT ?",
                (seq, after, now, limit),
            ).fetchall()
        return [ItemRow(*row) for row in rows]

    def next_due(self, seq: int) -> float | None:
        """When the next open file may be tried (seconds since the epoch); None when no file is open."""
        with self._database.read() as connection:
            sql = f"SELECT min(next_attempt_at) FROM task_items WHERE task = ? AND state IN {OPEN}"
            found = connection.execute(sql, (seq,)).get
        return None if found is None else float(found)

    def has_source(self, seq: int, source: str) -> bool:
        """Whether `source` is a file of this task."""
        with self._database.read() as connection:
            sql = "SELECT 1 FROM task_items WHERE task = ? AND source = ?"
            return connection.execute(sql, (seq, source)).get is not None

    def sources(self, seq: int) -> list[str]:
        """The files of a task that are still noted."""
        with self._database.read() as connection:
            rows: list[Any] = connection.execute("SELECT source FROM task_items WHERE task = ?", (seq,)).fetchall()
        return [source for (source,) in rows]

    def attempt(self, item: ItemRow) -> None:
        """Count a try before it is made: for files that may take the whole process down."""
        with self._database.write() as connection:
            connection.execute("UPDATE task_items SET attempts = attempts + 1 WHERE id = ?", (item.id,))

    # --- what failed -------------------------------------------------------------------------------------------------

    def failures(self, seq: int, limit: int) -> tuple[int, list[FailedRow]]:
        """(how many failed, the first of them)."""
        with self._database.read() as connection:
            where = (
                "FROM task_items i JOIN tasks t ON t.seq = i.task WHERE i.task = ? AND i.state IN ('failed', 'dead')"
            )
            count = int(connection.execute(f"SELECT count(*) {where}", (seq,)).get)
            if not count:
                return 0, []
            rows: list[Any] = connection.execute(
                f"SELECT {_FAILED} {where} ORDER BY i.id LIMIT ?", (seq, limit)
            ).fetchall()
        return count, [failed_row(row) for row in rows]

    def dead(self, limit: int) -> list[FailedRow]:
        """Dead documents that no later task has dealt with, the newest first."""
        with self._database.read() as connection:
            rows: list[Any] = connection.execute(
                f"SELECT {_FAILED} FROM task_items i JOIN tasks t ON t.seq = i.task "
                "WHERE i.state = 'dead' AND i.superseded = 0 ORDER BY i.changed_at DESC, i.id DESC LIMIT ?",
                (limit,),
            ).fetchall()
        return [failed_row(row) for row in rows]

    # --- within ------------------------------------------------------------------------------------------------------

    def _update(self, seq: int, assignments: str, *values: str | float | None) -> None:
        with self._database.write() as connection:
            connection.execute(f"UPDATE tasks SET {assignments} WHERE seq = ?", (*values, seq))

    def _delete(self, rows: str, *values: int) -> None:
        """Delete FROM `rows` in bounded transactions."""
        table, _, condition = rows.partition(" WHERE ")
        some = f"SELECT rowid FROM {table} WHERE {condition} LIMIT {DELETE_ROWS}"
        while True:
            with self._database.write() as connection:
                connection.execute(f"DELETE FROM {table} WHERE rowid IN ({some})", values)
                if connection.changes() < DELETE_ROWS:
                    return


def check_room(waiting: int, limit: int) -> None:
    """Raises TooManyRequests (ingest_queue_full) when `limit` tasks are waiting."""
    if waiting >= limit:
        raise TooManyRequests(
            f"{waiting} ingestion tasks are waiting; that is the limit.",
            code="ingest_queue_full",
            retry_after_s=10,
            hint="Try again when some are finished, or raise the setting ingest_queue.",
        )
