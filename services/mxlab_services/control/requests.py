"""What a node can be asked, each request declared once (those about faults with the faults).

A request is a struct whose class names the method and the reply's type; the lab sends the same
structs in every backend, and only the way they travel differs (see `rpc`).
"""

from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

import msgspec

from mxlab_services.control.replies import (
    DigReport,
    EtrnReport,
    MailboxEntry,
    Pong,
    QueueEntry,
    RecordEntry,
    RouteReport,
    Setting,
    SubmittedMessage,
    ZoneReport,
)

R_co = TypeVar("R_co", covariant=True)


HostName = Annotated[  # beyond ASCII in U-labels
    str, msgspec.Meta(pattern=r"^@?([A-Za-z0-9._-]|[^\x00-\xa0])+$", max_length=254)
]


class Request(msgspec.Struct, Generic[R_co], frozen=True, forbid_unknown_fields=True):
    """A control request; `R_co` is its reply's type, `reply` the same for the decoder."""

    method: ClassVar[str]
    reply: ClassVar[Any]


# --- replies -------------------------------------------------------------------------------------


# --- requests ------------------------------------------------------------------------------------


class Ping(Request[Pong], frozen=True):
    method = "ping"
    reply = Pong


class Stats(Request[dict[str, int]], frozen=True):
    """Counters since the node started, by name: how often each event kind was emitted, and
    `backscatter`: failures and delays told to a sender outside the lab's own submissions."""

    method = "stats"
    reply = dict[str, int]


class ConfigList(Request[list[Setting]], frozen=True):
    """Every setting as it is now, in the order of the configuration."""

    method = "config.list"
    reply = list[Setting]


class ConfigChange(Request[list[Setting]], frozen=True):
    """Change settings by their dotted keys, all of them or none; those in `reset` go back to what
    the node was configured with. Answers them as they are then, once that survives a restart.

    Limits hold from the next transaction on, timeouts for the next connection or transaction, a
    schedule for the next wait, all others at once.
    """

    method = "config.change"
    reply = list[Setting]
    values: dict[str, Any] = {}
    reset: list[str] = []


class QueueList(Request[list[QueueEntry]], frozen=True):
    """One page of the queue: at most `limit` messages with a queue id above `after`."""

    method = "queue.list"
    reply = list[QueueEntry]
    after: str = ""
    limit: int = 1000


class QueueEdit(Request[int], frozen=True):
    """What postsuper does, to these queue ids or, for ["ALL"], to all. Answers how many messages.

    requeue: route afresh and try now. expire: bounce as if the lifetime were over.
    """

    method = "queue.edit"
    reply = int
    action: Literal["hold", "release", "requeue", "delete", "expire"]
    queue_ids: list[str]


class QueueFlush(Request[int], frozen=True):
    """Try now: everything, or one site (domain), or one queue id. Returns how many messages."""

    method = "queue.flush"
    reply = int
    site: str | None = None
    queue_id: str | None = None


class Forget(Request[bool], frozen=True):
    """Forget what was learnt of others: DNS answers, dead destinations, silent hosts, idle
    connections. The queue stays. Answered once it is forgotten."""

    method = "forget"
    reply = bool


class Erase(Request[bool], frozen=True):
    """Lose all that the node keeps (queue, mailboxes, record, changed settings and zones, faults),
    and begin anew as it was configured. Answered first; then the node waits for Begin, so that no
    other host's mail of before reaches it."""

    method = "erase"
    reply = bool


class Begin(Request[bool], frozen=True):
    """Serve again after Erase. Answered once the node is ready."""

    method = "begin"
    reply = bool


class MailboxList(Request[list[MailboxEntry]], frozen=True):
    """The messages of one mailbox, or of all."""

    method = "mailbox.list"
    reply = list[MailboxEntry]
    address: str | None = None


class MailboxRead(Request[bytes], frozen=True):
    """One message whole, exactly as it is stored: it may be in no encoding at all."""

    method = "mailbox.read"
    reply = bytes
    address: str
    name: str


class HandIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a program hands messages in by SMTP at the node's own submission server (RFC 6409).

    `user`: as whom it authenticates itself, None: not at all; `mechanism`: None for the best that
    is offered. `implicit`: TLS begins at once (RFC 8314); without `tls` there is none. A refusal
    that is not for good is tried again, `tries` times in all, after `pause` lab seconds.
    """

    user: str | None = None
    password: str = ""
    mechanism: Literal["SCRAM-SHA-256", "PLAIN", "LOGIN"] | None = None
    implicit: bool = False
    tls: bool = True
    tries: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    pause: Annotated[float, msgspec.Meta(ge=0)] = 5.0


class Submit(Request[list[SubmittedMessage]], frozen=True):
    """Make and submit `count` messages to all `recipients`.

    `size`: bytes of content to fill up to, headers included (0: no filling). `rate`: messages per
    real second (0: as fast as the spool takes them). `concurrency`: messages put at a time.
    `headers` are added to each message. `notify`: what the sender wants to hear of, NEVER or some
    of SUCCESS,FAILURE,DELAY (RFC 3461 §4.1); `ret`: how much of the message a report of failure
    brings back, FULL or HDRS (§4.3). `content`: the message whole, in the place of size, subject
    and body; it gets a Message-ID where it has none. `batch` is a name for them all.
    Answers once all are durable in the client's queue; with `by`, once each is, or was refused.
    """

    method = "submit"
    reply = list[SubmittedMessage]
    sender: str
    recipients: list[str]
    count: int = 1
    size: int = 0
    rate: float = 0.0
    concurrency: int = 10
    subject: str = "mxlab test message"
    body: str = ""
    headers: list[tuple[str, str]] = []
    notify: str = ""
    ret: str = ""
    content: bytes | None = None
    batch: str = ""
    by: HandIn | None = None


class RecordRead(Request[list[RecordEntry]], frozen=True):
    """The client's record of every transaction so far, in order."""

    method = "record"
    reply = list[RecordEntry]


class RouteRead(Request[RouteReport], frozen=True):
    method = "route"
    reply = RouteReport
    address: str


class Dig(Request[DigReport], frozen=True):
    """Ask the lab's DNS server, past the cache.

    `server`: the address of another of the lab's. `trace`: from the root, or where the node's
    resolver begins, all the way down.
    """

    method = "dig"
    reply = DigReport
    name: str
    type: str = "A"
    tcp: bool = False
    server: str = ""
    trace: bool = False


class Etrn(Request[EtrnReport], frozen=True):
    """Ask `host` by SMTP to start its queue for `domain` (RFC 1985)."""

    method = "etrn"
    reply = EtrnReport
    host: HostName
    domain: HostName


class ZoneList(Request[list[ZoneReport]], frozen=True):
    method = "zone.list"
    reply = list[ZoneReport]


class ZoneReplace(Request[ZoneReport], frozen=True):
    """Put `text` in the place of the zone `origin`, or add the zone.

    Not `strict`: serve it although it breaks a rule (a null MX beside others, a CNAME beside data).
    """

    method = "zone.replace"
    reply = ZoneReport
    origin: str
    text: str
    strict: bool = True


class ZoneUpdate(Request[ZoneReport], frozen=True):
    """Remove, then add records (a line of zone text each); the serial goes up by one.

    A line of `remove` may leave out the data (`example.test. MX`): all of that name and type go.
    `strict` as in ZoneReplace. `ttl` (seconds) is that of added records that state none; with
    nothing to add or to remove, that of all records that are there.
    """

    method = "zone.update"
    reply = ZoneReport
    origin: str
    add: list[str] = []
    remove: list[str] = []
    strict: bool = True
    ttl: Annotated[int, msgspec.Meta(ge=0, lt=2**31)] | None = None
