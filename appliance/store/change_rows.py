"""Changes of a collection's embedding model, as rows: what was asked for, how far it is, how it ended."""

from collections.abc import Sequence
from dataclasses import dataclass

import apsw

from appliance.errors import Conflict, NotFound
from appliance.faults import reached
from appliance.store import collections
from appliance.store.database import Database, fetch

CHANGES_KEPT = 100  # finished ones; older ones are forgotten
_COLUMNS = (
    "id, collection, model, previous_model, embedder, spec, state, step, created_at, finished_at, cancelled, "
    "crashes, truncated, report, code, message, hint"
)


@dataclass(frozen=True, slots=True)
class NewChange:
    """`model` and `previous_model` are names, `embedder` the fingerprint of the former; `spec` is JSON."""

    id: str
    collection: str
    model: str
    previous_model: str
    embedder: str
    spec: str
    created_at: float  # seconds since the epoch


@dataclass(frozen=True, slots=True)
class ChangeRow:
    """`state` is PENDING, PROGRESS, SUCCESS or FAILURE; `report` is JSON; the last three say why it failed."""

    id: str
    collection: str
    model: str
    previous_model: str
    embedder: str
    spec: str
    state: str
    step: str
    created_at: float
    finished_at: float | None
    cancelled: int
    crashes: int
    truncated: int
    report: str | None
    code: str | None
    message: str | None
    hint: str | None


class ModelChanges:
    """Thread-safe; every method is one transaction or one read. Raises StorageError, DiskFull."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, new: NewChange) -> ChangeRow:
        """Queue a change; it is durable when this returns.

        Raises Conflict (model_change_under_way) for a collection that is being changed, NotFound for an unknown one.
        """
        with self._database.write() as connection:
            collections.require(connection, new.collection)
            if connection.execute(
                "SELECT 1 FROM model_changes WHERE collection = ? AND finished_at IS NULL", (new.collection,)
            ).get:
                raise Conflict(
                    f"The model of collection {new.collection!r} is being changed already.",
                    code="model_change_under_way",
                    hint="`models changes` shows how far it is; `models cancel ID` ends it.",
                )
            connection.execute(
                "DELETE FROM model_changes WHERE finished_at IS NOT NULL AND seq NOT IN "
                "(SELECT seq FROM model_changes ORDER BY seq DESC LIMIT ?)",
                (CHANGES_KEPT,),
            )
            connection.execute(
                "INSERT INTO model_changes (id, collection, model, previous_model, embedder, spec, created_at, state, "
                "step) VALUES (?, ?, ?, ?, ?, ?, ?, 'PENDING', 'queued')",
                (new.id, new.collection, new.model, new.previous_model, new.embedder, new.spec, new.created_at),
            )
        reached("model.noted")
        return self.get(new.id)

    def get(self, change_id: str) -> ChangeRow:
        """Raises NotFound."""
        found = self._rows("WHERE id = ?", (change_id,))
        if not found:
            raise NotFound(
                f"There is no model change {change_id[:80]!r}.",
                code="unknown_model_change",
                hint="`models changes` shows the newest ones.",
            )
        return found[0]

    def newest(self, limit: int) -> list[ChangeRow]:
        return self._rows("ORDER BY seq DESC LIMIT ?", (limit,))

    def next(self) -> ChangeRow | None:
        """The oldest unfinished change."""
        return next(iter(self._rows("WHERE finished_at IS NULL ORDER BY seq LIMIT 1", ())), None)

    def unfinished(self, collection: str) -> bool:
        """Whether the model of a collection is being changed."""
        return bool(self._rows("WHERE collection = ? AND finished_at IS NULL LIMIT 1", (collection,)))

    def begin(self, change_id: str) -> None:
        """It is being worked on; counted as a crash until it makes progress or is put down in order."""
        self._update(change_id, "state = 'PROGRESS', crashes = crashes + 1")

    def put_down(self, change_id: str) -> None:
        """The worker stops in order: what it did not finish was no crash."""
        self._update(change_id, "crashes = 0")

    def step(self, change_id: str, step: str) -> None:
        self._update(change_id, "step = ?", step)

    def cancel(self, change_id: str) -> ChangeRow:
        """Ask for its end. Raises NotFound, Conflict when it is finished."""
        if self.get(change_id).finished_at is not None:
            raise Conflict(
                f"The model change {change_id} is finished.",
                code="model_change_finished",
                hint="`models rollback` goes back to the model before.",
            )
        self._update(change_id, "cancelled = 1")
        return self.get(change_id)

    def fail(self, change_id: str, why: tuple[str, str, str], report: str | None, now: float) -> None:
        """End a change without a switch. `why` is code, message, hint."""
        self._update(
            change_id,
            "state = 'FAILURE', code = ?, message = ?, hint = ?, report = ?, finished_at = ?",
            *(*why, report, now),
        )

    def _update(self, change_id: str, what: str, *values: "apsw.SQLiteValue") -> None:
        with self._database.write() as connection:
            connection.execute(
                f"UPDATE model_changes SET {what} WHERE id = ? AND finished_at IS NULL", (*values, change_id)
            )

    def _rows(self, condition: str, values: Sequence["apsw.SQLiteValue"]) -> list[ChangeRow]:
        with self._database.read() as connection:
            return [
                ChangeRow(*row)
                for row in fetch(connection, f"SELECT {_COLUMNS} FROM model_changes {condition}", tuple(values))
            ]


def progressed(connection: apsw.Connection, change_id: str, truncated: int) -> None:
    """Part of the transaction that stores a batch; `truncated` of its chunks are longer than the model reads."""
    connection.execute(
        "UPDATE model_changes SET crashes = 0, truncated = truncated + ? WHERE id = ?", (truncated, change_id)
    )


def succeed(connection: apsw.Connection, change_id: str, report: str | None, now: float) -> None:
    """Part of the transaction that switches."""
    connection.execute(
        "UPDATE model_changes SET state = 'SUCCESS', step = 'done', report = ?, finished_at = ? WHERE id = ?",
        (report, now, change_id),
    )
