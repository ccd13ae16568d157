"""A task as seen from outside: its durable row, with what the worker knows of it in this moment."""

from collections.abc import Sequence

from appliance.ingest.spec import DeadDocument, FailedItem, TaskState, TaskStatus
from appliance.ingest.task import TaskRun
from appliance.store.job_rows import FailedRow, NewTask, TaskRow


def status_of(
    task: TaskRow, failed_count: int, failed: Sequence[FailedRow], live: TaskRun | None, waiting: str
) -> TaskStatus:
    """`live` is the task's run while it is being worked on; `waiting` is what the worker waits for, or ""."""
    partial = live.progress.partial if live else 0.0
    progress = min(0.999, (task.done + partial) / task.total) if task.total else 0.0
    rate = live.progress.rate_per_s if live else None
    return TaskStatus(
        id=task.id,
        state=TaskState(task.state),
        step=_step((live and live.progress.step) or task.step, waiting),
        progress=1.0 if task.state == TaskState.SUCCESS else progress,
        collection=task.collection,
        created_at=task.created_at,
        finished_at=task.finished_at,
        total=task.total,
        done=task.done,
        documents_processed=task.documents,
        documents_skipped=task.skipped,
        documents_removed=task.removed,
        chunks_created=task.chunks,
        failed={row.source: FailedItem(row.code, row.message, row.hint, row.attempts, row.dead) for row in failed},
        failed_count=failed_count,
        error=task.error,
        rate_per_s=rate,
        chunks_per_s=live.progress.chunks_per_s if live else None,
        eta_s=max(0.0, task.total - task.done - partial) / rate if rate else None,
    )


def status_of_accepted(task: NewTask, waiting: str) -> TaskStatus:
    """Of a task that waits in the inbox: nothing of it has begun."""
    return TaskStatus(
        id=task.id,
        state=TaskState.PENDING,
        step=_step("queued", waiting),
        progress=0.0,
        collection=task.collection,
        created_at=task.created_at,
        finished_at=None,
        total=0,
        done=0,
        documents_processed=0,
        documents_skipped=0,
        documents_removed=0,
        chunks_created=0,
        failed={},
        failed_count=0,
        error=None,
    )


def nothing_done(task: TaskRow, failed: int) -> str | None:
    """The sentence for a task of which not a single file went in."""
    if not failed or task.documents or task.skipped or task.removed:
        return None
    if task.total > 1:
        return f"None of the {task.total} files could be ingested."
    return "The file could not be ingested."


def dead_document(row: FailedRow) -> DeadDocument:
    return DeadDocument(
        row.task_id, row.collection, row.source, row.code, row.message, row.hint, row.attempts, row.changed_at
    )


def _step(step: str, waiting: str) -> str:
    if not waiting:
        return step
    return f"queued; the queue waits: {waiting}" if step == "queued" else f"waiting: {waiting}"
