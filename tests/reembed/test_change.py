"""A change of embedding model from beginning to end, with real models on the handbook's own text."""

import threading
import time
from pathlib import Path

import pytest

from appliance.app import Appliance
from appliance.errors import Conflict
from appliance.ingest.spec import IngestSpec
from appliance.reembed import AskedQuestion, ChangeSpec, run
from appliance.store import spaces
from appliance.types import Query
from tests.reembed.changes import (
    FP32,
    INT8,
    QUESTION,
    asked_all_the_while,
    assert_whole,
    change,
    ended,
    opened,
    serving,
    take_in,
)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_the_operators_own_questions_decide(appliance: Appliance) -> None:
    judged = tuple(
        AskedQuestion(text, source=source)
        for text, source in (
            ("Does it send documents to the internet?", "privacy.md"),
            ("What should I do after a power cut?", "data-directory-and-recovery.md"),
            ("How do I remove a document for ever?", "erasing-documents.md"),
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


@pytest.mark.slow
def test_documents_changed_and_deleted_during_the_change(
    appliance: Appliance, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "BATCH_CHUNKS", 16)
    monkeypatch.setattr(run, "FEW_CHUNKS", 4)
    folder = tmp_path / "more"
    folder.mkdir()
    (folder / "a.txt").write_text("The old harbour closes at nine.")
    take_in(appliance, folder)
    topics = ("limits.md", "privacy.md", "security.md", "overview.md")
    gone = [info.id for info in appliance.store.documents.list("default") if info.source.endswith(topics)]
    assert len(gone) == len(topics)
    with asked_all_the_while(appliance):
        status = appliance.reembedding.submit("default", FP32, ChangeSpec(tolerance=0.5))
        while appliance.reembedding.status(status.id).done < 16:
            time.sleep(0.01)
        (folder / "a.txt").write_text("The old harbour closes at ten.")
        (folder / "b.txt").write_text("The new harbour never closes.")
        ingested = appliance.ingestion.submit(IngestSpec(directory=folder, sync=True))
        appliance.delete_documents(gone)
        status = ended(appliance, status)
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


@pytest.mark.slow
def test_a_question_in_flight_finishes_with_its_model(appliance: Appliance) -> None:
    with appliance.collections.serving("default") as before:
        assert change(appliance, FP32).state == "SUCCESS"
        found = appliance.asking.as_served(Query(QUESTION), before)
        assert found.hits
        sentences = appliance.store.documents.sentences(
            "default", [found.hits[0].chunk.id], before.embedder.fingerprint
        )
        fresh = appliance.store.documents.sentences("default", [found.hits[0].chunk.id])
    assert serving(appliance) == FP32
    assert before.embedder.name == INT8
    [old], [new] = sentences.values(), fresh.values()
    assert (old.vectors != new.vectors).any()


@pytest.mark.slow
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
