"""The values that pass between the MTA's parts, and the protocols that have several makers."""

import hashlib
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

_TRACE_HEADER = re.compile(rb"(?:received|return-path|delivered-to):", re.IGNORECASE)
_MESSAGE_ID = re.compile(
    rb"^message-id:[ \t]*(?:\r?\n[ \t]+)?(<[^>\r\n]+>|[^\s]+)", re.IGNORECASE | re.MULTILINE
)
_SUBJECT = re.compile(rb"^subject:[ \t]*(.*(?:\r\n[ \t].*)*)", re.IGNORECASE | re.MULTILINE)


class Reply(Struct, frozen=True):
    """An SMTP reply: `code` (RFC 5321 §4.2), `enhanced` (RFC 3463; may be empty) and text.

    A relay uses code 0 where no reply was read (refused, timeout, connection lost): the text says
    which, in the words of the network.
    """

    code: int
    enhanced: str
    text: str

    def __str__(self) -> str:
        return " ".join(part for part in (str(self.code or ""), self.enhanced, self.text) if part)


class Delivered(Struct, frozen=True):
    """250 to the final dot was read from `host`; `remote_id` is its queue id if it told one.

    `carries_dsn` is False where the recipient's wishes (RFC 3461) ended here: the host has no DSN.
    """

    reply: Reply
    host: str
    remote_id: str = ""
    carries_dsn: bool = True


class Deferred(Struct, frozen=True):
    """Not now. `unknown`: the dot was sent and no reply was read, so a copy may exist at `host`.

    `dead`: no host of the destination answered, so the next message need not try either.
    """

    reply: Reply
    host: str = ""
    unknown: bool = False
    dead: bool = False


class Failed(Struct, frozen=True):
    """Never: a 5yz reply from `host`, or a permanent failure found while routing (no host)."""

    reply: Reply
    host: str = ""


Result = Delivered | Deferred | Failed


class Decision(Struct, frozen=True):
    """One decision on the way to a route; `section` is the standard's section that explains it."""

    text: str
    section: str


class Target(Struct, frozen=True):
    """One host to try. `addresses` in the order in which to try them."""

    host: str
    preference: int
    addresses: tuple[str, ...]


class Route(Struct, frozen=True):
    """The hosts for a domain, in the order in which to try them (RFC 5321 §5.1).

    Without targets, `failure` says whether to wait (Deferred) or to give up (Failed).
    """

    domain: str
    targets: tuple[Target, ...]
    decisions: tuple[Decision, ...]
    discarded: tuple[str, ...] = ()
    failure: Deferred | Failed | None = None


class Router(Protocol):
    """Finds the hosts for a domain. `message` is the message on whose behalf, for the events."""

    async def route(self, domain: str, message: str | None = None) -> Route: ...


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


class Accept(Protocol):
    """How the edge, the client's submissions and notifications enter the queue."""

    async def __call__(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        """Prepend one Received field, make the message durable, and answer its queue id.

        Raises SpoolFull or SpoolError; then nothing was stored.
        """
        ...


class Job(Struct, frozen=True):
    """One delivery attempt of one message to recipients of one domain."""

    queue_id: str
    key: str
    envelope: Envelope
    content: bytes


class Relay(Protocol):
    """Sends by SMTP. Keeps connections open for reuse while there is a backlog."""

    async def deliver(self, route: Route, job: Job) -> Mapping[str, Result]:
        """Walk the route's hosts in one attempt; one result per recipient address.

        Never raises for a mail failure. Emits relay.tried for each host and relay.outcome for each
        recipient's fate at each host that was asked.
        """
        ...

    def forget(self) -> None:
        """Ask every host again, however silent it was a moment ago (an operator's flush)."""
        ...

    async def close(self) -> None:
        """QUIT on the idle connections."""
        ...


class Witness(Protocol):
    """The client's own record of its transactions, kept apart from the event stream.

    `invoked` is on record before MAIL is sent.
    """

    def invoked(self, message: str, recipients: Sequence[str], host: str) -> None: ...

    def ended(
        self,
        message: str,
        recipient: str,
        host: str,
        outcome: Literal["acked", "refused", "unknown"],
        reply: str,
    ) -> None: ...


class Settled(Struct, frozen=True):
    """What an attempt changed for one message: recipients that are `done` leave the spool, those
    in `deferred` stay with their new counters. Recipients named in neither stay as they are."""

    queue_id: str
    done: tuple[str, ...] = ()
    deferred: tuple[Pending, ...] = ()
    warned: bool | None = None  # None: unchanged


class Destination(Struct, frozen=True):
    """All that waits for one domain. `next_attempt` (lab time) is the earliest of its recipients'
    that are not held, or None where all are."""

    domain: str
    recipients: int
    next_attempt: float | None


class Spool(Protocol):
    """Durable storage for queued messages, and the index by which they are found again.

    Each method that changes something returns only once its change is durable. `SpoolFull` and
    `SpoolError` mean that nothing has changed. No method's cost grows with the number of messages
    that it does not answer.
    """

    async def put(self, message: Queued, content: bytes) -> None:
        """Store a message with all its recipients, or nothing at all."""
        ...

    async def settle(self, settled: Settled, extra: Sequence[tuple[Queued, bytes]] = ()) -> bool:
        """Record outcomes; store `extra` (notifications about them) in the same transaction.

        Answers True when no recipient is left and the message is gone from the spool.
        """
        ...

    async def hold(self, queue_id: str, held: bool) -> None:
        """Hold or release. Raises KeyError when there is no such message."""
        ...

    async def requeue(self, now: float, *, domain: str = "", queue_id: str = "") -> int:
        """Make recipients due at `now`: one message's, or all or a domain's but for held messages.

        Counts messages.
        """
        ...

    async def remove(self, queue_id: str) -> None:
        """Delete a message unsent. Raises KeyError when there is no such message."""
        ...

    async def get(self, queue_id: str) -> Queued:
        """Raises KeyError when there is no such message."""
        ...

    async def content(self, queue_id: str) -> bytes:
        """The content as it was put. Raises KeyError when there is no such message."""
        ...

    async def destinations(self) -> Sequence[Destination]:
        """The domains for which something waits, by name."""
        ...

    async def due(self, domain: str, now: float, limit: int) -> Sequence[Queued]:
        """Messages with recipients at `domain` due at `now`, not held, longest due first.

        `pending` holds only the recipients that are due there.
        """
        ...

    async def arrived_before(
        self, at: float, limit: int, *, unwarned: bool = False
    ) -> Sequence[Queued]:
        """Messages that arrived at or before `at`, oldest first; with `unwarned`, only those whose
        sender has not been told of the delay."""
        ...

    async def oldest(self, *, unwarned: bool = False) -> float | None:
        """When the oldest message arrived (of those unwarned), or None."""
        ...

    async def count(self) -> int:
        """Messages in the spool."""
        ...

    def load(self, after: str = "") -> AsyncIterator[Queued]:
        """The messages with a queue id above `after`, oldest first, read in pages."""
        ...

    async def close(self) -> None: ...


class Scratch(Protocol):
    """Bytes put aside, and no promise (see `scratch`). `write` and `read` raise SpoolFull or
    SpoolError."""

    def write(self, data: bytes | bytearray) -> None: ...

    def read(self) -> bytes:
        """All that was written."""
        ...

    def close(self) -> None:
        """Forget it. May be called again."""
        ...


class Stored(Struct, frozen=True):
    """A message that lies in a mailbox; `name` is unique within the mailbox."""

    address: str
    name: str
    content: bytes
    at: float


class Mailboxes(Protocol):
    """Where a primary delivers."""

    async def deliver(self, address: str, content: bytes, at: float) -> str:
        """Store durably and answer the name. Raises SpoolFull or SpoolError."""
        ...

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        """The messages of one mailbox or, for None, of all, oldest first."""
        ...


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


def message_key(content: bytes) -> str:
    """The lab-wide name of a message: its Message-ID, or, without one, a name from its digest."""
    found = _MESSAGE_ID.search(header_block(content))
    if found:
        return found[1].decode("utf-8", "replace")
    return f"<{content_digest(content)[:16]}@no-message-id>"


def subject_of(content: bytes) -> str:
    """The text of the Subject field as it stands there, unfolded; empty where there is none."""
    found = _SUBJECT.search(header_block(content))
    return found[1].replace(b"\r\n", b"").decode("utf-8", "replace").strip() if found else ""


def received_count(content: bytes) -> int:
    """The number of Received fields: hops so far (RFC 5321 §6.3)."""
    return len(re.findall(rb"^received:", header_block(content), re.IGNORECASE | re.MULTILINE))
