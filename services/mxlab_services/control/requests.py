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
    """Try now: everything, or one site (domain), or one queue id. Answers how many messages."""

    method = "queue.flush"
    reply = int
    site: str | None = None
    queue_id: str | None = None


class Forget(Request[bool], frozen=True):
    """Forget what was learnt of others: DNS answers, dead destinations, silent hosts, idle
    connections. The queue stays. Answered once it is forgotten."""

    method = "forget"
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


class Submit(Request[list[SubmittedMessage]], frozen=True):
    """Make and submit `count` messages to all `recipients`.

    `size`: bytes of content to fill up to, headers included (0: no filling). `rate`: messages per
    real second (0: as fast as the spool takes them). `concurrency`: messages put at a time.
    `headers` are added to each message. `notify`: what the sender wants to hear of, NEVER or some
    of SUCCESS,FAILURE,DELAY (RFC 3461 §4.1). `batch` is a name for them all.
    Answers once all are durable in the client's queue.
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
    batch: str = ""


class Record(Request[list[RecordEntry]], frozen=True):
    """The client's record of every transaction so far, in order."""

    method = "record"
    reply = list[RecordEntry]


class Route(Request[RouteReport], frozen=True):
    method = "route"
    reply = RouteReport
    address: str


class Dig(Request[DigReport], frozen=True):
    """Ask the lab's DNS server, past the cache."""

    method = "dig"
    reply = DigReport
    name: str
    type: str = "A"
    tcp: bool = False


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
    `strict` as in ZoneReplace.
    """

    method = "zone.update"
    reply = ZoneReport
    origin: str
    add: list[str] = []
    remove: list[str] = []
    strict: bool = True
