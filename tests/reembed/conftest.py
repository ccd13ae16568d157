"""A store with an empty collection; and an appliance that holds the handbook's prose."""

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


# Long and mostly tables: each change of model embeds all that is stored several times.
LEFT_OUT = ("command-line.md", "configuration.md", "http-api.md", "metrics-and-logs.md", "troubleshooting.md")


@pytest.fixture(scope="session")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the handbook's prose in it, embedded with the default model; to be copied."""
    root = tmp_path_factory.mktemp("handbook")
    shutil.copytree(PACKAGE / "handbook", root / "topics", ignore=shutil.ignore_patterns(*LEFT_OUT))
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
