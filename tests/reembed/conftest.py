"""A store with an empty collection."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.store import Store
from tests.store.samples import DIMENSIONS, EMBEDDER


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "appliance.db")
    opened.documents.ensure_collection("default", EMBEDDER, DIMENSIONS)
    yield opened
    opened.close()
