"""Mail: one message (RFC 5322) as headers and text; its attachments are members of their own.

Mbox files hold many.
"""

import email
import email.policy
import re
from collections.abc import Iterator
from email.message import EmailMessage
from email.utils import getaddresses, parsedate_to_datetime

from appliance.errors import DocumentError
from appliance.ingest.readers.draft import Draft, canonical, clean_metadata
from appliance.ingest.readers.encoding import decode
from appliance.ingest.readers.html import write_html
from appliance.ingest.readers.source import SourceFile
from appliance.ingest.readers.text import write_text
from appliance.types import ReadDocument

_FROM_LINE = re.compile(rb"(?m)^From [^\n]*\n(?=[!-9;-~]+:)")
_QUOTED_FROM = re.compile(rb"(?m)^>(>*From )")
_MAX_PARTS = 500


def read_message(file: SourceFile) -> ReadDocument:
    """Subject as heading and title; From, To, Cc and Date as a paragraph and as metadata.

    Then the text (HTML only when there is no plain text).
    """
    message = _parse(file.data)
    draft = file.draft()
    subject = _header(message, "subject")
    draft.heading(subject, 1)
    fields = {
        "subject": subject,
        "from": _addresses(message, "from"),
        "to": _addresses(message, "to"),
        "cc": _addresses(message, "cc"),
        "date": _date(message),
        "message_id": _header(message, "message-id"),
        "attachments": [name for name, _ in _attachments(message)],
    }
    lines = [f"{name.capitalize()}: {', '.join(v) if isinstance(v, list) else v}" for name, v in fields.items()
             if v and name in ("from", "to", "cc", "date")]  # fmt: skip
    draft.paragraph("\n".join(lines))
    _write_bodies(draft, message)
    return draft.build(file.name, file.media_type, clean_metadata(fields), subject)


def attachments(data: bytes) -> Iterator[tuple[str, bytes]]:
    """File name and bytes of each attachment that may be a document (pictures, sounds and films are left out)."""
    for name, part in _attachments(_parse(data)):
        if part.get_content_maintype() in ("image", "audio", "video"):
            continue
        if part.get_content_type() == "message/rfc822":
            inner = part.get_payload(0) if part.is_multipart() else None
            yield name, inner.as_bytes() if isinstance(inner, EmailMessage) else b""
        else:
            yield name, _bytes(part)


def mbox_messages(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Messages of an mbox file, named by position ("message-0001.eml").

    Raises DocumentError torn when it has none.
    """
    starts = list(_FROM_LINE.finditer(data))
    if not starts:
        raise DocumentError("the mailbox holds no message", code="torn", hint="Check that the file is a complete mbox.")
    for number, match in enumerate(starts, 1):
        end = starts[number].start() if number < len(starts) else len(data)
        yield f"message-{number:04d}.eml", _QUOTED_FROM.sub(rb"\1", data[match.end() : end])


def _parse(data: bytes) -> EmailMessage:
    message = email.message_from_bytes(data, policy=email.policy.default)
    if not isinstance(message, EmailMessage) or not message.keys():
        raise DocumentError(
            "the message has no headers", code="torn", hint="Check that the file is a complete message."
        )
    return message


def _write_bodies(draft: Draft, message: EmailMessage) -> None:
    """Every inline text part; of alternatives the plain one, unless it is empty."""
    for part in _inline_parts(message):
        text = decode(_bytes(part), part.get_content_charset() or "")
        if part.get_content_subtype() == "html":
            write_html(draft, text)
        else:
            write_text(draft, text)


def _inline_parts(message: EmailMessage, depth: int = 0) -> Iterator[EmailMessage]:
    if depth > 20:
        raise DocumentError(
            "the message is nested too deep", code="nested_too_deep", hint="Save its parts on their own."
        )
    if not message.is_multipart():
        if message.get_content_maintype() == "text" and not message.is_attachment():
            yield message
        return
    children = [part for part in message.iter_parts() if isinstance(part, EmailMessage) and not part.is_attachment()]
    if message.get_content_subtype() == "alternative":
        plain = [part for part in children if part.get_content_type() == "text/plain" and _bytes(part).strip()]
        children = plain or children[-1:]
    if message.get_content_type() == "message/rfc822":
        return
    for part in children:
        yield from _inline_parts(part, depth + 1)


def _attachments(message: EmailMessage) -> list[tuple[str, EmailMessage]]:
    found: list[tuple[str, EmailMessage]] = []
    pending = [message]
    while pending and len(found) < _MAX_PARTS:
        part = pending.pop(0)
        nested = part.get_content_type() == "message/rfc822"
        if part is not message and (
            nested or part.is_attachment() or (part.get_filename() and part.get_content_maintype() != "text")
        ):
            found.append((_file_name(part, len(found) + 1), part))
        elif part.is_multipart():
            pending += [child for child in part.iter_parts() if isinstance(child, EmailMessage)][:_MAX_PARTS]
    return found


def _file_name(part: EmailMessage, number: int) -> str:
    name = canonical(str(part.get_filename() or "")).replace("/", "_").replace("\n", " ").strip()
    return name or f"attachment-{number}" + (".eml" if part.get_content_type() == "message/rfc822" else "")


def _bytes(part: EmailMessage) -> bytes:
    payload = part.get_payload(decode=True)
    return payload if isinstance(payload, bytes) else b""


def _header(message: EmailMessage, name: str) -> str:
    return " ".join(canonical(" ".join(_values(message, name)[:1])).split())


def _values(message: EmailMessage, name: str) -> list[str]:
    """The decoded values of a header.

    As they stand in the file where the parser of the standard library fails on them.
    """
    try:
        return [str(value) for value in message.get_all(name, [])[:50]]
    except (ValueError, IndexError, TypeError, AttributeError, KeyError):
        return [str(value) for key, value in message.raw_items() if key.lower() == name][:50]


def _addresses(message: EmailMessage, name: str) -> list[str]:
    pairs = getaddresses([" ".join(value.split()) for value in _values(message, name)])
    return [f"{person} <{address}>" if person and address else person or address for person, address in pairs][:100]


def _date(message: EmailMessage) -> str:
    """ISO 8601, or nothing when the header cannot be understood."""
    try:
        return parsedate_to_datetime(_header(message, "date")).isoformat()
    except (ValueError, TypeError, IndexError):
        return ""
