"""The event vocabulary: everything a node tells the lab, each kind declared once, here.

A node writes one JSON line per event to its standard output. `seq` counts from 0 at each start of
the node, without gaps, so that a lost line shows; across nodes events are ordered only along one
message. `message` is the lab-wide name of the message (see `message.message_key`) that the event
belongs to, or null.

Long: one table of event kinds, and their form on the wire.
"""

from collections.abc import Callable
from typing import ClassVar, Literal, Protocol

import msgspec

from mxlab_services.clock import Clock


class Body(msgspec.Struct, frozen=True):
    """The data of one event. Subclasses declare a kind and its fields."""

    kind: ClassVar[str]


class NodeReady(Body, frozen=True):
    """The node has bound its sockets, recovered its spool and serves. `addresses` are its own;
    `software` is the product that it runs and its version, where it is not our own MTA."""

    kind = "node.ready"
    role: Literal["dns", "mx", "client", "peer"]
    listening: list[str]
    queued: int = 0
    addresses: list[str] = []
    software: str = ""


class OutOfFiles(Body, frozen=True):
    """A listener accepts nothing for a moment, since the process may open no more than `limit`
    files. Told once, until there were enough for a while."""

    kind = "node.out-of-files"
    listener: str
    limit: int
    reason: str


class NodeStopping(Body, frozen=True):
    """The node was asked to stop and stops in good order."""

    kind = "node.stopping"
    reason: str


class NodeErased(Body, frozen=True):
    """The node lost all that it had, because it was asked to. What it told before belongs to
    another story."""

    kind = "node.erased"


class ConfigChanged(Body, frozen=True):
    """An operator changed the setting `key` of the running node, as JSON text from `old` to `new`.
    Secrets cannot be changed so, and are in no event."""

    kind = "node.config-changed"
    key: str
    old: str
    new: str


class OpenedConnection(msgspec.Struct, frozen=True):
    """A TCP connection that a conversation went over: from our port `own` (0: none came to be) to
    the server's `port`. `reset`: the server did not close it, but reset it."""

    own: int
    port: int
    reset: bool = False


class DnsQuery(Body, frozen=True):
    """The DNS server answered one query.

    `port` is the asker's. `asked` and `replied` are the messages in base64, as they went over the
    wire; of a long transfer the first ones, `left_out` bytes of it are not there. `delay`: real
    seconds by which a fault held the answer back. All of these are empty in old recordings.
    """

    kind = "dns.query"
    name: str
    type: str
    rcode: str
    answers: list[str]
    transport: Literal["udp", "tcp"]
    peer: str
    truncated: bool = False
    port: int = 0
    asked: str = ""
    replied: list[str] = []
    left_out: int = 0
    delay: float = 0.0


class DnsZone(Body, frozen=True):
    """A zone was changed at run time."""

    kind = "dns.zone"
    origin: str
    serial: int
    added: list[str]
    removed: list[str]


class DnsTransfer(Body, frozen=True):
    """A secondary took a zone from its primary (RFC 5936). `why`: start, notify, refresh, retry."""

    kind = "dns.transfer"
    origin: str
    primary: str
    serial: int
    records: int
    why: str


class DnsTransferFailed(Body, frozen=True):
    """A secondary asked a primary for a zone and has no newer copy than before. It serves the one
    that it has until `expires` (lab time), null where it has none."""

    kind = "dns.transfer-failed"
    origin: str
    primary: str
    reason: str
    expires: float | None


class DnsExpired(Body, frozen=True):
    """A secondary heard from no primary for the SOA's expire: it answers SERVFAIL from now on."""

    kind = "dns.expired"
    origin: str
    serial: int


class DnsNotified(Body, frozen=True):
    """A primary told a secondary that a zone has changed (RFC 1996). `reply`: its rcode, or that
    there was no answer."""

    kind = "dns.notify"
    origin: str
    serial: int
    secondary: str
    reply: str


class Lookup(Body, frozen=True):
    """The MTA looked a name up (RFC 5321 §5.1) while routing a message."""

    kind = "lookup"
    name: str
    type: str
    status: str
    answers: list[str]
    cached: bool


class Routed(Body, frozen=True):
    """The hosts for a domain, best first, and each one that was discarded with the reason."""

    kind = "route"
    domain: str
    targets: list[str]
    discarded: list[str]
    reason: str
    section: str


class Accepted(Body, frozen=True):
    """A message is durable in the spool; this node is now responsible for it (RFC 5321 §6.1).

    Written after the commit and before the 250. `digest` covers the content below the trace
    headers that MTAs prepend (see `mta.types.content_digest`). `subject` is the field's text, and
    `batch` the name under which the client was told to submit it; both may be empty. `silent`: the
    recipients of whose failure the sender wants to hear nothing (NOTIFY, RFC 3461 §4.1).
    """

    kind = "message.accepted"
    queue_id: str
    sender: str
    recipients: list[str]
    size: int
    digest: str
    peer: str
    helo: str = ""
    protocol: str = "local"
    subject: str = ""
    batch: str = ""
    silent: list[str] = []


class Refused(Body, frozen=True):
    """The edge refused a command with a 4yz or 5yz reply."""

    kind = "smtp.refused"
    verb: str
    reply: str
    peer: str
    recipient: str | None = None


class AttemptStarted(Body, frozen=True):
    """The queue begins delivery attempt number `attempt` (from 1) of these recipients."""

    kind = "attempt.started"
    queue_id: str
    domain: str
    recipients: list[str]
    attempt: int


class Tried(Body, frozen=True):
    """One host was tried within an attempt.

    `stage` is the last one reached: connect, greeting, ehlo, starttls, mail, rcpt, data, dot, done;
    or skipped: the host was passed over, because it was silent a moment ago.
    `seconds` is real time. `dialog` holds the conversation, a line each, with `C: ` or `S: ` in
    front; message data is elided. `preference` is -1 where nobody told it, and `dialog` empty: of a
    product that a log tells of. `domain` is the attempt's, as it is compared: one message may be
    tried for several at a time. `times` has the real seconds from the beginning to each line of
    `dialog`, and `connections` those that it went over. These three are empty in old recordings.
    """

    kind = "relay.tried"
    queue_id: str
    host: str
    address: str
    preference: int
    stage: str
    reply: str
    seconds: float
    dialog: list[str]
    domain: str = ""
    times: list[float] = []
    connections: list[OpenedConnection] = []


class Outcome(Body, frozen=True):
    """What became of one recipient in one transaction with `host`.

    delivered: 250 to the final dot was read. deferred: 4yz, or no host answered, or cut before the
    dot. failed: 5yz. unknown: the dot was sent and no reply was read (a copy may exist there).
    `host` is empty where no host was reached.
    """

    kind = "relay.outcome"
    queue_id: str
    recipient: str
    outcome: Literal["delivered", "deferred", "failed", "unknown"]
    reply: str
    host: str = ""
    remote_id: str = ""


class Deferred(Body, frozen=True):
    """The recipients stay queued until `next_attempt` (lab time)."""

    kind = "queue.deferred"
    queue_id: str
    recipients: list[str]
    attempt: int
    next_attempt: float
    reason: str


class Removed(Body, frozen=True):
    """No recipient of the message is left in this queue; its spool entry is gone."""

    kind = "queue.removed"
    queue_id: str


class Flushed(Body, frozen=True):
    """Somebody asked for an attempt now. `scope` is all, a domain, or a queue id."""

    kind = "queue.flushed"
    scope: str
    messages: int


class EtrnSent(Body, frozen=True):
    """This node asked `host` to start its queue for `domain` (RFC 1985).

    `reply` is the answer, or what happened instead; the others are as in relay.tried.
    """

    kind = "etrn.sent"
    host: str
    domain: str
    reply: str
    dialog: list[str]
    address: str = ""
    times: list[float] = []
    connections: list[OpenedConnection] = []


class HandedIn(Body, frozen=True):
    """A program in this node tried to hand a message in at its submission server (RFC 6409), for
    the how manieth time (`attempt`). `user`: as whom it authenticated itself, empty: as nobody.

    `stage`, `reply`, `seconds`, `dialog`, `times` and `connections` are as in relay.tried, with the
    stage auth; no password is in them. `batch` is the name under which it was told to; it may be
    empty.
    """

    kind = "submission.tried"
    host: str
    address: str
    user: str
    sender: str
    recipients: list[str]
    attempt: int
    stage: str
    reply: str
    seconds: float
    dialog: list[str]
    batch: str = ""
    times: list[float] = []
    connections: list[OpenedConnection] = []


class Edited(Body, frozen=True):
    """An operator held, released, requeued, deleted or expired a message."""

    kind = "queue.edited"
    queue_id: str
    action: Literal["hold", "release", "requeue", "delete", "expire"]


class SpoolDamaged(Body, frozen=True):
    """Part of the spool could not be read when the node started; `saved` messages could."""

    kind = "spool.damaged"
    problem: str
    saved: int
    lost: list[str]


class Expanded(Body, frozen=True):
    """This node has the mail of an alias: the message in its queue is for the `members` in place of
    `recipient` (RFC 5321 §3.9)."""

    kind = "alias.expanded"
    queue_id: str
    recipient: str
    members: list[str]


class MailboxDelivered(Body, frozen=True):
    """The message is durable in the recipient's mailbox; `mailbox` names it where the recipient is
    an address of it with a tag (RFC 5233)."""

    kind = "mailbox.delivered"
    queue_id: str
    recipient: str
    name: str
    digest: str
    mailbox: str = ""


class Bounced(Body, frozen=True):
    """A notification about `about` was queued for its sender (RFC 3464).

    `queue_id` and the event's `message` are those of the notification. For each of the `recipients`
    in turn, `status` has the code that it gives (RFC 3463) and `replies` the reply behind it; both
    are empty in one that stands in the place of another.
    """

    kind = "bounce.sent"
    queue_id: str
    about: str
    about_queue_id: str
    to: str
    recipients: list[str]
    action: Literal["failed", "delayed", "delivered"]
    status: list[str] = []
    replies: list[str] = []


class BounceSuppressed(Body, frozen=True):
    """A message failed, and there is no notification: it has the null reverse-path (RFC 5321 §6.1),
    or its sender asked for none (RFC 3461 §4.1)."""

    kind = "bounce.suppressed"
    queue_id: str
    recipients: list[str]
    reason: str


class DestinationDead(Body, frozen=True):
    """No host of the destination answered; nothing is tried there before `until` (lab time)."""

    kind = "destination.dead"
    domain: str
    until: float
    reason: str


class DestinationAlive(Body, frozen=True):
    """A host of a destination that was dead answered again."""

    kind = "destination.alive"
    domain: str


class FaultStruck(Body, frozen=True):
    """A fault that is set on this node struck. `fault` is its id, `name` its kind.

    `place` is the SMTP verb (DOT for the end of the data), the question in DNS, the mailbox's
    address, or `disk`; `peer` the address of whom it struck, empty where there is none.
    """

    kind = "fault.struck"
    fault: str
    name: str
    place: str
    peer: str


class LabStep(Body, frozen=True):
    """The runner began a step of the scenario."""

    kind = "lab.step"
    index: int
    text: str


class LabFault(Body, frozen=True):
    """The runner injected a fault (after its undo was recorded) and saw it take effect."""

    kind = "lab.fault"
    id: str
    fault: str
    node: str


class LabHealed(Body, frozen=True):
    """The runner undid a fault and saw that it is gone."""

    kind = "lab.healed"
    id: str


KINDS: dict[str, type[Body]] = {
    body.kind: body
    for body in (
        NodeReady, NodeStopping, NodeErased, OutOfFiles, ConfigChanged, DnsQuery, DnsZone,
        DnsTransfer, DnsTransferFailed, DnsExpired, DnsNotified, Lookup, Routed, Accepted, Refused,
        AttemptStarted, Tried, Outcome, Deferred, Removed, Flushed, EtrnSent, HandedIn, Edited,
        SpoolDamaged, Expanded, MailboxDelivered, Bounced,
        BounceSuppressed, DestinationDead, DestinationAlive,
        FaultStruck, LabStep, LabFault, LabHealed,
    )
}  # fmt: skip


Source = Literal["", "log", "proxy", "queue"]
"""From what a node knows what it tells: its own doing, or, of a product's, from the product's log,
from what went through the agent's proxy, or from what lies in the product's queue."""


class Event(msgspec.Struct, frozen=True):
    """One event of one node."""

    at: float
    seq: int
    node: str
    message: str | None
    body: Body
    source: Source = ""

    @property
    def kind(self) -> str:
        return self.body.kind


class _Line(msgspec.Struct):
    at: float
    seq: int
    node: str
    kind: str
    message: str | None
    data: msgspec.Raw
    source: Source = ""


class _Out(msgspec.Struct, omit_defaults=True):
    at: float
    seq: int
    node: str
    kind: str
    message: str | None
    data: Body
    source: Source = ""


_encoder = msgspec.json.Encoder()
_line_decoder = msgspec.json.Decoder(_Line)
_body_decoders = {kind: msgspec.json.Decoder(body) for kind, body in KINDS.items()}


def encode(event: Event) -> bytes:
    """The event as one JSON line, newline included."""
    return (
        _encoder.encode(
            _Out(
                event.at, event.seq, event.node, event.kind, event.message, event.body, event.source
            )
        )
        + b"\n"
    )


def decode(line: bytes | str) -> Event:
    """The event that a JSON line holds. Raises ValueError on anything else."""
    try:
        raw = _line_decoder.decode(line)
        decoder = _body_decoders.get(raw.kind)
        if decoder is None:
            raise ValueError(f"unknown event kind {raw.kind!r}")
        body = decoder.decode(raw.data)
        return Event(raw.at, raw.seq, raw.node, raw.message, body, raw.source)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not an event: {error}") from error


class Emit(Protocol):
    """How services tell what happened."""

    def __call__(self, body: Body, message: str | None = None) -> None: ...


class EmitFrom(Emit, Protocol):
    """An Emit that can say from what it is known."""

    def __call__(self, body: Body, message: str | None = None, *, source: Source = "") -> None: ...


class Emitter:
    """Stamps events with lab time, node and sequence number and hands them to a sink."""

    def __init__(self, node: str, clock: Clock, sink: Callable[[Event], None]) -> None:
        self._node = node
        self._clock = clock
        self._sink = sink
        self._seq = 0

    def __call__(self, body: Body, message: str | None = None, *, source: Source = "") -> None:
        event = Event(self._clock.time(), self._seq, self._node, message, body, source)
        self._seq += 1
        self._sink(event)
