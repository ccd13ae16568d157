"""What must never be logged in clear, taken out of log events: questions, document text, secrets, API keys."""

import hashlib
import re
import secrets
import traceback
from collections.abc import Mapping, MutableMapping
from typing import Any

PRIVATE_TEXT = frozenset(
    {
        "question",
        "query",
        "text",
        "quote",
        "answer",
        "content",
        "prompt",
        "passage",
        "passages",
        "messages",
        "body",
        "claim",
        "claims",
        "sentence",
        "chunk",
        "snippet",
        "completion",
    }
)
SECRETS = frozenset(
    {"key", "api_key", "x_api_key", "authorization", "password", "secret", "token", "cookie", "local_key"}
)

_KEY = re.compile(r"\b(?:rag|local)_[A-Za-z0-9_-]{32,}")  # names of metrics and files are shorter
_LONG_QUOTED = re.compile(r"'[^']{33,}'|\"[^\"]{33,}\"")
_LONGEST_VALUE = 2000  # characters of one value
_LONGEST_MESSAGE = 300  # characters of an exception's own message
_DEPTH = 4
_SALT = secrets.token_bytes(16)


def digest(text: str) -> str:
    """A short keyed hash (BLAKE2b): tells texts apart within one process and cannot be looked up elsewhere."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=6, key=_SALT).hexdigest()


def redact(event: MutableMapping[str, Any], *, questions: bool = False) -> MutableMapping[str, Any]:
    """The same event without private text (digest and length instead), secrets and keys. Changes it in place."""
    for name, value in event.items():
        event[name] = _clean(name, value, questions, 0)
    return event


def _clean(name: str, value: Any, questions: bool, depth: int) -> Any:
    if value is None or isinstance(value, (bool, int, float)):
        return value
    lower = name.lower().replace("-", "_")
    if lower in SECRETS:
        return "[redacted]"
    if lower in PRIVATE_TEXT and not (questions and lower == "question"):
        return _veil(value)
    if isinstance(value, str):
        return _KEY.sub("rag_[redacted]", value[:_LONGEST_VALUE])
    if depth >= _DEPTH:
        return f"[{type(value).__name__}]"
    if isinstance(value, Mapping):
        return {str(key): _clean(str(key), item, questions, depth + 1) for key, item in list(value.items())[:100]}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_clean("", item, questions, depth + 1) for item in list(value)[:100]]
    if isinstance(value, (bytes, bytearray, memoryview)):
        return f"[{len(value)} bytes]"
    return _KEY.sub("rag_[redacted]", str(value)[:_LONGEST_VALUE])


def _veil(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return f"[{digest(text)}, {len(text)} characters]"


def describe_exception(error: BaseException, depth: int = 0) -> dict[str, Any]:
    """Type, shortened message and frames (file:line function) of `error`; no source lines, no local values."""
    message = _LONG_QUOTED.sub("'…'", str(error))[:_LONGEST_MESSAGE]
    frames = [
        f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)[-30:]
    ]
    found: dict[str, Any] = {"type": type(error).__qualname__, "message": message, "frames": frames}
    cause = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    if cause is not None and depth < _DEPTH:
        found["cause"] = describe_exception(cause, depth + 1)
    return found


def without_keys(exception: Mapping[str, Any]) -> dict[str, Any]:
    """A described exception whose messages hold no API keys."""
    found = dict(exception)
    found["message"] = _KEY.sub("rag_[redacted]", str(found.get("message", "")))
    if "cause" in found:
        found["cause"] = without_keys(found["cause"])
    return found
