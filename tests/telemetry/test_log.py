"""The log: one JSON line an event, and nothing private in it, whatever a caller passes."""

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from appliance.telemetry import log
from appliance.telemetry.redaction import describe_exception, digest

KEY = "rag_Zk3vQ8mWq1nB7tYp5sLd9xCa2eFg4hJr"
SECRET_TEXT = "the merger closes on 4 May"


@pytest.fixture(autouse=True)
def _restore_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def last_event(capsys: pytest.CaptureFixture[str]) -> tuple[str, dict[str, object]]:
    line = capsys.readouterr().err.strip().splitlines()[-1]
    return line, json.loads(line)


@pytest.mark.parametrize(
    "fields",
    [
        {"question": SECRET_TEXT},
        {"text": SECRET_TEXT},
        {"Question": SECRET_TEXT},
        {"nested": {"quote": SECRET_TEXT}},
        {"items": [{"passage": SECRET_TEXT}]},
        {"claims": [SECRET_TEXT]},
        {"deep": {"a": {"b": {"c": {"d": {"e": SECRET_TEXT}}}}}},
        {"content": SECRET_TEXT.encode()},
        {"blob": SECRET_TEXT.encode()},
    ],
)
def test_private_text_is_never_logged(fields: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.get("test").info("something", **fields)
    line, event = last_event(capsys)
    assert event["event"] == "something"
    assert SECRET_TEXT not in line
    assert "merger" not in line


@pytest.mark.parametrize(
    "fields",
    [
        {"detail": f"key {KEY} is wrong"},
        {"api_key": KEY},
        {"Authorization": f"Bearer {KEY}"},
        {"x-api-key": KEY},
        {"nested": {"why": [KEY]}},
        {"detail": "local_" + KEY[4:]},
    ],
)
def test_keys_are_never_logged(fields: dict[str, object], capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.get("test").warning("something", **fields)
    line, _ = last_event(capsys)
    assert KEY not in line
    assert KEY[4:] not in line
    assert "redacted" in line


def test_what_is_not_private_stays(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    log.get("parts.x").info("request", route="/query", status=200, ms=1.25, principal="a1b2", hit=True, none=None)
    _, event = last_event(capsys)
    assert {
        "route": "/query",
        "status": 200,
        "ms": 1.25,
        "principal": "a1b2",
        "hit": True,
        "none": None,
    }.items() <= event.items()
    assert event["component"] == "parts.x"
    assert event["level"] == "info"


def test_questions_are_logged_only_when_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json", questions=True)
    log.get("test").info("request", question="where is it?", text=SECRET_TEXT)
    line, event = last_event(capsys)
    assert event["question"] == "where is it?"
    assert SECRET_TEXT not in line


def test_exceptions_show_where_and_hide_long_values(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    document_text = "It was a bright cold day in April, and the clocks were striking thirteen."
    try:
        try:
            raise KeyError(KEY)
        except KeyError as inner:
            raise ValueError(f"cannot parse {document_text!r}") from inner
    except ValueError:
        log.get("test").exception("failed")
    line, event = last_event(capsys)
    exception = event["exception"]
    assert isinstance(exception, dict)
    assert exception["type"] == "ValueError"
    assert exception["cause"]["type"] == "KeyError"
    assert "test_log.py" in exception["frames"][-1]
    assert "clocks" not in line
    assert KEY not in line


def test_library_records_come_as_json_and_redacted(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "json")
    logging.getLogger("uvicorn.error").warning("bad header %s", KEY)
    line, event = last_event(capsys)
    assert event["event"] == "library_log"
    assert event["component"] == "uvicorn.error"
    assert KEY not in line


def test_console_is_one_line_whatever_a_value_holds(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("info", "console")
    log.get("test").info("read", source="a\nb\x1b[31m")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "\x1b" not in lines[0]


def test_level_is_respected(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure("warning", "json")
    log.get("test").info("quiet")
    log.get("test").warning("loud")
    assert "quiet" not in (shown := capsys.readouterr().err)
    assert "loud" in shown


def test_digest_tells_texts_apart_and_repeats() -> None:
    assert digest("a") == digest("a")
    assert digest("a") != digest("b")
    assert digest("\ud800")


def test_endless_causes_are_cut() -> None:
    error = ValueError("0")
    for number in range(1, 50):
        outer = ValueError(str(number))
        outer.__cause__ = error
        error = outer
    described = describe_exception(error)
    depth = 0
    while "cause" in described:
        described, depth = described["cause"], depth + 1
    assert depth < 10
