"""The compiled steps: what they put down, from which threads, and what they refuse."""

import threading
import time
from collections.abc import Iterator

import pytest

from appliance.telemetry import metrics
from appliance.telemetry.stages import Stages, stage
from appliance.telemetry.steps import CURRENT, MOST_STEPS, Place, Steps, note, record
from appliance.telemetry.traces import Traces
from appliance.telemetry.tracing import Trace, carried


@pytest.fixture
def trace() -> Iterator[Trace]:
    made = Trace("00112233445566aa")
    token = made.here()
    yield made
    CURRENT.reset(token)


def counted(name: str) -> float:
    series = metrics.STAGE_SECONDS.labels(name)
    return sum(sample.value for sample in series._child_samples() if sample.name == "_count")


def test_a_stage_takes_its_time_by_the_clock_of_everybody_else(trace: Trace) -> None:
    stages = Stages()
    before = time.perf_counter()
    with stages.stage("search"), stages.stage("embed"):
        pass
    after = time.perf_counter()
    _, search, embed = trace.spans
    assert before <= search.began <= embed.began <= embed.ended <= search.ended <= after
    assert list(stages.ms) == ["embed", "search"]
    assert stages.ms["search"] == (search.ended - search.began) * 1000
    with stages.stage("embed"):
        pass
    assert stages.ms["embed"] > (embed.ended - embed.began) * 1000, "what runs twice is added up"


def test_attributes_are_for_the_step_under_way(trace: Trace) -> None:
    note(before=1)
    with stage("search"):
        note(hits=3, nothing=None, text="x" * 300)
        note(hits=4, also=True)
        record("lexical", 1.0, 2.0, share=0.5, nothing=None)
    note(after=2)
    root, search, lexical = trace.spans
    assert root.attributes == {"before": 1, "after": 2}
    assert search.attributes == {"hits": 4, "text": "x" * 200, "also": True}
    assert (lexical.parent, lexical.attributes) == (1, {"share": 0.5})
    line = {"ms": 1}
    trace.end("/query", 200, line, 3.0)
    assert trace.spans[0].attributes == {"before": 1, "after": 2, "ms": 1}
    assert line == {"ms": 1}, "the log has it, too"


def test_an_error_is_the_status_of_every_step_it_leaves(trace: Trace) -> None:
    class Refused(Exception):
        code = "too_many"

    class Odd(Exception):
        @property
        def code(self) -> str:
            with stage("fuse"):  # steps are added while the error is looked at
                return "odd" * trace.hold_count

    for error in (Refused(), ValueError("x"), Odd()):
        with pytest.raises(type(error)), stage("search"):
            raise error
    assert [one.error for one in trace.spans if one.name == "search"] == ["too_many", "ValueError", "odd"]
    with pytest.raises(OSError, match="x"), stage("search"):
        raise OSError("x")
    assert [one.parent for one in trace.spans] == [-1, 0, 0, 0, 0, 0]


def test_every_thread_has_a_place_of_its_own(trace: Trace) -> None:
    ready, go = threading.Event(), threading.Event()

    def beside() -> None:
        with stage("lexical"):
            ready.set()
            go.wait(10)
            note(side=True)

    with stage("search"):
        thread = threading.Thread(target=carried(beside))
        thread.start()
        ready.wait(10)
        with stage("dense"):
            go.set()
            thread.join()
            note(side=False)
    found = {one.name: (one.parent, dict(one.attributes)) for one in trace.spans}
    assert found["lexical"] == (1, {"side": True})
    assert found["dense"] == (1, {"side": False})


def test_what_is_too_much_is_summed_up_and_counted() -> None:
    traces = Traces()
    before = counted("fetch")
    trace = traces.begin("00112233445566aa")
    token = trace.here()
    with stage("search"):
        for _ in range(MOST_STEPS):
            with stage("fetch"):
                pass
        record("fetch", 1.0, 2.5, hits=1)
    CURRENT.reset(token)
    trace.end("/query", 200, {}, time.perf_counter())
    trace.let_go()
    assert len(trace) == MOST_STEPS
    spans, seconds = trace.left_out["fetch"]
    assert spans == 3
    assert 1.5 <= seconds < 2
    assert traces.count() == 1
    assert counted("fetch") - before == MOST_STEPS + 1
    assert traces.count() == 1, "nothing is counted twice"
    assert counted("fetch") - before == MOST_STEPS + 1


def test_steps_are_counted_without_a_trace_and_while_a_long_task_runs() -> None:
    before = counted("ingest.list")
    with stage("ingest.list"):
        pass
    assert counted("ingest.list") - before == 1
    trace = Trace("0" * 32)
    trace.live = True
    token = trace.here()
    with stage("ingest.list"):
        pass
    record("ingest.list", 1.0, 2.0)
    CURRENT.reset(token)
    assert counted("ingest.list") - before == 3
    trace.count()
    assert counted("ingest.list") - before == 3


def test_a_trace_that_is_not_kept_is_counted() -> None:
    traces = Traces()
    before = counted("receive")
    trace = traces.begin("00112233445566aa")
    token = trace.here()
    record("receive", 1.0, 2.0)
    CURRENT.reset(token)
    trace.kept = False
    trace.end("/documents", 200, {}, time.perf_counter())
    trace.let_go()
    assert traces.list() == []
    assert counted("receive") - before == 1


def test_names_that_are_no_stage_and_wrong_types_are_refused(trace: Trace) -> None:
    with pytest.raises(TypeError):
        stage(1)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        stage("embed", [])  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        Place("00112233445566aa")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no such step"):
        Place(trace, 7)
    with pytest.raises(TypeError):
        record("embed", "now", 1.0)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        trace.end("/query", 200, None, 1.0)  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="has not begun"):
        Steps.__new__(Steps).end("/query", 200, {}, 1.0)
    with stage("tea"):
        pass
    with pytest.raises(AssertionError, match="tea"):
        trace.count()
