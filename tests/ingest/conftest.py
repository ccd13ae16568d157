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


@pytest.fixture(scope="module")
def _unpacked_libraries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """In a test the PDF library is unpacked by this process; in service the child does it in a folder of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", str(tmp_path_factory.mktemp("libraries")))
        yield
