"""The small parts that ingestion stands on: names, listing, the bounded channel, watching a folder, version."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidRequest, TooManyRequests
from appliance.ingest.breaker import Stopped
from appliance.ingest.channel import Channel, Crew
from appliance.ingest.listing import list_files
from appliance.ingest.names import clean_name, path_from_bytes, source_of
from appliance.ingest.progress import Progress
from appliance.ingest.spec import IngestSpec, SpooledFile, check_spec, decode_spec, encode_spec
from appliance.ingest.version import intake_version
from appliance.ingest.watch import is_followed, watch

PATHS = st.binary(min_size=1, max_size=12).filter(lambda path: b"\x00" not in path)
TRICKY = st.text("\\xef0a9é\udce9", min_size=1, max_size=10).map(lambda text: text.encode("utf-8", "surrogateescape"))


@given(st.lists(PATHS | TRICKY, min_size=2, max_size=20, unique=True))
def test_no_two_paths_share_a_source(paths: list[bytes]) -> None:
    sources = [source_of(path) for path in paths]
    assert len(set(sources)) == len(paths)
    for source in sources:
        source.encode("utf-8")


def test_plain_names_stay_as_they_are() -> None:
    for name in ("/a/b c.txt", "/é/文書.pdf", "/C:\\Users", "/a\\xb"):
        assert source_of(name.encode()) == name
    assert source_of(b"/caf\xe9") == "/caf\\xe9"


@given(st.text(max_size=30))
def test_uploaded_names_are_harmless(name: str) -> None:
    cleaned = clean_name(name)
    cleaned.encode("utf-8")
    assert not cleaned.startswith("/")
    assert ".." not in cleaned.split("/")
    assert all(character.isprintable() for character in cleaned)


@pytest.mark.slow
@given(
    st.builds(
        IngestSpec,
        collection=st.just("default"),
        directory=st.none() | (PATHS | TRICKY).map(path_from_bytes),
        files=st.lists(st.builds(SpooledFile, st.just("a"), PATHS.map(path_from_bytes), st.integers(0, 9))).map(tuple),
        sync=st.booleans(),
        metadata=st.dictionaries(st.just("x"), st.integers(0, 5) | st.just("y") | st.just(["z"]) | st.just(1.5)),
        label=st.none() | st.just("manuals"),
    )
)
def test_specifications_survive_storage(spec: IngestSpec) -> None:
    assert decode_spec(encode_spec(spec)) == spec


def test_listing_is_ordered_and_ends_when_told(tmp_path: Path) -> None:
    for name in ("b/2.txt", "b/1.txt", "a/3.txt", "z.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    names = [listed.source for listed in list_files(tmp_path, "docs", lambda: False)]
    assert names == ["docs/z.txt", "docs/a/3.txt", "docs/b/1.txt", "docs/b/2.txt"]
    assert list(list_files(tmp_path, None, lambda: True)) == []


def test_the_data_directory_of_an_appliance_is_never_taken_in(tmp_path: Path) -> None:
    data = tmp_path / "home/rag-data"
    (data / "spool").mkdir(parents=True)
    for name in ("appliance.db", "lock", "server.json", "spool/upload.txt"):
        (data / name).write_text("secret")
    (tmp_path / "home/letter.txt").write_text("x")
    (tmp_path / "home/key.txt").symlink_to(data / "server.json")
    assert [listed.source for listed in list_files(tmp_path / "home", "docs", lambda: False)] == ["docs/letter.txt"]
    assert not is_followed(tmp_path, str(data / "spool/upload.txt"))
    assert is_followed(tmp_path, str(tmp_path / "home/letter.txt"))
    (tmp_path / "link").symlink_to(data)
    for path in (data, data / "server.json", data / "spool", tmp_path / "home/key.txt", tmp_path / "link"):
        with pytest.raises(InvalidRequest) as refused:
            check_spec(IngestSpec(directory=path))
        assert refused.value.code == "own_data"


def test_listing_of_a_very_deep_folder_says_so(tmp_path: Path) -> None:
    deep = os.fsencode(tmp_path)
    for _ in range(205):
        deep += b"/d"
        os.mkdir(deep)  # noqa: PTH102 - bytes
    found = list(list_files(tmp_path, None, lambda: False))
    assert [listed.error for listed in found] == ["is nested too deep"]


def test_the_channel_bounds_what_is_under_way() -> None:
    channel: Channel[int] = Channel(10)
    passed: list[int] = []

    def produce() -> None:
        for number in range(5):
            channel.put(number, 4)
            passed.append(number)
        channel.close()

    thread = threading.Thread(target=produce)
    thread.start()
    until(lambda: passed == [0, 1])
    assert channel.get() == 0
    time.sleep(0.05)
    assert passed == [0, 1]  # taken is not done with
    channel.release(4)
    until(lambda: passed == [0, 1, 2])
    taken = []
    while (number := channel.get()) is not None:
        taken.append(number)
        channel.release(4)
    assert taken == [1, 2, 3, 4]
    thread.join()


def test_an_entry_beyond_the_limit_goes_alone() -> None:
    channel: Channel[str] = Channel(10)
    channel.put("huge", 1000)
    waiting = threading.Thread(target=lambda: channel.put("next", 1))
    waiting.start()
    assert channel.get() == "huge"
    assert channel.get(wait=False) is None
    channel.release(1000)
    assert channel.get() == "next"
    waiting.join()


def test_an_aborted_channel_frees_everyone_and_the_first_failure_is_raised() -> None:
    channel: Channel[int] = Channel(1)
    crew = Crew(channel.abort)
    channel.put(1, 1)
    crew.start("waits", lambda: channel.put(2, 1))

    def fail() -> None:
        raise ValueError("the cause")

    crew.start("fails", fail)
    with pytest.raises(ValueError, match="the cause"):
        crew.join()
    with pytest.raises(Stopped):
        channel.get()


@pytest.mark.slow
def test_progress_rate() -> None:
    progress = Progress()
    assert progress.rate_per_s is None
    end = time.monotonic() + 0.6
    files = 0
    while time.monotonic() < end:
        time.sleep(0.02)
        progress.settle(1, 0)
        files += 1
    rate = progress.rate_per_s
    assert rate is not None
    assert 0.5 * files / 0.6 < rate < 2 * files / 0.6


def test_progress_within_a_large_document() -> None:
    progress = Progress()
    progress.settle(10, 0)
    time.sleep(0.3)
    progress.advance(0.001, 30)
    assert progress.rate_per_s is not None
    assert progress.rate_per_s > 10  # the long view: small files before it count too
    assert progress.chunks_per_s is not None
    assert 20 < progress.chunks_per_s < 110
    assert progress.partial == 0.001


def test_the_version_changes_with_all_that_matters() -> None:
    assert len({intake_version(200, {}), intake_version(201, {}), intake_version(200, {"year": 1})}) == 3
    assert intake_version(200, {"a": 1, "b": 2}) == intake_version(200, {"b": 2, "a": 1})


@pytest.mark.slow
def test_watch_tells_of_bursts_and_tells_again_when_refused(tmp_path: Path) -> None:
    told: list[int] = []
    stop = threading.Event()

    def on_change(count: int) -> None:
        told.append(count)
        if len(told) == 1:
            raise TooManyRequests("full")

    thread = threading.Thread(target=watch, args=(tmp_path, on_change, stop))
    thread.start()
    time.sleep(0.5)
    (tmp_path / ".hidden.txt").write_text("x")
    for number in range(20):
        (tmp_path / f"{number}.txt").write_text("x")
    until(lambda: len(told) == 1)
    (tmp_path / "more.txt").write_text("x")
    until(lambda: len(told) == 2)
    stop.set()
    thread.join(10)
    assert not thread.is_alive()
    assert told[0] == 20
    assert told[1] > 20


def test_what_watching_follows(tmp_path: Path) -> None:
    assert is_followed(tmp_path, f"{tmp_path}/a/b.txt")
    assert not is_followed(tmp_path, f"{tmp_path}/a/.git/b.txt")
    assert not is_followed(tmp_path, f"{tmp_path}/CVS/b.txt")
    assert not is_followed(tmp_path, f"{tmp_path}/a/.b.txt")


def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    end = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)
