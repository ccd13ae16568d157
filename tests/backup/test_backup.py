"""Backups of an appliance that serves: taken, incremental, proved, restored, removed."""

import os
import random
import threading
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from appliance.backup import Wanted, restore
from appliance.backup import repository as repositories
from appliance.backup.packs import read_index
from appliance.errors import ApplianceError, Conflict, DataDirectoryInUse, DiskFull, NotFound, StorageError
from tests.backup.conftest import Site
from tests.erasure.conftest import unique_text


def quiet(done: int, total: int) -> None:
    pass


def restored(site: Site, open_site: Callable[..., Site], backup_id: str = "latest", name: str = "there") -> Site:
    """Another host on what a backup holds."""
    data = site.root.parent / name / "data"
    restore(site.repository, site.repository.find(backup_id), data, progress=quiet)
    return open_site(name)


@pytest.mark.slow
def test_a_backup_is_proved_and_restored_elsewhere(site: Site, open_site: Callable[..., Site]) -> None:
    made = site.backup()
    assert (made["documents"], made["full"]) == (3, True)
    assert {c["name"]: c["documents"] for c in made["collections"]} == {"default": 2, "other": 1}
    assert made["last_commit_at"] <= made["taken_at"]
    proved = site.verify()
    assert proved["problems"] == ()
    assert proved["searches"] >= 3
    there = restored(site, open_site)
    assert there.finds("alpha")
    assert there.finds("beta")
    assert there.finds("gamma", "other")
    assert there.appliance.store.documents.check() == []
    assert [key.name for key in there.appliance.store.keys.list()] == ["first admin"]


@pytest.mark.slow
def test_the_second_backup_costs_what_has_changed_and_each_is_whole(site: Site, open_site: Callable[..., Site]) -> None:
    chance = random.Random(1)
    site.add(*(f"ballast{chance.random()}" for _ in range(20)), sentences=150)
    first = site.backup()
    site.add("delta")
    second = site.backup()
    assert second["new_bytes"] < first["new_bytes"] / 3
    assert not second["full"]
    site.appliance.delete_documents([site.id_of("alpha.txt")])
    site.backup()
    full = site.backup(full=True)
    assert full["new_bytes"] >= full["total_bytes"] * 0.9
    ids = site.repository.ids()
    assert len(ids) == 4
    old = restored(site, open_site, ids[0], "first")
    assert old.finds("alpha")
    assert not old.finds("delta")
    mid = restored(site, open_site, ids[1], "second")
    assert mid.finds("alpha")
    assert mid.finds("delta")
    new = restored(site, open_site, ids[2], "third")
    assert not new.finds("alpha")


@pytest.mark.slow
def test_removing_keeps_what_others_need(site: Site, open_site: Callable[..., Site]) -> None:
    for name in ("one", "two", "three", "four"):
        site.add(name)
        site.backup()
    ids = site.repository.ids()
    site.appliance.backups.remove([ids[0], ids[2]])
    assert site.repository.ids() == [ids[1], ids[3]]
    assert site.verify(ids[1])["problems"] == ()
    gone, _ = site.appliance.backups.prune(1)
    assert gone == [ids[1]]
    assert site.verify(ids[3])["problems"] == ()
    needed = {block for file in site.repository.find(ids[3]).files for block in file.blocks()}
    held = [name for pack in site.repository.packs.iterdir() for name, _ in read_index(pack)]
    assert needed <= set(held)
    assert len(held) <= 2 * len(needed) + 2
    assert restored(site, open_site, ids[3]).finds("four")
    with pytest.raises(NotFound):
        site.appliance.backups.remove([ids[0]])


@pytest.mark.slow
def test_a_flipped_bit_is_found_and_never_restored(site: Site, tmp_path: Path) -> None:
    made = site.backup()
    [pack] = site.repository.packs.iterdir()
    stored = bytearray(pack.read_bytes())
    stored[len(stored) // 2] ^= 4
    pack.write_bytes(stored)
    job = site.ended(site.appliance.backups.begin_verify(made["id"]))
    assert (job.state, job.code) == ("FAILURE", "backup_damaged")
    with pytest.raises(StorageError) as caught:
        restore(site.repository, site.repository.find(made["id"]), tmp_path / "new", progress=quiet)
    assert caught.value.code == "backup_damaged"
    assert not (tmp_path / "new" / "appliance.db").exists()


@pytest.mark.slow
@pytest.mark.parametrize("cut", [1, 40, 1000])
def test_torn_files_are_found(site: Site, cut: int) -> None:
    made = site.backup()
    manifest = site.repository.folder / f"{made['id']}.backup"
    whole = manifest.read_bytes()
    manifest.write_bytes(whole[:-cut])
    with pytest.raises(StorageError):
        site.repository.find(made["id"])
    assert site.repository.all() == []
    manifest.write_bytes(whole)
    [pack] = site.repository.packs.iterdir()
    pack.write_bytes(pack.read_bytes()[:-cut])
    job = site.ended(site.appliance.backups.begin_verify(made["id"]))
    assert job.code == "backup_damaged"
    again = site.backup()  # takes nothing from the torn pack
    assert again["full"]
    assert site.verify(again["id"])["problems"] == ()


@pytest.mark.slow
def test_a_copy_with_other_content_than_the_manifest_says_is_no_good(site: Site) -> None:
    """Blocks that are whole and yet not what was backed up: counts and searches tell."""
    first = site.backup()
    site.appliance.delete_documents([site.id_of("alpha.txt")])
    second = site.backup()
    manifests = site.repository
    old, new = manifests.find(first["id"]), manifests.find(second["id"])
    swapped = msgspec.structs.replace(old, files=new.files)
    with manifests.changing():
        manifests.list_backup(swapped)
    assert "collection default" in " ".join(site.verify(old.id)["problems"])
    counted = msgspec.structs.replace(swapped, collections=new.collections)
    with manifests.changing():
        manifests.list_backup(counted)
    assert "does not find alpha.txt" in " ".join(site.verify(old.id)["problems"])


@pytest.mark.slow
def test_taken_while_others_write_and_ask(site: Site, open_site: Callable[..., Site]) -> None:
    stop = threading.Event()
    wrong: list[Exception] = []

    def work() -> None:
        number = 0
        try:
            while not stop.is_set():
                site.add(f"busy{number}", sentences=5)
                assert site.finds("beta")
                number += 1
        except (ApplianceError, AssertionError) as error:
            wrong.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        made = [site.backup() for _ in range(4)]
    finally:
        stop.set()
        thread.join()
    assert not wrong
    for backup in made:
        assert site.verify(backup["id"])["problems"] == ()


@pytest.mark.slow
def test_what_is_there_is_not_overwritten_but_by_force(site: Site, open_site: Callable[..., Site]) -> None:
    site.backup()
    site.add("later")
    repository, newest = site.repository, site.repository.find("latest")
    with pytest.raises(DataDirectoryInUse):
        restore(repository, newest, site.data, force=True, progress=quiet)
    site.close()
    with pytest.raises(Conflict) as caught:
        restore(repository, newest, site.data, progress=quiet)
    assert caught.value.code == "data_directory_not_empty"
    restore(repository, newest, site.data, force=True, progress=quiet)
    site.open()
    assert site.finds("alpha")
    assert not site.finds("later")
    site.add("anew")  # ids that the lost documents had are given out again
    assert site.finds("anew")
    assert site.appliance.store.documents.check() == []
    assert site.repository.ids() == [newest.id]


@pytest.mark.slow
def test_another_folder_must_exist_and_have_room(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, open_site: Callable[..., Site]
) -> None:
    with pytest.raises(NotFound) as missing:
        site.backup(tmp_path / "unmounted")
    assert missing.value.code == "backup_folder_missing"
    disk = tmp_path / "disk"
    disk.mkdir()
    made = site.backup(disk)
    assert site.verify(made["id"], disk)["problems"] == ()
    assert site.repository.ids() == []
    monkeypatch.setattr(repositories, "SPARE_BYTES", 1 << 60)
    job = site.ended(site.appliance.backups.begin_create(Wanted(), disk))
    assert (job.state, job.code) == ("FAILURE", "backup_needs_room")
    with pytest.raises(DiskFull):
        repositories.Repository(disk).check_room(1)


@pytest.mark.slow
def test_scheduled_backups_come_by_themselves_and_old_ones_go(open_site: Callable[..., Site]) -> None:
    site = open_site(backup_every=0.5 / 3600, backup_keep=2)
    site.add("alpha")
    seen: set[str] = set()
    while len(seen) < 4:
        seen.update(site.repository.ids())
        time.sleep(0.01)
    site.close()
    assert len(site.repository.ids()) <= 3
    site.open()


@pytest.mark.slow
def test_a_full_disk_in_the_middle_leaves_no_backup(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("appliance.backup.packs.os.fsync", full)
    job = site.ended(site.appliance.backups.begin_create(Wanted()))
    assert (job.state, job.code) == ("FAILURE", "backup_needs_room")
    monkeypatch.undo()
    assert site.repository.ids() == []
    assert list(site.repository.packs.iterdir()) == []
    site.backup()
    assert site.verify()["problems"] == ()


@pytest.mark.slow
def test_prompts_keys_and_index_come_along(open_site: Callable[..., Site]) -> None:
    site = open_site(exact_scan_below=3)
    site.add(*(f"n{number}" for number in range(12)))
    site.appliance.prompts.add("brief", site.appliance.prompts.all()[0].text)
    site.appliance.collections.index("default").begin("rebuild")
    while site.appliance.collections.index("default").status().job is not None:
        time.sleep(0.01)
    site.backup(index=True)
    there = site.root.parent / "there" / "data"
    restore(site.repository, site.repository.find("latest"), there, progress=quiet)
    assert list(there.glob("index/*/*/hnsw.bin"))
    other = open_site("there", exact_scan_below=3)
    assert {prompt.name for prompt in other.appliance.prompts.all()} >= {"brief"}
    assert other.finds("n3")
    assert other.appliance.collections.index("default").verify() == []


@pytest.mark.slow
def test_an_erasure_does_not_overlook_backups(site: Site) -> None:
    """Those in the data directory hold the text: without a word it is not proved, with one they go."""
    site.backup()
    found = site.erase(site.id_of("alpha.txt"))
    assert found["verdict"] == "not_proved"
    assert {place["file"].split("/")[0] for place in found["scan"]["places"]} == {"backups"}
    found = site.erase(site.id_of("beta.txt"), backups=True)
    assert found["verdict"] == "proved", found
    assert found["removed"]["backups"] == 1
    assert site.repository.ids() == []
    raw = b"".join(path.read_bytes() for path in site.data.rglob("*") if path.is_file())
    assert unique_text("beta").encode()[:30] not in raw
    assert any("restoring one brings the documents back" in line for line in found["out_of_scope"])


@pytest.mark.slow
def test_an_erasure_sweeps_away_what_a_backup_left_that_was_cut_off(site: Site) -> None:
    site.backup()
    packs = site.repository.packs
    held = next(packs.iterdir()).read_bytes()
    site.appliance.backups.remove(site.repository.ids())
    (packs / "20260101-000000-0000.pack.part").write_bytes(held)
    assert site.erase(site.id_of("alpha.txt"))["verdict"] == "proved"
    assert list(packs.iterdir()) == []


@pytest.mark.slow
@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "", "a\0b"])
def test_a_manifest_cannot_lead_outside(site: Site, path: str) -> None:
    site.backup()
    made = site.repository.find("latest")
    evil = msgspec.structs.replace(made, files=(msgspec.structs.replace(made.files[0], path=path),))
    with site.repository.changing():
        site.repository.list_backup(evil)
    with pytest.raises(ApplianceError) as caught:
        site.repository.find(made.id)
    assert caught.value.code == "backup_damaged"
