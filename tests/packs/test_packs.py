"""Packs: the same documents and the same answers elsewhere, changes over a state, whole or not at all."""

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from appliance.cli.root import cli
from appliance.packs import check_seal, read_manifest, verify_pack
from appliance.trust import generate_key
from appliance.types import Query
from tests.backup.conftest import Site
from tests.packs.conftest import Shelf, answers, ended, imported

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("alpha", "beta", "gamma", "typed")


@pytest.mark.slow
def test_another_machine_gives_the_same_answers(large: Site, small: Site, shelf: Shelf) -> None:
    path = shelf.export(large, "all.pack")
    job = imported(small, path)
    assert job.state == "SUCCESS", job
    assert job.result is not None
    assert (job.result["documents"], job.result["signed_by"]) == (4, "indexer")
    assert answers(small, *NAMES) == answers(large, *NAMES)
    filtered = small.appliance.store.fields.all("default")
    assert [(f.name, f.type) for f in filtered] == [
        (f.name, f.type) for f in large.appliance.store.fields.all("default")
    ]
    assert small.appliance.store.documents.check() == []


@pytest.mark.slow
def test_vectors_and_sentences_are_the_very_same(large: Site, small: Site, shelf: Shelf) -> None:
    imported(small, shelf.export(large, "all.pack"), collection="copy")
    stores = (large.appliance.store.documents, small.appliance.store.documents)
    names = ("default", "copy")
    ids = [store.chunk_ids(name).tolist() for store, name in zip(stores, names, strict=True)]
    texts = [{c.text: i for i, c in store.chunks(some).items()} for store, some in zip(stores, ids, strict=True)]
    assert texts[0].keys() == texts[1].keys()
    sentences = [store.sentences(name, some) for store, name, some in zip(stores, names, ids, strict=True)]
    for text, number in texts[0].items():
        ours, theirs = sentences[0][number], sentences[1][texts[1][text]]
        assert np.array_equal(ours.spans, theirs.spans)
        assert np.array_equal(ours.vectors, theirs.vectors)
    for store, some in zip(stores, ids, strict=True):
        for number in some:
            chunk = store.chunks([number])[number]
            assert store.get(chunk.document_id).text[chunk.start : chunk.end] == chunk.text


@pytest.mark.slow
def test_changes_between_two_states(large: Site, small: Site, shelf: Shelf) -> None:
    imported(small, shelf.export(large, "one.pack"))
    large.add("delta")
    large.upload({"beta.txt": b"The beta text is another one now. It says something else."})
    large.appliance.delete_documents([large.id_of("alpha.txt")])
    path = shelf.export(large, "two.pack", since="one.pack")
    manifest = read_manifest(path)
    assert (manifest.documents, manifest.removed) == (2, 1)
    assert imported(small, path).state == "SUCCESS"
    assert answers(small, *NAMES, "delta") == answers(large, *NAMES, "delta")
    assert small.appliance.store.documents.check() == []
    assert small.finds("delta")
    assert not small.finds("alpha")
    again = imported(small, path)  # done already: nothing happens
    assert again.result is not None
    assert (again.state, again.result["documents"]) == ("SUCCESS", 0)


@pytest.mark.slow
def test_changes_are_refused_over_another_state(large: Site, small: Site, shelf: Shelf) -> None:
    imported(small, shelf.export(large, "one.pack"))
    large.add("delta")
    shelf.export(large, "two.pack", since="one.pack")
    large.add("epsilon")
    third = shelf.export(large, "three.pack", since="two.pack")
    job = imported(small, third)
    assert (job.state, job.code) == ("FAILURE", "pack_base_mismatch")
    small.add("own")
    assert imported(small, shelf.folder / "two.pack").code == "pack_base_mismatch"
    assert not small.finds("delta")
    whole = shelf.export(large, "whole.pack")
    assert imported(small, whole).code == "collection_exists"
    assert small.finds("own")
    replaced = imported(small, whole, replace=True)
    assert replaced.result is not None
    assert (replaced.result["documents"], replaced.result["removed"]) == (2, 1)  # the others were there already
    assert answers(small, *NAMES, "epsilon") == answers(large, *NAMES, "epsilon")
    assert not small.finds("own")


@pytest.mark.slow
def test_another_model_is_refused_or_the_vectors_are_made_anew(
    large: Site,
    open_site: Callable[..., Site],
    shelf: Shelf,
) -> None:
    path = shelf.export(large, "all.pack")
    other = shelf.trusted_by(open_site("other", embedder="minilm-l6-v2.int8"))
    other.add("own", collection="other")
    job = imported(other, path, collection="other")
    assert job.code in ("embedder_mismatch", "collection_exists")
    assert imported(other, path, collection="other", replace=True).code == "embedder_mismatch"
    assert other.finds("own", "other")
    job = imported(other, path, reembed=True)
    assert job.state == "SUCCESS", job
    assert other.finds("alpha")
    found = other.appliance.store.documents.collection("default")
    assert found is not None
    assert (found.documents, found.embedder) == (4, other.appliance.collections.embedder("default").fingerprint)
    assert other.appliance.store.documents.check() == []
    assert not list(other.appliance.paths.packs.iterdir())


@pytest.mark.slow
def test_only_what_a_trusted_key_signed_is_read(
    large: Site, small: Site, shelf: Shelf, open_site: Callable[..., Site]
) -> None:
    path = shelf.export(large, "all.pack")
    stranger = open_site("stranger")
    assert imported(stranger, path).code == "unknown_signing_key"
    plain = shelf.folder / "plain.pack"
    plain.write_bytes(path.read_bytes()[: check_seal(path, [shelf.key.public])[0].size])
    assert imported(small, plain).code == "unsigned"
    changed = shelf.folder / "changed.pack"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    changed.write_bytes(content)
    assert imported(small, changed).code == "wrong_digest"
    assert small.appliance.store.documents.collection("default").documents == 0  # type: ignore[union-attr]


@pytest.mark.slow
def test_an_import_that_fails_in_the_middle_changes_nothing(
    large: Site, small: Site, shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shelf.export(large, "all.pack")
    from appliance.store import rows

    put, seen = rows.put_document, []

    def failing(*given: object) -> object:
        seen.append(1)
        if len(seen) == 3:
            raise OSError(28, "No space left on device")
        return put(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(rows, "put_document", failing)
    assert imported(small, path, collection="copy").state == "FAILURE"
    monkeypatch.undo()
    assert small.appliance.store.documents.collection("copy") is None
    assert imported(small, path, collection="copy").state == "SUCCESS"


@pytest.mark.slow
def test_kill_in_the_middle_of_an_import_which_is_done_after_the_restart(
    large: Site, small: Site, shelf: Shelf
) -> None:
    path = shelf.export(large, "all.pack")
    small.close()
    program = (
        "import os, signal, sys, time\nfrom pathlib import Path\n"
        "from appliance.app import Appliance\nfrom appliance.config import load_settings\n"
        "from appliance.packs import new_wish\nfrom appliance.store import rows\n"
        "put, seen = rows.put_document, []\n"
        "def killing(*given):\n"
        "    seen.append(1)\n"
        "    if len(seen) == 3:\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return put(*given)\n"
        "rows.put_document = killing\n"
        "given = {'data_dir': sys.argv[1], 'embedder': 'hash', 'generator': 'none', 'threads': 1}\n"
        "with Appliance.open(load_settings(given), purpose='tests') as appliance:\n"
        "    appliance.packs.submit(new_wish('import', Path(sys.argv[2])))\n"
        "    time.sleep(60)\n"
    )
    command = [sys.executable, "-c", program, str(small.data), str(path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    small.open()
    [job] = small.appliance.packs.all()
    while (job := small.appliance.packs.status(job.wish.id)).state in ("PENDING", "PROGRESS"):
        pass
    assert job.state == "SUCCESS", job
    assert answers(small, *NAMES) == answers(large, *NAMES)
    assert small.appliance.store.documents.check() == []


@pytest.mark.slow
def test_above_the_exact_limit_the_graph_learns_of_changes(open_site: Callable[..., Site], shelf: Shelf) -> None:
    large, small = open_site("large"), shelf.trusted_by(open_site("small", exact_scan_below=8))
    large.add(*(f"n{number}" for number in range(10)))
    imported(small, shelf.export(large, "one.pack"))
    large.add("delta")
    large.appliance.delete_documents([large.id_of("n3.txt")])
    imported(small, shelf.export(large, "two.pack", since="one.pack"))
    index = small.appliance.collections.index("default")
    while index.status().job is not None:
        pass
    assert index.verify() == []
    assert small.finds("delta")
    assert not small.finds("n3")
    assert small.finds("n7")


@pytest.mark.slow
def test_the_graph_comes_along_and_need_not_be_built(open_site: Callable[..., Site], shelf: Shelf) -> None:
    large = open_site("large", exact_scan_below=8)
    large.add(*(f"n{number}" for number in range(10)))
    large.appliance.collections.index("default").rebuild()
    path = shelf.export(large, "one.pack")
    small = shelf.trusted_by(open_site("small", exact_scan_below=8))
    job = imported(small, path)
    index = small.appliance.collections.index("default")
    assert job.state == "SUCCESS", job
    assert index.status().kind == "hnsw"
    [generation] = (small.appliance.paths.index / "1").glob("*/manifest.json")
    manifest = json.loads(generation.read_text())
    chunks = small.appliance.store.documents.chunk_ids("default")
    assert (manifest["reason"], manifest["vectors"]) == ("imported", len(chunks))
    assert answers(large, "n1", "n7") == answers(small, "n1", "n7")
    while index.status().job is not None:  # its recall is measured here
        pass
    assert index.verify() == []
    assert list(small.appliance.paths.packs.iterdir()) == []
    few = shelf.trusted_by(open_site("few"))  # scanned exactly: needs no graph
    assert imported(few, path).state == "SUCCESS"
    assert few.finds("n3")


@pytest.mark.slow
def test_a_graph_that_has_lost_chunks_stays_at_home(open_site: Callable[..., Site], shelf: Shelf) -> None:
    large = open_site("large", exact_scan_below=8)
    large.add(*(f"n{number}" for number in range(10)))
    large.appliance.collections.index("default").rebuild()
    large.appliance.delete_documents([large.id_of("n3.txt")])
    path = shelf.export(large, "one.pack")
    assert read_manifest(path).indexed == 0


@pytest.mark.slow
def test_verify_reads_everything(large: Site, shelf: Shelf) -> None:
    path = shelf.export(large, "all.pack")
    report = verify_pack(path, [shelf.key.public])
    assert (report.manifest.documents, report.manifest.base) == (4, None)
    assert report.key == shelf.key.public


@pytest.mark.slow
def test_on_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAG_APPLIANCE_EMBEDDER", "hash")
    monkeypatch.setenv("RAG_APPLIANCE_GENERATOR", "none")

    def run(data: str, *arguments: object, code: int = 0) -> dict[str, object]:
        result = CliRunner().invoke(cli, [*map(str, arguments), "--data-dir", str(tmp_path / data), "--json"])
        assert result.exit_code == code, result.output
        told: dict[str, object] = json.loads(result.stdout)
        return told

    (tmp_path / "letter.txt").write_text("The boiler must be serviced every twelve months by a licensed engineer.")
    key, path = tmp_path / "indexer", tmp_path / "reports.pack"
    run("large", "ingest", tmp_path / "letter.txt", "--collection", "reports")
    run("large", "trust", "keygen", key)
    assert run("large", "pack", "export", "reports", path, "--key", key)["documents"] == 1
    assert run("large", "pack", "export", "reports", path, "--key", key, code=1)["code"] == "file_exists"
    assert run("small", "pack", "import", path, code=1)["code"] == "unknown_signing_key"
    run("small", "trust", "add", f"{key}.pub")
    assert run("small", "pack", "verify", path)["collection"] == "reports"
    assert run("small", "pack", "import", path)["documents"] == 1
    hits = run("small", "search", "who services the boiler", "--collection", "reports")["hits"]
    assert "licensed engineer" in str(hits)
    second = tmp_path / "second.pack"
    assert run("large", "pack", "export", "reports", second, "--since", path, "--key", key)["documents"] == 0
    assert run("small", "pack", "import", second)["removed"] == 0
    assert run("small", "pack", "list") == {"jobs": []}


@pytest.mark.slow
def test_wishes_are_bounded_and_wrong_ones_refused(large: Site, small: Site, tmp_path: Path, shelf: Shelf) -> None:
    from appliance.errors import ApplianceError
    from appliance.packs import new_wish

    for wish, code in (
        (("import", tmp_path / "nowhere"), "file_not_found"),
        (("import", Path("relative")), "path_not_absolute"),
    ):
        with pytest.raises(ApplianceError) as caught:
            small.appliance.packs.submit(new_wish(*wish))
        assert caught.value.code == code
    with pytest.raises(ApplianceError) as caught:
        large.appliance.packs.submit(new_wish("export", tmp_path / "x", collection="nowhere"))
    assert caught.value.code == "unknown_collection"
    job = ended(large, new_wish("export", tmp_path / "no" / "folder", collection="default"))
    assert job.code == "pack_unwritable"
    assert Query("x")
    assert generate_key("x")
