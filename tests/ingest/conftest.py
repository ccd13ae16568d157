"""A workshop with its worker running, for every test of jobs."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.ingest.jobs import Workshop


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    opened = Workshop(tmp_path)
    opened.ingestion.start()
    yield opened
    opened.assert_consistent()
    opened.close()
