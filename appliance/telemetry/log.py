"""The structured log: one event a line on standard error, JSON or console, with what must stay private taken out.

Event names are snake_case; everything else is key=value. Questions, document text and keys never leave in clear:
redaction.py replaces fields that could hold them, whatever the caller did, and cuts API keys from strings.
"""

import contextlib
import logging
import sys
import time
from collections import deque
from collections.abc import Mapping, MutableMapping
from functools import lru_cache
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from appliance.telemetry.redaction import describe_exception, redact, without_keys
from appliance.telemetry.steps import CURRENT

MOST_WAITING = 200  # lines

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


def _exceptions(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    error = _exception_of(event.pop("exc_info", None))
    if error is not None:
        event["exception"] = describe_exception(error)
    return event


def _exception_of(info: Any) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple) and len(info) == 3 and isinstance(info[1], BaseException):
        return info[1]
    return sys.exc_info()[1] if info else None


def _redaction(questions: bool) -> Processor:
    def process(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        exception = event.pop("exception", None)  # already cut down, but nested deeper than values may be
        redact(event, questions=questions)
        if exception is not None:
            event["exception"] = without_keys(exception)
        return event

    return process


def _render_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode("utf-8", "replace")


def _render_console(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    head = f"{event.pop('at', '')} {event.pop('level', ''):<7} {event.pop('event', '')}"
    exception = event.pop("exception", None)
    fields = " ".join(f"{name}={_one_line(value)}" for name, value in event.items())
    return f"{head}  {fields}".rstrip() + (_indented(exception) if exception else "")


def _one_line(value: Any) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value, enc_hook=str).decode("utf-8", "replace")
    return ascii(text) if any(not character.isprintable() for character in text) else text


def _indented(exception: Mapping[str, Any]) -> str:
    lines = [
        f"    {exception['type']}: {_one_line(exception['message'])}",
        *(f"      at {frame}" for frame in exception["frames"]),
    ]
    below = exception.get("cause")
    return "\n" + "\n".join(lines) + (_indented(below) if below else "")


def _of_what(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """The question or the ingestion task that the line is about, whichever thread writes it."""
    place = CURRENT.get()
    if place is not None:
        event.setdefault("task" if len(place.query_id) == 32 else "query_id", place.query_id)
    return event


def _component(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    event["component"] = getattr(logger, "name", "")
    return event


def _foreign(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Records of other libraries: their message becomes a field, cut like everything else."""
    return {"event": "library_log", "message": str(event.pop("event", "")), **event}


@lru_cache(maxsize=1)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


def _iso(at: float) -> str:
    return f"{_second(int(at))}.{int(at % 1 * 1e6):06d}Z"


def _write(lines: str) -> None:
    stream: TextIO = sys.stderr
    try:
        stream.write(lines)
        stream.flush()
    except (ValueError, OSError):  # closed at interpreter exit, or its reader is gone: nowhere left to say so
        return


_LINE = msgspec.json.Encoder(enc_hook=str)


@lru_cache(maxsize=64)
def _end(component: str, event: str) -> bytes:
    """What stands in a line between the fields, of which there are some, and the time."""
    return b"," + _LINE.encode({"event": event, "level": "info", "component": component})[1:-1]


class Often:
    """A way to the log for lines that are written thousands of times a second: a tenth of the cost of the other.

    For fields that hold nothing private. Lines wait for `flush`, which words them, and come before any line of the
    other way.
    """

    def __init__(self) -> None:
        self._lines: deque[tuple[str, str, Mapping[str, Any], float]] = deque()  # bounded by MOST_WAITING
        self._json, self._level = False, logging.INFO

    def configure(self, level: int, *, json: bool) -> None:
        """As the log is set up."""
        self.flush()
        self._level, self._json = level, json

    def info(self, component: str, event: str, fields: Mapping[str, Any]) -> bool:
        """Write a line; False when it does not wait for `flush`, because it is written, or not wanted at this level.

        `fields`, at least one, stay as they are from now on.
        """
        if not self._json or "question" in fields:
            get(component).info(event, **fields)
            return False
        if self._level > logging.INFO:
            return False
        self._lines.append((component, event, fields, time.time()))
        if len(self._lines) >= MOST_WAITING:
            self.flush()
        return True

    def flush(self) -> None:
        """Write the lines that wait. From any thread."""
        lines: list[bytes] = []
        with contextlib.suppress(IndexError):
            while True:
                component, event, fields, now = self._lines.popleft()
                lines.append(
                    b'%b%b,"at":"%b"}\n' % (_LINE.encode(fields)[:-1], _end(component, event), _iso(now).encode())
                )
        if lines:
            _write(b"".join(lines).decode())


OFTEN = Often()


class _StandardError:
    """Standard error as it is now, not as it was when a logger was first used."""

    def __init__(self, name: str = "") -> None:
        self.name = name

    def msg(self, line: str) -> None:
        OFTEN.flush()
        _write(line + "\n")

    debug = info = warning = error = critical = fatal = log = exception = msg


class _LibraryRecords(logging.Handler):
    """Takes records of the standard logging module (uvicorn, litestar, …) into the same log."""

    def __init__(self, chain: list[Processor]) -> None:
        super().__init__()
        self._chain = chain

    def emit(self, record: logging.LogRecord) -> None:
        event: MutableMapping[str, Any] = {
            "event": record.getMessage(),
            "component": record.name,
            "level": record.levelname.lower(),
            "exc_info": record.exc_info,
        }
        for process in self._chain:
            event = process(None, record.levelname.lower(), event)  # type: ignore[assignment]
        _StandardError().msg(str(event))


def configure(level: str = "info", format: str = "auto", *, questions: bool = False) -> None:
    """Set up the log of this process. `format` is json, console or auto (console on a terminal).

    `questions` lets the field `question` through in clear; nothing else of a question or document ever is.
    """
    console = format == "console" or (format == "auto" and sys.stderr.isatty())
    OFTEN.configure(_LEVELS[level], json=not console)
    render = _render_console if console else _render_json
    last: list[Processor] = [
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"), _exceptions, _redaction(questions), render
    ]  # fmt: skip
    structlog.configure(
        processors=[_of_what, structlog.processors.add_log_level, _component, *last],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=_StandardError,
        cache_logger_on_first_use=False,
    )
    root = logging.getLogger()
    root.handlers[:] = [_LibraryRecords([_foreign, _of_what, *last])]
    root.setLevel(max(_LEVELS[level], logging.WARNING))


def get(name: str) -> Any:
    """The logger of one module; safe to call at import, before `configure`."""
    return structlog.get_logger(name)
