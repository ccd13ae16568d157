"""A change of embedding model from beginning to end, with real models on the handbook's own text."""

import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from appliance.app import Appliance
from appliance.config import load_settings
from appliance.errors import ApplianceError, Conflict, InvalidRequest, NotFound
from appliance.inference import HashEmbedder, embedders
from appliance.ingest.spec import IngestSpec
from appliance.paths import PACKAGE
from appliance.reembed import AskedQuestion, ChangeSpec, ChangeStatus, run
from appliance.store import spaces
from appliance.types import Query

INT8, FP32 = "minilm-l6-v2.int8", "minilm-l6-v2.fp32"
QUESTION = "How do I make a backup?"


def opened(data: Path, **settings: object) -> Appliance:
    arguments = {"data_dir": data, "generator": "none", "threads": 1, "abstain_below": -1.0, **settings}
    return Appliance.open(load_settings(arguments), purpose="tests")


def take_in(appliance: Appliance, folder: Path) -> None:
    task = appliance.ingestion.submit(IngestSpec(directory=folder, sync=True))
    status = appliance.ingestion.wait(task.id, 120)
    assert status.finished_at is not None
    assert status.error is None


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


def ended(appliance: Appliance, status: ChangeStatus) -> ChangeStatus:
    status = appliance.reembedding.wait(status.id, 200)
    assert status.finished_at is not None, status
    return status


def change(appliance: Appliance, model: str, spec: ChangeSpec | None = None) -> ChangeStatus:
    return ended(appliance, appliance.reembedding.submit("default", model, spec or ChangeSpec()))


def serving(appliance: Appliance) -> str:
    return appliance.collections.embedder("default").name


def assert_whole(appliance: Appliance) -> None:
    assert appliance.store.documents.check() == []
    assert appliance.collections.index("default").verify() == []


def test_switched_with_figures_and_rolled_back(appliance: Appliance, tmp_path: Path) -> None:
    key = appliance.cache_key(Query(QUESTION))
    status = change(appliance, FP32)
    assert (status.state, status.error, status.progress, status.truncated) == ("SUCCESS", None, 1.0, 0)
    assert status.report is not None
    kinds = {made["kind"]: made for made in status.report["comparisons"]}
    assert set(kinds) == {"known-item", "held-out"}
    assert kinds["held-out"]["old"]["recall"] > 0.5  # sentences do find the passages they were taken out of
    assert abs(kinds["held-out"]["new"]["mrr"] - kinds["held-out"]["old"]["mrr"]) < 0.03  # the same model, finer
    assert kinds["known-item"]["overlap"] > 0.9
    assert serving(appliance) == FP32
    assert appliance.cache_key(Query(QUESTION)) not in (None, key)
    assert appliance.answer(Query(QUESTION), cancel=threading.Event()).claims
    assert_whole(appliance)

    (tmp_path / "new").mkdir()
    (tmp_path / "new" / "moon.txt").write_text("The moon base orders its oxygen from Bergen every spring.")
    take_in(appliance, tmp_path / "new")
    back = ended(appliance, appliance.reembedding.rollback("default"))
    assert (back.state, back.model, back.previous_model, back.rollback) == ("SUCCESS", INT8, FP32, True)
    assert serving(appliance) == INT8
    hits = appliance.search(Query("Where does the oxygen come from?", alpha=1.0)).hits
    assert "Bergen" in hits[0].chunk.text  # embedded with the model we came back to
    assert appliance.cache_key(Query(QUESTION)) != key  # its version never comes back
    assert_whole(appliance)
    again = ended(appliance, appliance.reembedding.rollback("default"))
    assert (again.state, serving(appliance)) == ("SUCCESS", FP32)


def test_a_worse_model_is_refused_with_figures_and_can_be_forced(appliance: Appliance) -> None:
    status = change(appliance, "hash")
    assert (status.state, status.code) == ("FAILURE", "model_refused")
    assert status.error is not None
    assert "held-out questions falls from" in status.error
    assert status.report is not None
    assert status.report["worse"]
    assert serving(appliance) == INT8
    assert_whole(appliance)
    with pytest.raises(Conflict) as caught:
        appliance.reembedding.rollback("default")  # a refused model is nothing to go back to
    assert caught.value.code == "nothing_to_roll_back"
    forced = change(appliance, "hash", ChangeSpec(force=True))
    assert (forced.state, forced.forced) == ("SUCCESS", True)
    assert forced.report is not None
    assert forced.report["worse"]
    assert (serving(appliance), appliance.store.shadow.serving("default").dimensions) == ("hash", 64)
    assert appliance.answer(Query(QUESTION), cancel=threading.Event()).hits
    assert_whole(appliance)


def test_the_operators_own_questions_decide(appliance: Appliance) -> None:
    judged = tuple(
        AskedQuestion(text, source=source)
        for text, source in (
            ("Can I stop others from reading what people ask?", "privacy.md"),
            ("What should I do after a power cut?", "data-directory-and-recovery.md"),
            ("Who may remove a document?", "keys-and-roles.md"),
            ("Which kinds of files are understood?", "documents-and-formats.md"),
        )
    )
    plain = (AskedQuestion("How do I get it running?"), AskedQuestion("Is anything sent out?"))
    status = change(appliance, FP32, ChangeSpec(questions=judged + plain, tolerance=0.25))
    assert status.state == "SUCCESS", status
    assert status.report is not None
    kinds = {made["kind"]: made for made in status.report["comparisons"]}
    assert set(kinds) == {"judged", "plain", "known-item", "held-out"}
    assert kinds["judged"]["old"]["recall"] >= 0.75
    assert kinds["plain"]["overlap"] > 0.7
    strict = change(appliance, "hash", ChangeSpec(questions=plain, tolerance=1.0, min_overlap=1.0))
    assert strict.error is not None
    assert "of the first 10 hits are the same for your questions" in strict.error
    unknown = (AskedQuestion("How do I make a backup?", source="no-such-file.pdf"),)
    lost = change(appliance, "hash", ChangeSpec(questions=unknown))
    assert lost.error is not None
    assert "Neither model finds" in lost.error


def test_documents_changed_and_deleted_during_the_change(
    appliance: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_CHUNKS", 16)
    monkeypatch.setattr(run, "FEW_CHUNKS", 4)
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "a.txt").write_text("The old harbour closes at nine.")
    take_in(appliance, folder)
    gone = [info.id for info in appliance.store.documents.list("default", limit=4)]
    done = threading.Event()
    failed: list[BaseException] = []

    def ask() -> None:
        try:
            while not done.is_set():
                answer = appliance.answer(Query(QUESTION, k=5), cancel=threading.Event())
                assert answer.claims
                time.sleep(0.05)
        except BaseException as error:  # noqa: BLE001 - shown by the test
            failed.append(error)

    asking = threading.Thread(target=ask)
    asking.start()
    status = appliance.reembedding.submit("default", FP32, ChangeSpec())
    while appliance.reembedding.status(status.id).done < 16:
        time.sleep(0.01)
    (folder / "a.txt").write_text("The old harbour closes at ten.")
    (folder / "b.txt").write_text("The new harbour never closes.")
    ingested = appliance.ingestion.submit(IngestSpec(directory=folder, sync=True))
    appliance.delete_documents(gone)
    status = ended(appliance, status)
    done.set()
    asking.join()
    assert not failed
    assert appliance.ingestion.wait(ingested.id, 60).error is None
    assert (status.state, serving(appliance)) == ("SUCCESS", FP32)
    for question in ("When does the old harbour close?", "When does the new harbour close?"):
        texts = [hit.chunk.text for hit in appliance.search(Query(question, alpha=1.0)).hits[:3]]
        assert any("ten" in text or "never" in text for text in texts)
        assert not any("nine" in text for text in texts)
    assert_whole(appliance)
    with appliance.store.database.read() as connection:
        chunks = connection.execute("SELECT count(*) FROM chunks").get
        counts = {table: connection.execute(f"SELECT count(*) FROM {table}").get for table in spaces.TABLES}
    assert counts["vectors_b"] == counts["sentences_b"] == chunks
    assert counts["vectors"] == counts["sentences"] <= chunks


def test_a_question_in_flight_finishes_with_its_model(appliance: Appliance) -> None:
    with appliance.collections.serving("default") as before:
        assert change(appliance, FP32).state == "SUCCESS"
        found = appliance._as_served(Query(QUESTION), before)
        assert found.hits
        sentences = appliance.store.documents.sentences([found.hits[0].chunk.id], before.embedder.fingerprint)
        fresh = appliance.store.documents.sentences([found.hits[0].chunk.id])
    assert serving(appliance) == FP32
    assert before.embedder.name == INT8
    [old], [new] = sentences.values(), fresh.values()
    assert (old.vectors != new.vectors).any()


def test_a_stop_in_mid_job_and_a_start_go_on_where_it_was(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BATCH_CHUNKS", 8)
    with opened(data) as appliance:
        status = appliance.reembedding.submit("default", FP32, ChangeSpec())
        while appliance.reembedding.status(status.id).done < 16:
            time.sleep(0.01)
    with opened(data) as appliance:
        kept = appliance.store.shadow.find("default")
        assert kept is not None
        done = appliance.store.shadow.missing_count(kept)
        assert 0 < done < status.total
        with pytest.raises(Conflict):
            appliance.reembedding.submit("default", "hash", ChangeSpec())
        assert ended(appliance, status).state == "SUCCESS"
        assert_whole(appliance)
    with opened(data) as appliance:
        assert serving(appliance) == FP32
        assert appliance.search(Query(QUESTION)).hits
        assert_whole(appliance)


def test_cancelled_kept_discarded(appliance: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "BATCH_CHUNKS", 4)
    status = appliance.reembedding.submit("default", FP32, ChangeSpec())
    while appliance.reembedding.status(status.id).done < 8:
        time.sleep(0.01)
    with pytest.raises(Conflict):
        appliance.reembedding.discard("default")
    appliance.reembedding.cancel(status.id)
    status = ended(appliance, status)
    assert (status.state, status.code, serving(appliance)) == ("FAILURE", "cancelled", INT8)
    assert status.done >= 8
    discarded = appliance.reembedding.discard("default")
    assert discarded is not None
    assert appliance.embedders.name_of(discarded) == FP32
    assert appliance.reembedding.discard("default") is None
    assert_whole(appliance)


def test_chunks_that_the_model_does_not_read_whole(appliance: Appliance, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedders, "HashEmbedder", lambda: HashEmbedder(max_tokens=40))
    status = change(appliance, "hash")
    assert (status.state, status.code) == ("FAILURE", "chunks_too_long")
    assert appliance.store.shadow.find("default") is None
    forced = change(appliance, "hash", ChangeSpec(force=True))
    assert forced.state == "SUCCESS"
    assert forced.truncated > 0.3 * forced.total


def test_what_cannot_be_asked_for(appliance: Appliance) -> None:
    for collection, model, spec, expected, code in (
        ("default", INT8, ChangeSpec(), Conflict, "model_in_use"),
        ("default", "unknown", ChangeSpec(), NotFound, "unknown_model"),
        ("unknown", FP32, ChangeSpec(), NotFound, "unknown_collection"),
        ("default", FP32, ChangeSpec(tolerance=2.0), InvalidRequest, "invalid_request"),
        ("default", FP32, ChangeSpec(questions=(AskedQuestion("x"),) * 2001), InvalidRequest, "invalid_request"),
    ):
        with pytest.raises(expected) as caught:
            appliance.reembedding.submit(collection, model, spec)
        assert isinstance(caught.value, ApplianceError)
        assert caught.value.code == code
        assert caught.value.hint or code == "invalid_request"
    with pytest.raises(Conflict):
        appliance.reembedding.rollback("default")


def test_an_empty_collection_changes_at_once(tmp_path: Path) -> None:
    with opened(tmp_path / "empty", embedder="hash") as appliance:
        status = change(appliance, FP32)
        assert (status.state, status.total) == ("SUCCESS", 0)
        assert status.report is not None
        assert status.report["comparisons"] == []
        assert serving(appliance) == FP32


def test_a_collection_whose_model_is_gone_can_be_changed_by_force(tmp_path: Path) -> None:
    with opened(tmp_path / "data", embedder="hash") as appliance:
        folder = tmp_path / "docs"
        folder.mkdir()
        (folder / "a.txt").write_text("The harbour closes at nine, and the lighthouse is lit at eight each evening.")
        take_in(appliance, folder)
        with appliance.store.database.write() as connection:
            connection.execute("UPDATE collections SET embedder = 'gone'")
            connection.execute("UPDATE spaces SET embedder = 'gone'")
    with opened(tmp_path / "data", embedder=INT8) as appliance:
        refused = change(appliance, INT8)
        assert (refused.state, refused.code) == ("FAILURE", "models_not_comparable")
        assert change(appliance, INT8, ChangeSpec(force=True)).state == "SUCCESS"
        assert appliance.search(Query("When is the lighthouse lit?")).hits
        assert_whole(appliance)


def test_a_dropped_collection_ends_its_change(
    appliance: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_CHUNKS", 1)
    folder = tmp_path / "docs"
    folder.mkdir()
    for number in range(60):
        (folder / f"{number}.txt").write_text(f"Fact {number} is told here at some length, with a number.")
    task = appliance.ingestion.submit(IngestSpec(directory=folder, collection="notes"))
    assert appliance.ingestion.wait(task.id, 60).documents_processed == 60
    status = appliance.reembedding.submit("notes", FP32, ChangeSpec())
    while appliance.reembedding.status(status.id).done < 3:
        time.sleep(0.01)
    appliance.collections.drop("notes")
    deadline = time.monotonic() + 60
    while appliance.reembedding._run is not None and time.monotonic() < deadline:
        time.sleep(0.02)
    assert appliance.reembedding._run is None
    assert appliance.reembedding.changes() == []
    assert sorted(path.name for path in appliance.paths.index.iterdir()) == []
    assert_whole(appliance)
