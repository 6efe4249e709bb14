"""Delivery status notifications: RFC 3464 reports in a multipart/report (RFC 6522). Pure.

The same input gives the same bytes: ids and times are passed in. Lines end in CRLF, and nothing in
a reply or an address can break out of its field. Whether a notification is due at all is decided by
`wanted`: never about a message with the null reverse-path (RFC 5321 §6.1), never against NOTIFY.
"""

import re
import sys
from collections.abc import Iterable, Sequence
from typing import Literal

from msgspec import Struct

from mxlab_services.clock import rfc5322_date
from mxlab_services.message import NO_MESSAGE_ID, Envelope, Queued, Recipient, header_block
from mxlab_services.reply import Reply

Action = Literal["failed", "delayed", "delivered", "relayed"]
RETURN_LIMIT = 50_000  # bytes; a larger original comes back as its headers unless RET=FULL
SHORT = 64_000  # bytes that any server takes (RFC 5321 §4.5.3.1.7): a report without the message
_STATUS = 56_000  # bytes of them about recipients; what is more makes another report
_WISH = {"failed": "FAILURE", "delayed": "DELAY", "delivered": "SUCCESS", "relayed": "SUCCESS"}


class Fate(Struct, frozen=True):
    """What became of one recipient; `host` is the MTA that said so, or empty; `tried` is the lab
    time of the last attempt, 0 if there was none."""

    recipient: Recipient
    action: Action
    reply: Reply
    host: str = ""
    tried: float = 0.0


class Reporter(Struct, frozen=True):
    """Who reports: its name, and a token for the Message-ID and the boundary; `now` is lab time."""

    hostname: str
    token: str
    now: float


def wanted(sender: str, fate: Fate) -> bool:
    """Whether `sender` is to hear of this fate (RFC 3461 §4.1; without NOTIFY: not of success)."""
    if not sender:
        return False
    if not fate.recipient.notify:
        return fate.action in ("failed", "delayed")
    return _WISH[fate.action] in fate.recipient.notify.upper().split(",")


def is_silent(recipient: Recipient) -> bool:
    """Whether the sender wants to hear nothing of a failure for this recipient (RFC 3461 §4.1)."""
    return bool(recipient.notify) and "FAILURE" not in recipient.notify


def batches(fates: Iterable[Fate]) -> list[list[Fate]]:
    """The fates of one kind, divided so that a report about each batch is short (see SHORT)."""
    found: list[list[Fate]] = [[]]
    size = 0
    for fate in fates:
        lines = [*_recipient_fields(fate, 0.0), _told(fate)]
        more = sum(len(line.encode("utf-8", "replace")) + 2 for line in lines)
        if found[-1] and size + more > _STATUS:
            found.append([])
            size = 0
        found[-1].append(fate)
        size += more
    return found


def notification(
    about: Queued,
    content: bytes,
    fates: Sequence[Fate],
    reporter: Reporter,
    retry_until: float | None = None,
    room: int = sys.maxsize,
) -> tuple[Envelope, bytes]:
    """The report about `fates` to the sender of `about`, and its envelope.

    `content` is the message as it was queued; `retry_until` (lab time) stands in a report of delay.
    `room`: bytes that the report may have. RET=FULL is a wish (RFC 3461 §4.3): where the whole
    message does not fit the report brings its headers, as many as fit, since the sender is to be
    told (RFC 5321 §6.1).
    """
    whole = fates[0].action == "failed" and (
        about.ret == "FULL" or (about.ret != "HDRS" and len(content) <= RETURN_LIMIT)
    )
    if whole:
        made = _report(about, content, fates, reporter, retry_until, content)
        if len(made[1]) <= room:
            return made
    bare = _report(about, content, fates, reporter, retry_until, None)
    left = min(SHORT, room) - len(bare[1]) - _PART
    headers = some_headers(content, left)
    return _report(about, content, fates, reporter, retry_until, None, headers) if headers else bare


_PART = 200  # bytes for what stands around a part


def some_headers(content: bytes, most: int) -> bytes:
    """The header fields from the top of a message that have room in `most` bytes, each whole."""
    block = header_block(content) + b"\r\n"
    if len(block) <= most:
        return block
    ends = [
        found.end()
        for found in re.finditer(rb"\r\n(?![ \t])", block[: max(0, most)])
        if found.end() <= most
    ]
    return block[: ends[-1]] if ends else b""


def _report(
    about: Queued,
    content: bytes,
    fates: Sequence[Fate],
    reporter: Reporter,
    retry_until: float | None,
    whole: bytes | None,
    headers: bytes = b"",
) -> tuple[Envelope, bytes]:
    """The report with the whole message, some of its headers, or (RFC 6522 §3) neither."""
    action, returned = fates[0].action, headers if whole is None else whole
    fields = _status_fields(about, fates, reporter, retry_until)
    text = _explanation(about, fates, reporter, retry_until)
    addresses = (about.sender, *(fate.recipient.address for fate in fates))
    worldly = not all(address.isascii() for address in addresses) or (
        about.smtputf8 and not header_block(content).isascii()
    )
    eightbit = worldly or not returned.isascii()
    boundary = f"=_{reporter.token}"
    head = _head(about, action, reporter, boundary, eightbit)
    kinds = _KINDS[worldly]
    encoding = ("Content-Transfer-Encoding: 8bit",) if eightbit else ()
    parts = [
        (f"text/plain; charset={kinds.charset}", _lines(text, kinds.charset)),
        (kinds.status, _lines(fields, kinds.charset)),
    ]
    if returned:
        parts.append((kinds.headers if whole is None else kinds.message, returned))
    mark = f"--{boundary}\r\n".encode()
    body = b"".join(
        mark
        + _lines([f"Content-Type: {kind}", *encoding, ""], "us-ascii")
        + part
        + (b"" if part.endswith(b"\r\n") else b"\r\n")
        for kind, part in parts
    )
    envelope = Envelope("", (Recipient(about.sender),), eightbit=eightbit, smtputf8=worldly)
    return envelope, (_lines([*head, ""], kinds.charset) + body + f"--{boundary}--\r\n".encode())


class _Kinds(Struct, frozen=True):
    """The media types of a report's parts: RFC 3464's, or RFC 6533's for addresses in UTF-8."""

    charset: str
    status: str
    message: str
    headers: str


_KINDS = {
    False: _Kinds("us-ascii", "message/delivery-status", "message/rfc822", "text/rfc822-headers"),
    True: _Kinds(
        "utf-8", "message/global-delivery-status", "message/global", "message/global-headers"
    ),
}
_SUBJECTS: dict[Action, str] = {
    "failed": "Undelivered Mail Returned to Sender",
    "delayed": "Delayed Mail (still being retried)",
    "delivered": "Successful Mail Delivery Report",
    "relayed": "Successful Mail Delivery Report",
}


def _head(
    about: Queued, action: Action, reporter: Reporter, boundary: str, eightbit: bool
) -> list[str]:
    """The report's own header; RFC 3834 §3.1 asks for Auto-Submitted and the references."""
    head = [
        f"Date: {rfc5322_date(reporter.now)}",
        f"From: Mail Delivery System <MAILER-DAEMON@{reporter.hostname}>",
        f"To: {_clean(about.sender)}",
        f"Subject: {_SUBJECTS[action]}",
        f"Message-ID: <{reporter.token}@{reporter.hostname}>",
        "Auto-Submitted: auto-replied",
        "MIME-Version: 1.0",
        f'Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="{boundary}"',
    ]
    if eightbit:
        head.append("Content-Transfer-Encoding: 8bit")
    if about.key.isascii() and not about.key.endswith(NO_MESSAGE_ID):
        head += [f"In-Reply-To: {_clean(about.key)}", f"References: {_clean(about.key)}"]
    return head


def _status_fields(
    about: Queued, fates: Iterable[Fate], reporter: Reporter, retry_until: float | None
) -> list[str]:
    """The fields of RFC 3464 §2.2 and §2.3, a block per recipient."""
    fields = [f"Reporting-MTA: dns; {reporter.hostname}"]
    if about.envid:
        fields.append(f"Original-Envelope-Id: {_clean(about.envid)}")
    fields.append(f"Arrival-Date: {rfc5322_date(about.arrived)}")
    for fate in fates:
        fields += _recipient_fields(fate, retry_until)
    return fields


def _recipient_fields(fate: Fate, retry_until: float | None) -> list[str]:
    recipient, reply = fate.recipient, fate.reply
    fields = [""]
    if recipient.orcpt:
        fields.append(f"Original-Recipient: {_clean(recipient.orcpt)}")
    kind = "rfc822" if recipient.address.isascii() else "utf-8"
    fields += [
        f"Final-Recipient: {kind}; {_clean(recipient.address)}",
        f"Action: {fate.action}",
        f"Status: {status_of(fate)}",
    ]
    if fate.host:
        fields.append(f"Remote-MTA: dns; {_clean(fate.host)}")
    if str(reply):
        kind = "smtp" if reply.code else "x-network"
        fields.append(f"Diagnostic-Code: {kind}; {_clean(str(reply))}")
    if fate.tried:
        fields.append(f"Last-Attempt-Date: {rfc5322_date(fate.tried)}")
    if fate.action == "delayed" and retry_until is not None:
        fields.append(f"Will-Retry-Until: {rfc5322_date(retry_until)}")
    return fields


def status_of(fate: Fate) -> str:
    """The status code (RFC 3463) of a fate, of the class that its action asks for."""
    wanted_class = {"failed": "5", "delayed": "4"}.get(fate.action, "2")
    if fate.reply.enhanced.startswith(f"{wanted_class}."):
        return fate.reply.enhanced
    if fate.action == "delayed" and not fate.reply.code:
        return "4.4.1"  # no answer from host
    return f"{wanted_class}.0.0"


def _explanation(
    about: Queued, fates: Sequence[Fate], reporter: Reporter, retry_until: float | None
) -> list[str]:
    opening = {
        "failed": ["Your message could not be delivered to the recipients below."],
        "delayed": [
            "Your message could not be delivered yet to the recipients below.",
            "You need not send it again: this system keeps trying.",
        ],
        "delivered": ["Your message was delivered to the recipients below."],
        "relayed": ["Your message was handed on; the next system sends no such reports."],
    }[fates[0].action]
    lines = [f"This is the mail system at {reporter.hostname}.", "", *opening]
    if retry_until is not None:
        lines.append(f"It gives up at {rfc5322_date(retry_until)}.")
    lines.append("")
    lines += map(_told, fates)
    return [*lines, "", f"Queue id here: {about.queue_id}"]


def _told(fate: Fate) -> str:
    said = f"host {fate.host} said: " if fate.host else ""
    return _clean(f"<{fate.recipient.address}>: {said}{fate.reply}")


def _clean(text: str) -> str:
    """`text` without line breaks or control characters, and short enough for one line."""
    return "".join(c if c.isprintable() else " " for c in text)[:900]


def _lines(lines: Iterable[str], charset: str) -> bytes:
    return "".join(f"{line}\r\n" for line in lines).encode(charset, "replace")
