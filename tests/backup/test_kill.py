"""kill -9 in the middle of a backup, of removing one and of a restore: what is listed is whole."""

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from appliance import faults
from appliance.backup import Repository, restore
from tests.backup.conftest import Site

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = """
import sys
from pathlib import Path
from appliance import faults
from appliance.app import Appliance
from appliance.backup import Repository, Wanted, restore
from appliance.config import load_settings

data, folder, fault, what = sys.argv[1:]
if what == "restore":
    faults.arm(fault)
    repository = Repository(Path(folder))
    restore(repository, repository.find("latest"), Path(data), force=True, progress=lambda done, total: None)
else:
    given = {"data_dir": data, "embedder": "hash", "generator": "none", "threads": 1}
    with Appliance.open(load_settings(given), purpose="tests") as appliance:
        faults.arm(fault)
        if what == "create":
            job = appliance.backups.begin_create(Wanted())
            while appliance.backups.at_work:
                pass
            print(appliance.backups.job())
        else:
            appliance.backups.prune(1)
"""


def killed(data: Path, folder: Path, fault: str, what: str) -> None:
    """Do it in a process of its own that ends itself at the step."""
    command = [sys.executable, "-c", PROGRAM, str(data), str(folder), fault, what]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("step", [step for step in faults.STEPS if step.startswith("backup.")])
def test_a_backup_is_listed_only_when_it_is_whole(site: Site, step: str) -> None:
    first = site.backup()["id"]
    site.appliance.delete_documents([site.id_of("alpha.txt"), site.id_of("beta.txt")])
    site.add("delta", sentences=150)
    folder = site.repository.folder
    what = "create"
    if step in ("backup.removed", "backup.pack_rewritten"):
        what = "prune"
        site.backup()
    site.close()
    killed(site.data, folder, step, what)
    site.open()
    for backup_id in site.repository.ids():
        assert site.verify(backup_id)["problems"] == (), step
    if what == "create":
        assert site.repository.ids()[0] == first
        assert len(site.repository.ids()) == (2 if step == "backup.listed" else 1)
    newest = site.backup(keep=1)
    assert site.repository.ids() == [newest["id"]]
    assert not list(folder.rglob("*.part"))
    assert site.verify()["problems"] == ()


@pytest.mark.slow
@pytest.mark.parametrize("step", [step for step in faults.STEPS if step.startswith("restore.")])
def test_a_restore_that_was_cut_off_leaves_one_database_or_the_other(
    site: Site, open_site: Callable[..., Site], step: str
) -> None:
    site.backup()
    there = open_site("there")
    there.add("own")
    there.close()
    killed(there.data, site.repository.folder, step, "restore")
    there.open()
    assert there.appliance.store.documents.check() == []
    before = step == "restore.emptied"
    assert there.finds("own") == before
    assert there.finds("alpha") != before
    there.close()
    repository = Repository(site.repository.folder)
    restore(repository, repository.find("latest"), there.data, force=True, progress=lambda done, total: None)
    there.open()
    assert there.finds("alpha")
    assert not (there.data / ".restoring").exists()
