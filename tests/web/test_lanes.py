"""Which threads questions are computed in: few for those that compute, others for those that wait for the generator."""

import asyncio
import sys
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from appliance.cache.expected import AT_ONCE
from appliance.inference import HashEmbedder
from appliance.turns import SCANNING
from appliance.types import Matrix, Query, Rewrite
from appliance.web.flights import Flight
from appliance.web.lanes import Lane
from appliance.web.questions import WRITING
from tests.web.conftest import Gate, Service, until

MANY = 12


def scanning(service: Service) -> int:
    """The threads of a collection so small that every vector is compared."""
    return max(1, service.appliance.settings.threads // SCANNING)


@pytest.mark.slow
def test_questions_that_compute_have_few_threads(corpus: Service) -> None:
    gate, places = Gate(corpus.appliance), scanning(corpus)
    with ThreadPoolExecutor(MANY) as pool, corpus.client("reader") as client:
        asked = [pool.submit(client.post, "/query", json={"question": f"boiler {number}"}) for number in range(MANY)]
        assert until(lambda: corpus.appliance.asking.held_back == MANY - places)
        assert gate.begun == places
        page = client.get("/metrics").text
        assert f'rag_questions{{state="active"}} {places}\n' in page
        assert f'rag_questions{{state="queued"}} {MANY - places}\n' in page
        gate.open()
        assert {one.result().status_code for one in asked} == {200}
        assert gate.begun == MANY
        names = {thread.name for thread in threading.enumerate() if thread.name.startswith("scanning")}
    assert len(names) <= places
    assert until(lambda: corpus.appliance.asking.held_back == 0)


@pytest.mark.slow
def test_questions_that_walk_through_a_graph_have_turns_beside_each_other(open_service: Callable[..., Service]) -> None:
    service = open_service(exact_scan_below=1, threads=2)
    for number in range(3):
        service.add(f"note-{number}", f"The boiler of house {number} is serviced in May.")
    assert not service.appliance.asking.scans("default")
    gate, places = Gate(service.appliance), 2 + WRITING
    with ThreadPoolExecutor(MANY) as pool, service.client("reader") as client:
        asked = [pool.submit(client.post, "/query", json={"question": f"boiler {number}"}) for number in range(MANY)]
        assert until(lambda: service.appliance.asking.held_back == MANY - places)
        assert until(lambda: gate.begun == places)
        gate.open()
        assert {one.result().status_code for one in asked} == {200}


@pytest.mark.slow
def test_who_may_wait_for_the_generator_takes_none_of_their_places(corpus: Service) -> None:
    gate, places = Gate(corpus.appliance), scanning(corpus)
    with ThreadPoolExecutor(MANY + 1) as pool, corpus.client("reader") as client:
        asked = [pool.submit(client.post, "/query", json={"question": f"boiler {number}"}) for number in range(MANY)]
        assert until(lambda: corpus.appliance.asking.held_back == MANY - places)
        reworded = pool.submit(client.post, "/query", json={"question": "the boiler", "rewrite": "multi"})
        assert until(lambda: gate.begun == places + 1)
        gate.open()
        assert {one.result().status_code for one in [*asked, reworded]} == {200}


@pytest.mark.slow
def test_questions_that_are_held_back_count_as_a_crowd(corpus: Service) -> None:
    asking = corpus.appliance.asking
    assert not asking._crowded()
    asking.held_back = 3
    assert asking._crowded(), "no model reads passages while others wait"


@pytest.mark.slow
def test_what_waits_for_the_generator(corpus: Service) -> None:
    assert corpus.appliance.settling.waits(Query("boiler", rewrite=Rewrite.MULTI))
    assert not corpus.appliance.settling.waits(Query("boiler"))


@pytest.mark.slow
def test_questions_are_encoded_while_they_wait(corpus: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    runs: list[int] = []
    plain = HashEmbedder.embed_queries

    def counted(model: HashEmbedder, texts: Sequence[str]) -> Matrix:
        runs.append(len(texts))
        return plain(model, texts)

    monkeypatch.setattr(HashEmbedder, "embed_queries", counted)
    gate, places = Gate(corpus.appliance), scanning(corpus)
    with ThreadPoolExecutor(MANY) as pool, corpus.client("reader") as client:
        asked = [pool.submit(client.post, "/query", json={"question": f"boiler {number:02}"}) for number in range(MANY)]
        assert until(lambda: corpus.appliance.asking.held_back == MANY - places)
        assert until(lambda: sum(runs) >= AT_ONCE)  # nobody's turn has come yet
        gate.open()
        assert {one.result().status_code for one in asked} == {200}
    assert not corpus.appliance.cache.embeddings.expected._begun


def test_who_listens_is_woken_and_others_read_what_is_there() -> None:
    async def told() -> None:
        flight, news = Flight(), asyncio.Event()
        await asyncio.to_thread(flight.tell, b"first")
        assert flight.claims == [b"first"]
        flight.listeners.add(news)
        await asyncio.to_thread(flight.tell, b"second")
        await asyncio.wait_for(news.wait(), 10)
        assert flight.claims == [b"first", b"second"]

    asyncio.run(told())


def test_a_lane_has_no_more_threads_than_it_needs_and_may() -> None:
    async def work() -> None:
        lane, hold = Lane("few", 2), threading.Event()
        alone = lane.run(lambda: 1)
        assert await asyncio.wait_for(alone, 10) == 1
        assert named("few") == 1
        waiting = []
        for _ in range(5):
            waiting.append(lane.run(hold.wait))
            lane.working += 1
        assert (named("few"), lane.active, lane.held_back) == (2, 2, 3)
        hold.set()
        assert await asyncio.wait_for(asyncio.gather(*waiting), 10) == [True] * 5
        lane.close()
        assert named("few") == 0

    asyncio.run(work())


def test_what_fails_in_a_lane_fails_for_whoever_waits_and_the_thread_goes_on() -> None:
    async def work() -> None:
        lane = Lane("failing", 1)
        with pytest.raises(SystemExit):
            await asyncio.wait_for(lane.run(lambda: sys.exit(3)), 10)
        assert await asyncio.wait_for(lane.run(lambda: "on"), 10) == "on"
        lane.close()

    asyncio.run(work())


def test_a_lane_that_closes_ends_what_it_began_and_cancels_the_rest() -> None:
    async def work() -> None:
        lane, begun = Lane("closing", 1), threading.Event()
        hold = threading.Event()

        def first() -> str:
            begun.set()
            hold.wait(10)
            return "done"

        running, queued = lane.run(first), lane.run(lambda: "never")
        assert await asyncio.to_thread(begun.wait, 10)
        threading.Timer(0.05, hold.set).start()
        lane.close()
        assert await asyncio.wait_for(running, 10) == "done"
        with pytest.raises(asyncio.CancelledError):
            await queued
        with pytest.raises(RuntimeError):
            lane.run(lambda: "too late")

    asyncio.run(work())


def named(lane: str) -> int:
    """The threads of a lane."""
    return sum(thread.name.startswith(f"{lane}_") for thread in threading.enumerate())
