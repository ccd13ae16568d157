"""Named steps at which the process can be made to end, so that a crash at each of them can be tested.

In ordinary life `reached` does nothing. `doctor --torture` starts a server that is armed for one step; there the
process kills itself with SIGKILL, as a power cut would, without a flush, a rollback or an exit handler.
"""

import itertools
import os
import signal
from collections.abc import Iterator

MARK = "torture.json"  # lies beside a data directory that was made to be tortured; no other can be armed

# What has just happened when a step is reached. Each is reached somewhere: tests/test_faults.py compares.
STEPS: dict[str, str] = {
    # start
    "start.locked": "the data directory is locked, nothing is open yet",
    "start.database_open": "the database is open and migrated",
    "start.collections_open": "every index is loaded, replayed or being built",
    "start.announced": "the address is written to server.json, nothing is served yet",
    "migration.copied": "the database as it was before a migration lies beside it, durable",
    "migration.applied": "a migration has run inside its transaction",
    "migration.committed": "a migration is durable",
    # ingestion
    "ingest.file_spooled": "an uploaded file is synced, its task is not noted",
    "ingest.task_noted": "the task is durable, the caller has no answer yet",
    "ingest.task_filed": "the writer is busy: the task is a synced file, the caller has no answer yet",
    "ingest.task_handed_over": "such a task is in the ledger, its file is still there",
    "ingest.listed": "all files of the task are in the ledger",
    "ingest.file_read": "a file is read and cut",
    "ingest.batch_embedded": "a batch of chunks has its vectors",
    "ingest.rows_written": "documents are written inside their transaction",
    "ingest.committed": "documents are durable, the index does not know them",
    "ingest.index_told": "the index knows the documents, the version is not published",
    "ingest.published": "questions see the documents, the task is not finished",
    "ingest.gone_removed": "documents of vanished files are durably removed",
    "ingest.task_finished": "the task is finished, its upload is still in the spool",
    "ingest.upload_removed": "the upload of a finished task is removed",
    # deletion
    "delete.rows_removed": "documents are removed inside their transaction",
    "delete.committed": "the deletion is durable, the index does not know it",
    "delete.index_told": "the index knows the deletion, the version is not published",
    "delete.collection_dropped": "a collection's rows are gone, its index is still on disk",
    # a generation of an index
    "generation.graph_written": "the graph file is written, not synced",
    "generation.files_synced": "graph and manifest are synced beside the generations in force",
    "generation.renamed": "the new generation has its name, CURRENT names the one before",
    "generation.current_written": "the new CURRENT is written beside the one in force",
    "generation.switched": "CURRENT names the new generation",
    "generation.older_removed": "generations beyond the ones kept are removed",
    # rebuilding
    "rebuild.built": "a new index is built, the one before serves",
    "rebuild.switched": "the new index serves, nothing of it is on disk",
    "compact.older_removed": "only the compacted generation is on disk",
    "rollback.loaded": "the previous generation is loaded and replayed, CURRENT names the one before",
    "rollback.switched": "CURRENT names the previous generation, which serves",
    # a change of the embedding model
    "model.noted": "the change is durable, the caller has no answer yet",
    "model.space_opened": "the space of the new model is durable, empty or as far as it was filled before",
    "model.vectors_written": "a batch of the new model's vectors is written inside its transaction",
    "model.vectors_committed": "a batch of the new model's vectors is durable, its index does not know them",
    "model.compared": "the two models are compared, nothing of it is durable",
    "model.switch_written": "the collection names the new model inside its transaction",
    "model.switched": "the switch is durable, questions are still answered with the model before",
    "model.published": "questions are answered with the new model, the index of the one before is still open",
    "model.old_emptied": "some of the vectors that do not serve are removed",
    # erasure
    "erase.rows_removed": "documents are removed and the erasure noted inside their transaction",
    "erase.committed": "the documents are durably gone, indexes and caches still hold them",
    "erase.indexes_cleaned": "no index holds the vectors, in memory or on disk",
    "erase.spool_cleaned": "uploaded bytes and cached answers are gone",
    "erase.keywords_merged": "no segment of a keyword index holds the terms",
    "erase.vacuumed": "the database file is written anew, its log is not emptied",
    "erase.compacted": "the log is emptied, the scan has not begun",
    "erase.scanned": "the bytes are scanned, the receipt is not written",
    "erase.finished": "the receipt is durable, the digests looked for may still be in the log",
    # a backup, and a restore of one
    "backup.pack_written": "the blocks of a backup are durable, nothing names them",
    "backup.manifest_written": "the manifest of a backup is synced beside its name",
    "backup.listed": "a backup exists, older ones are not removed yet",
    "backup.removed": "backups are removed, their blocks are still there",
    "backup.pack_rewritten": "a pack is written anew without the blocks that nobody needs",
    "restore.emptied": "index and cache of the data that is replaced are removed, its database is in force",
    "restore.database_placed": "the restored database is in force, the other restored files are not in place",
    # the database's log
    "database.committed": "a transaction is durable in the log, no checkpoint yet",
    "database.checkpointed": "a checkpoint has moved the log into the database",
}

_armed: tuple[str, Iterator[int], int] | None = None


def reached(step: str) -> None:
    """Say that `step` (one of STEPS) has happened. Ends the process when it is armed for this time of reaching it."""
    if _armed is not None and _armed[0] == step and next(_armed[1]) == _armed[2]:
        os.kill(os.getpid(), signal.SIGKILL)


def arm(fault: str) -> None:
    """End this process when it reaches a step for the n-th time: `step` or `step:n`, n from 1.

    Raises ValueError for a step that is not one of STEPS, or a bad n.
    """
    global _armed
    step, _, number = fault.partition(":")
    if step not in STEPS:
        raise ValueError(f"there is no step {step!r}; the steps are {', '.join(STEPS)}")
    if number and not (number.isascii() and number.isdecimal() and int(number)):
        raise ValueError(f"{number!r} is not a number from 1")
    _armed = (step, itertools.count(1), int(number or 1))
