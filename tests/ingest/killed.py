"""A process that ingests a folder and tells what is durable, for a test to kill."""

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from appliance.inference.hash_embed import HashEmbedder
from appliance.ingest.spec import IngestSpec
from appliance.types import Passage, PassageVectors
from tests.ingest.jobs import Workshop


class Unhurried(HashEmbedder):
    """Takes its time, so that a kill hits work under way."""

    def embed_passages(self, passages: Sequence[Passage]) -> list[PassageVectors]:
        time.sleep(0.004 * len(passages))
        return super().embed_passages(passages)


def main(root: Path) -> None:
    """Submit the folder once, then work; each commit prints the documents that are durable as one JSON line."""
    workshop = Workshop(root, Unhurried(dimensions=16))

    def tell(collection: str) -> None:
        durable = workshop.store.documents.hashes(collection)
        print(json.dumps(sorted(durable)), flush=True)

    workshop.options["changed"] = tell
    workshop.close()
    workshop.open()
    if not workshop.ingestion.tasks():
        workshop.ingestion.submit(IngestSpec(directory=workshop.documents, sync=True))
    workshop.ingestion.start()
    [task] = workshop.ingestion.tasks()
    workshop.finished(task.id, 120)
    workshop.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
