"""The appliance: cut, embed, store and index as ingestion does; search as a question gets it."""

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from appliance.config import Settings
from appliance.search import search as search_passages
from appliance.types import Query
from bench.corpus import COLLECTION, Corpus, Text, ingested, open_models
from bench.peer_systems.measure import Row, System, main

CHUNKS = 30  # hits asked for, so that 10 documents are among them where documents have several chunks


def open_system(name: str, job: dict[str, Any], scratch: Path) -> System:
    """The default models and settings."""
    settings = Settings(data_dir=scratch / "data", threads=job["threads"])
    parts = ExitStack()
    embedder = parts.enter_context(open_models(settings))
    embedder.embed_query("warm")
    opened: list[Corpus] = []

    def index(rows: Sequence[Row]) -> None:
        texts = [Text(*row) for row in rows]
        opened.append(parts.enter_context(ingested(texts, embedder, settings, label=name)))

    def search(text: str, k: int) -> list[str]:
        found = search_passages(Query(text, COLLECTION, k=CHUNKS), opened[0].served)
        return list(dict.fromkeys(hit.chunk.source for hit in found.hits))[:k]

    return index, search


if __name__ == "__main__":
    main(open_system)
