"""A report of a failure once more, and shorter, where its receiver found it too large. Pure.

The sender is to be told (RFC 5321 §6.1), and a report has the null reverse-path: nobody hears of
its failure. So one that brought the whole message goes out again with some of its headers, and
one that brought those without them (RFC 6522 §3). What is then refused is refused for good.
"""

import re

from msgspec import Struct

from mxlab_services.message import (
    Envelope,
    Queued,
    Recipient,
    content_below_trace,
    header_block,
    message_key,
    received_count,
)
from mxlab_services.queue.dsn import SHORT, Fate, Reporter, some_headers

_BOUNDARY = re.compile(
    rb'^Content-Type: multipart/report;.*\r\n boundary="=_([^"\r\n]+)"', re.MULTILINE
)
_REFERENCE = re.compile(rb"^References: (<[^\r\n]+>)", re.MULTILINE)
_QUEUE_ID = re.compile(rb"^Queue id here: (\S+)", re.MULTILINE)
_RECIPIENT = re.compile(rb"^Final-Recipient: [\w-]+; ([^\r\n]+)", re.MULTILINE)
_WHOLE = {b"message/rfc822": b"text/rfc822-headers", b"message/global": b"message/global-headers"}
_TOO_MUCH = ("5.3.4", "5.2.3", "5.6.3")  # RFC 3463: the size, or 8-bit content


class Again(Struct, frozen=True):
    """A report to send in the place of another; `about`, `about_queue_id` and `recipients` are
    those of the message that it tells of."""

    envelope: Envelope
    content: bytes
    about: str
    about_queue_id: str
    recipients: tuple[str, ...]


def too_much(fate: Fate) -> bool:
    """Whether less of it might have been taken."""
    reply = fate.reply
    return fate.action == "failed" and (reply.code == 552 or reply.enhanced in _TOO_MUCH)


def shorter(report: Queued, content: bytes, reporter: Reporter) -> Again | None:
    """The report in `content` with less of the message; None where it is no report that was made
    here, or has nothing to leave out."""
    own = f"From: Mail Delivery System <MAILER-DAEMON@{reporter.hostname}>\r\n".encode()
    head = header_block(content) + b"\r\n"
    boundary = _BOUNDARY.search(head)
    if report.sender or own not in head or boundary is None or received_count(content) != 1:
        return None
    mark = b"--=_" + boundary[1]
    front, *parts = content_below_trace(content).split(mark)
    if len(parts) != 4:  # text, status, message, and the end
        return None
    kind = parts[2].removeprefix(b"\r\nContent-Type: ").partition(b"\r\n")[0]
    told = parts[2].partition(b"\r\n\r\n")[2]
    reference = _REFERENCE.search(head)
    about = reference[1].decode() if reference else message_key(told)
    queue_id = _QUEUE_ID.search(parts[0])
    kept = [front, *parts[:2]]
    if kind in _WHOLE:
        left = SHORT - sum(map(len, kept)) - len(parts[2].partition(b"\r\n\r\n")[0]) - 200
        if headers := some_headers(told, left):
            lines = parts[2].partition(b"\r\n\r\n")[0].replace(kind, _WHOLE[kind], 1)
            kept.append(lines + b"\r\n\r\n" + headers)
    short = mark.join([*kept, parts[3]]).replace(boundary[1], reporter.token.encode())
    to = tuple(Recipient(pending.address) for pending in report.pending)
    return Again(
        Envelope("", to, eightbit=not short.isascii(), smtputf8=report.smtputf8),
        short,
        about,
        queue_id[1].decode() if queue_id else "",
        tuple(found.decode("utf-8", "replace") for found in _RECIPIENT.findall(parts[1])),
    )
