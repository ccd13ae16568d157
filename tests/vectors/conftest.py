"""An index over a source in memory."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.vectors import CollectionIndex
from tests.vectors.samples import DIMENSIONS, IDS, VECTORS, MemorySource, Opener, wait_for


@pytest.fixture
def source() -> MemorySource:
    return MemorySource(DIMENSIONS)


@pytest.fixture
def opened(tmp_path: Path, source: MemorySource) -> Iterator[Opener]:
    indexes = []

    def open_(exact_scan_below: int = 100, fingerprint: str = "model-1") -> CollectionIndex:
        index = CollectionIndex.open(
            tmp_path / "index",
            source,
            dimensions=DIMENSIONS,
            fingerprint=fingerprint,
            exact_scan_below=exact_scan_below,
            threads=1,
        )
        indexes.append(index)
        return index

    yield open_
    for index in indexes:
        index.close()


@pytest.fixture
def built(opened: Opener, source: MemorySource) -> CollectionIndex:
    """A graph of 3,000 vectors, saved as generation 1."""
    source.commit(IDS[:3_000], VECTORS[:3_000])
    index = opened()
    wait_for(index, "hnsw")
    assert index.status().generation == 1
    return index
