"""An appliance with unique texts, and its backups."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from appliance.backup import BackupJob, Repository, Wanted
from appliance.types import Query
from tests.erasure.conftest import Office, unique_text


class Site(Office):
    """An appliance on a data directory, and short ways to do things to it."""

    @property
    def repository(self) -> Repository:
        return self.appliance.backups.repository()

    def add(self, *names: str, collection: str = "default", sentences: int = 40) -> None:
        """One document a name, of text that no other name gives."""
        self.upload({f"{name}.txt": unique_text(name, sentences).encode() for name in names}, collection=collection)

    def finds(self, name: str, collection: str = "default") -> bool:
        question = unique_text(name).split(".")[3]
        hits = self.appliance.search(Query(question, collection, k=3)).hits
        return f"{name}.txt" in {hit.chunk.source for hit in hits}

    def backup(self, folder: Path | None = None, keep: int | None = None, **wanted: bool) -> dict[str, Any]:
        return self._result(self.appliance.backups.begin_create(Wanted(**wanted), folder, keep))

    def verify(self, backup_id: str = "latest", folder: Path | None = None) -> dict[str, Any]:
        return self._result(self.appliance.backups.begin_verify(backup_id, folder))

    def ended(self, job: BackupJob) -> BackupJob:
        while job.state in ("PENDING", "PROGRESS") or self.appliance.backups.at_work:
            time.sleep(0.01)
            found = self.appliance.backups.job(job.id)
            assert found is not None
            job = found
        return job

    def _result(self, job: BackupJob) -> dict[str, Any]:
        ended = self.ended(job)
        assert ended.state == "SUCCESS", ended
        assert ended.result is not None
        return ended.result


@pytest.fixture
def open_site(tmp_path: Path) -> Iterator[Callable[..., Site]]:
    """Make appliances by name of their folder; all are closed at the end (also those that a test has closed)."""
    opened: list[Site] = []

    def make(name: str = "here", **settings: Any) -> Site:
        (tmp_path / name).mkdir(exist_ok=True)
        opened.append(Site(tmp_path / name, **settings))
        return opened[-1]

    yield make
    for site in opened:
        site.close()


@pytest.fixture
def site(open_site: Callable[..., Site]) -> Site:
    """One with two documents in `default` and one in `other`."""
    made = open_site()
    made.add("alpha", "beta")
    made.add("gamma", collection="other")
    return made
