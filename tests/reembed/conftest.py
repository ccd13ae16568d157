"""A store with an empty collection; and an appliance that holds the handbook."""

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


@pytest.fixture(scope="module")
def handbook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with the handbook in it, embedded with the default model; to be copied."""
    data = tmp_path_factory.mktemp("handbook") / "data"
    with opened(data) as appliance:
        take_in(appliance, PACKAGE / "handbook")
    return data


@pytest.fixture
def data(handbook: Path, tmp_path: Path) -> Path:
    shutil.copytree(handbook, tmp_path / "data")
    return tmp_path / "data"


@pytest.fixture
def appliance(data: Path) -> Iterator[Appliance]:
    with opened(data) as found:
        yield found
