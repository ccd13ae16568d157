"""A machine that indexes and machines that only serve, with keys."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from appliance.packs import PackJob, PackWish, new_wish, seal
from appliance.trust import SigningKey, add_key, generate_key
from appliance.types import Query
from tests.backup.conftest import Site, open_site
from tests.erasure.conftest import unique_text

__all__ = ["open_site"]


class Shelf:
    """A folder of packs and the key that signs them."""

    def __init__(self, folder: Path, key: SigningKey) -> None:
        self.folder, self.key = folder, key

    def export(self, site: Site, name: str, collection: str = "default", since: str | None = None) -> Path:
        """A signed pack of what the site holds."""
        path = self.folder / name
        base = str(self.folder / since) if since else None
        job = ended(site, new_wish("export", path, collection=collection, since=base))
        assert job.state == "SUCCESS", job
        seal(path, self.key)
        return path

    def trusted_by(self, site: Site) -> Site:
        add_key(site.appliance.paths.trust, self.key.public)
        return site


def ended(site: Site, wish: PackWish) -> PackJob:
    packs = site.appliance.packs
    packs.submit(wish)
    while (job := packs.status(wish.id)).state in ("PENDING", "PROGRESS"):
        time.sleep(0.01)
    return job


def imported(site: Site, path: Path, **more: Any) -> PackJob:
    return ended(site, new_wish("import", path, **more))


def answers(site: Site, *names: str, collection: str = "default") -> list[Any]:
    """What searches give: everything but ids."""
    found = []
    for name in names:
        for sentence in unique_text(name).split(".")[:4]:
            hits = site.appliance.search(Query(sentence, collection, k=5)).hits
            found.append([(h.chunk.source, h.chunk.start, h.chunk.end, h.chunk.text, h.dense_rank, h.lexical_rank,
                           round(h.dense_score or 0, 4), round(h.score, 4)) for h in hits])  # fmt: skip
    return found


@pytest.fixture
def shelf(tmp_path: Path) -> Shelf:
    (tmp_path / "shelf").mkdir()
    return Shelf(tmp_path / "shelf", generate_key("indexer"))


@pytest.fixture
def large(open_site: Callable[..., Site]) -> Site:
    """The machine that indexes."""
    site = open_site("large")
    site.add("alpha", "beta", "gamma")
    site.upload({"typed.txt": unique_text("typed").encode()}, metadata={"year": 2020, "tags": ["a", "b"], "ok": True})
    return site


@pytest.fixture
def small(open_site: Callable[..., Site], shelf: Shelf) -> Site:
    """One that trusts the key of the shelf."""
    return shelf.trusted_by(open_site("small"))
