"""A message whole, taken apart for a reader: header, text, HTML, attachments. Pure.

A message comes from anywhere: nothing in it can fail this, and no name of an attachment is a path.
"""

import email
import email.errors
import email.policy
import re
from email.message import EmailMessage
from typing import cast

import msgspec

from mxlab.visible import visible

MOST_TEXT = 1_000_000  # characters of a text that are shown
_UNSAFE = re.compile(r"[^\w.@+ -]|^\.+|\.+$")


class PartView(msgspec.Struct, frozen=True):
    """One part: `number` names it, `name` is a file name that is safe anywhere."""

    number: int
    media_type: str
    name: str
    size: int
    attachment: bool


class HeaderView(msgspec.Struct, frozen=True):
    """One field, decoded (RFC 2047) and unfolded."""

    name: str
    value: str


class LetterView(msgspec.Struct, frozen=True):
    """A message. `html`: whether a part of it is HTML, which has a place of its own."""

    headers: list[HeaderView]
    text: str
    html: bool
    parts: list[PartView]


def taken_apart(content: bytes) -> LetterView:
    """The message for a reader."""
    parsed = _parsed(content)
    parts = _leaves(parsed)
    text = next((_text(p) for p in parts if p.get_content_type() == "text/plain"), "")
    return LetterView(
        [HeaderView(visible(name), _value(parsed, name, n)) for name, n in _fields(parsed)],
        text[:MOST_TEXT],
        html_of(content) is not None,
        [_view(number, part) for number, part in enumerate(parts)],
    )


def html_of(content: bytes) -> str | None:
    """The first HTML part, if there is one that is no attachment."""
    for part in _leaves(_parsed(content)):
        if part.get_content_type() == "text/html" and not part.is_attachment():
            return _text(part)
    return None


def part_of(content: bytes, number: int) -> tuple[PartView, bytes] | None:
    """That part and what is in it, decoded; None where there is no such part."""
    parts = _leaves(_parsed(content))
    if not 0 <= number < len(parts):
        return None
    return _view(number, parts[number]), _payload(parts[number])


def _parsed(content: bytes) -> EmailMessage:
    return email.message_from_bytes(content, policy=email.policy.default)


def _leaves(message: EmailMessage) -> list[EmailMessage]:
    """The parts that are no containers, in order; a message in a message is one part."""
    found: list[EmailMessage] = []
    left = [message]
    while left:
        part = left.pop()
        if part.get_content_maintype() == "multipart" and part.is_multipart():
            left += reversed(cast("list[EmailMessage]", part.get_payload()))
        else:
            found.append(part)
    return found


def _view(number: int, part: EmailMessage) -> PartView:
    return PartView(
        number,
        part.get_content_type(),
        safe_name(_file_name(part)) or f"part-{number}",
        len(_payload(part)),
        _is_attachment(part),
    )


def _is_attachment(part: EmailMessage) -> bool:
    shown = part.get_content_type() in ("text/plain", "text/html")
    return part.is_attachment() or not shown or bool(_file_name(part))


def _file_name(part: EmailMessage) -> str:
    try:
        return part.get_filename() or ""
    except (LookupError, ValueError, TypeError, AttributeError, email.errors.MessageError):
        return ""


def safe_name(name: str) -> str:
    """A file name that no system takes for anything else: no path, no control character, not
    hidden; at most 100 characters. Empty where nothing is left."""
    last = re.split(r"[/\\]", name)[-1]
    return _UNSAFE.sub("_", visible(last).strip())[:100].strip("_ ")


def _payload(part: EmailMessage) -> bytes:
    if part.get_content_type() == "message/rfc822" and part.is_multipart():
        return cast("list[EmailMessage]", part.get_payload())[0].as_bytes(
            policy=email.policy.compat32
        )
    found = part.get_payload(decode=True)
    return found if isinstance(found, bytes) else b""


def _text(part: EmailMessage) -> str:
    charset = part.get_content_charset("utf-8")
    try:
        return _payload(part).decode(charset, "replace")
    except LookupError:  # an encoding that nobody knows
        return _payload(part).decode("latin-1")


def _fields(message: EmailMessage) -> list[tuple[str, int]]:
    return [(name, n) for n, (name, _) in enumerate(message.raw_items())]


def _value(message: EmailMessage, name: str, number: int) -> str:
    raw = str(list(message.raw_items())[number][1])
    try:
        text = str(email.policy.default.header_fetch_parse(name, raw))
    except (LookupError, ValueError, TypeError, AttributeError, email.errors.MessageError):
        text = raw  # no parser understands it
    return visible(" ".join(text.split()))
