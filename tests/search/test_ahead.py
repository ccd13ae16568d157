"""Parts of a search beside each other: the same hits, and nothing waits for a thread that is not free."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from appliance.config import Settings
from appliance.inference import HashEmbedder
from appliance.search import beside, search
from appliance.search.ahead import Ahead
from appliance.telemetry.stages import Stages
from appliance.types import Comparison, Query
from bench.corpus import COLLECTION, Corpus, ingested
from bench.filters import made_texts


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as made:
        yield made


def where() -> str:
    return threading.current_thread().name


def test_a_free_thread_takes_it(pool: ThreadPoolExecutor) -> None:
    stages = Stages()
    began = threading.Event()

    def work() -> str:
        began.set()
        return where()

    ahead = Ahead(work, pool)
    assert began.wait(10)
    assert ahead.result(stages, "lexical") != where()
    assert list(stages.ms) == ["lexical"]


def test_the_caller_does_what_no_thread_has_taken(pool: ThreadPoolExecutor) -> None:
    release = threading.Event()
    pool.submit(release.wait)
    try:
        assert Ahead(where, pool).result(Stages(), "lexical") == where()
        assert Ahead(where, None).result(Stages(), "lexical") == where()
    finally:
        release.set()


def test_who_would_only_wait_does_it_at_once_unless_it_is_begun(pool: ThreadPoolExecutor) -> None:
    release, begun, done = threading.Event(), threading.Event(), list[str]()

    def first() -> str:
        begun.set()
        release.wait()
        return where()

    def second() -> str:
        done.append(where())
        return where()

    one, two = Ahead(first, pool), Ahead(second, pool)
    begun.wait()
    one.hasten()
    two.hasten()
    two.hasten()
    assert done == [where()]
    release.set()
    assert one.result(Stages(), "lexical") != where()
    assert two.result(Stages(), "lexical") == where()
    assert done == [where()]
    late = Ahead(where, None)
    late.hasten()
    assert late.result(Stages(), "lexical") == where()


def test_an_error_reaches_the_caller(pool: ThreadPoolExecutor) -> None:
    def fail() -> None:
        raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        Ahead(fail, pool).result(Stages(), "lexical")


def test_one_thread_has_nobody_beside_it() -> None:
    assert beside(1) is None
    many = beside(2)
    assert many is not None
    many.shutdown()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    settings = Settings(data_dir=Path(tmp_path_factory.mktemp("data")), threads=1)
    with ingested(made_texts(3, 150), HashEmbedder(), settings, label="made") as opened:
        yield opened


@pytest.mark.parametrize("filters", [None, Comparison("year", ">", 2000), Comparison("year", ">", 9999)])
@pytest.mark.parametrize("text", ["tomato pump", 'the "annual report" of the board', "garden lease 2001-A"])
def test_the_hits_are_the_same(corpus: Corpus, pool: ThreadPoolExecutor, text: str, filters: Comparison | None) -> None:
    query = Query(text, COLLECTION, k=20, filters=filters)
    alone, together = search(query, corpus.served), search(query, replace(corpus.served, pool=pool))
    assert together.hits == alone.hits
    assert together.timings.keys() == alone.timings.keys()
