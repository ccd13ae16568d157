"""A store with an empty collection; and an appliance that holds some topics of the handbook."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Appliance
from appliance.paths import PACKAGE
from appliance.store import Store
from tests.reembed.changes import opened, take_in
from tests.store.samples import DIMENSIONS, EMBEDDER


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "appliance.db")
    opened.documents.ensure_collection("default", EMBEDDER, DIMENSIONS)
    yield opened
    opened.close()


# Each change of model embeds all that is stored several times: a dozen topics say as much as all.
TOPICS = (
    *("overview", "first-questions", "install-from-source", "documents-and-formats", "ingestion", "limits", "privacy"),
    *("security", "keys-and-roles", "data-directory-and-recovery", "erasing-documents", "looking-after-the-index"),
)


@pytest.fixture(scope="session")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with topics of the handbook in it, embedded with the default model; to be copied."""
    root = tmp_path_factory.mktemp("handbook")
    (root / "topics").mkdir()
    for topic in TOPICS:
        shutil.copy(PACKAGE / "handbook" / f"{topic}.md", root / "topics")
    with opened(root / "data") as appliance:
        take_in(appliance, root / "topics")
    return root / "data"


@pytest.fixture
def data(handbook: Path, tmp_path: Path) -> Path:
    shutil.copytree(handbook, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def appliance(data: Path) -> Iterator[Appliance]:
    with opened(data) as found:
        yield found
