"""Traces and their spans as objects: what they cost in memory, and what comes too late for them."""

import gc

from appliance.telemetry.stages import Stages, stage
from appliance.telemetry.traces import NEWEST, Traces
from appliance.telemetry.tracing import CURRENT, carried, current_trace, note, record


def _asked(traces: Traces, number: int) -> None:
    """A question with a few steps, one of which fails."""
    trace = traces.begin(f"{number:016x}")
    token = trace.here()
    stages = Stages()
    try:
        with stage("settle"), stages.stage("cache"):
            note(kept=False)
        record("receive", 0.0, 1.0, bytes=3)
        with stages.stage("answer"):
            raise ValueError
    except ValueError:
        pass
    finally:
        CURRENT.reset(token)
        trace.end("/query", 200, {"ms": 1.0}, 2.0)
        trace.let_go()


def test_traces_that_nobody_keeps_any_more_are_freed_at_once() -> None:
    traces = Traces()
    gc.collect()
    gc.disable()
    try:
        for number in range(3 * NEWEST):
            _asked(traces, number)
        assert gc.collect() == 0, "rings of objects wait for a collection that stops everybody"
    finally:
        gc.enable()
    kept = traces.list()[0]
    assert [one.name for one in kept.spans] == ["/query", "settle", "cache", "receive", "answer"]
    assert [one.error for one in kept.spans] == ["", "", "", "", "ValueError"]
    assert [one.parent for one in kept.spans] == [-1, 0, 1, 0, 0]
    assert kept.spans[2].attributes == {"kept": False}


def test_what_comes_after_the_end_of_a_trace_is_left_out_and_harms_nobody() -> None:
    traces = Traces()
    trace = traces.begin("00000000000000ab")
    token = trace.here()

    def late() -> tuple[object, object]:
        with stage("search"):
            note(hits=1)
            record("lexical", 0.0, 1.0)
        current = CURRENT.get()
        assert current is not None
        return current_trace(), current.query_id

    work = carried(late)
    CURRENT.reset(token)
    trace.end("/query", 200, {}, 1.0)
    trace.let_go()
    assert work() == (None, "00000000000000ab"), "a line of the log still knows whose it is"
    assert [one.name for one in trace.spans] == ["/query"]
