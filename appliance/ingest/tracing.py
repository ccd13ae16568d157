"""An ingestion task as a trace: its id is in every log line, its stages are spans across the three threads."""

import contextlib
import time
from collections.abc import Iterator

from appliance.ingest.progress import Progress
from appliance.store.job_rows import TaskRow
from appliance.telemetry.traces import Traces
from appliance.telemetry.tracing import CURRENT, current_trace, note

ROUTE = "ingest"
PUT_DOWN, FAILED, CANCELLED, DONE = 0, 500, 499, 200


@contextlib.contextmanager
def traced_task(traces: Traces, task: TaskRow) -> Iterator[None]:
    """What is done within belongs to the task; its trace is kept at the end, unless the task was only put down."""
    trace = traces.begin(task.id)
    trace.live = True  # it may take hours
    token = trace.here()
    try:
        yield
    finally:
        CURRENT.reset(token)
        trace.end(ROUTE, trace.status, {"collection": task.collection}, time.perf_counter())
        if trace.status == PUT_DOWN:
            trace.kept = False
        trace.let_go()


def end_of_task(failure: str | None, progress: Progress) -> None:
    """The task under way has ended, `failure` says why it did not succeed."""
    trace = current_trace()
    if trace is not None:
        trace.status = DONE if failure is None else CANCELLED if failure == "cancelled" else FAILED
        note(files=progress.settled, chunks=progress.chunks)
