"""A message: its envelope, its place in a queue, and what its content says of it. Pure."""

import hashlib
import re

from msgspec import Struct

_TRACE_HEADER = re.compile(rb"(?:received|return-path|delivered-to):", re.IGNORECASE)


_MESSAGE_ID = re.compile(
    rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[^>\r\n]+>|[^\s]+)", re.IGNORECASE | re.MULTILINE
)


_SUBJECT = re.compile(rb"^subject:[ \t]*(.*(?:\r\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)


class Recipient(Struct, frozen=True):
    """A forward-path with its delivery-notification wishes (RFC 3461 §4.1, §4.2).

    `notify` is empty, NEVER, or a list of SUCCESS, FAILURE, DELAY joined by commas.
    """

    address: str
    notify: str = ""
    orcpt: str = ""


class Envelope(Struct, frozen=True):
    """The envelope of RFC 5321 §2.3.1 with the parameters that relays must carry along.

    `sender` is the reverse-path without brackets, empty for the null reverse-path. `ret` (FULL,
    HDRS or empty) and `envid` are RFC 3461's.
    """

    sender: str
    recipients: tuple[Recipient, ...]
    eightbit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""


class Pending(Struct, frozen=True):
    """A recipient that is still to be delivered. Times are lab time.

    `reason` is the last reply; `attempts` counts tries that reached for a host; `tried` is when the
    last of them ended, 0 if there was none.
    """

    recipient: Recipient
    attempts: int = 0
    next_attempt: float = 0.0
    reason: str = ""
    tried: float = 0.0

    @property
    def address(self) -> str:
        return self.recipient.address


class Queued(Struct, frozen=True):
    """A message in the spool, without its content.

    `key` names the message across the lab, `digest` its content (see below); `size` is bytes.
    `held` messages are not tried until released; `warned`: its sender was told of the delay.
    `pending` is never empty.
    """

    queue_id: str
    key: str
    digest: str
    sender: str
    size: int
    arrived: float
    pending: tuple[Pending, ...]
    eightbit: bool = False
    smtputf8: bool = False
    ret: str = ""
    envid: str = ""
    held: bool = False
    warned: bool = False


class Origin(Struct, frozen=True):
    """Where a message came from: what the edge saw of the session that brought it.

    `peer` is the peer's IP address, `helo` the name it gave, `protocol` the `with` word of the
    Received field (ESMTP, ESMTPS, SMTP, UTF8SMTP: RFC 5321 §4.4, RFC 3848, RFC 6531 §3.7.3).
    `batch` is the name under which the client was told to submit it.
    """

    peer: str
    helo: str = ""
    protocol: str = "local"
    batch: str = ""


def header_block(content: bytes) -> bytes:
    """The header section, without the empty line that ends it (RFC 5322 §2.1)."""
    return content.partition(b"\r\n\r\n")[0]


def content_below_trace(content: bytes) -> bytes:
    """The content without the Received, Return-Path and Delivered-To fields at its head.

    Those are what MTAs prepend (RFC 5321 §4.4); everything below must not change in transit.
    """
    rest = content
    while _TRACE_HEADER.match(rest):
        end = rest.find(b"\r\n")
        while end != -1 and rest[end + 2 : end + 3] in (b" ", b"\t"):  # a folded field goes on
            end = rest.find(b"\r\n", end + 2)
        if end == -1:
            return b""
        rest = rest[end + 2 :]
    return rest


def content_digest(content: bytes) -> str:
    """SHA-256 (hex) of the content below its trace fields: equal at every hop, or corrupted."""
    return hashlib.sha256(content_below_trace(content)).hexdigest()


NO_MESSAGE_ID = "@no-message-id>"  # how the name ends of a message that has none


def message_key(content: bytes) -> str:
    """The lab-wide name of a message: its Message-ID, or, without one, a name from its digest."""
    return message_id(header_block(content)) or name_of(content_digest(content))


def message_id(head: bytes) -> str:
    """The Message-ID in a header section; empty where there is none."""
    found = _MESSAGE_ID.search(head)
    return found[1].decode("utf-8", "replace") if found else ""


def name_of(digest: str) -> str:
    """The lab-wide name of a message that has no Message-ID."""
    return f"<{digest[:16]}{NO_MESSAGE_ID}"


def subject_of(content: bytes) -> str:
    """The text of the Subject field as it stands there, unfolded; empty where there is none."""
    found = _SUBJECT.search(header_block(content))
    return found[1].replace(b"\r\n", b"").decode("utf-8", "replace").strip() if found else ""


def received_count(content: bytes) -> int:
    """The number of Received fields: hops so far (RFC 5321 §6.3)."""
    return len(re.findall(rb"^received:", header_block(content), re.IGNORECASE | re.MULTILINE))
