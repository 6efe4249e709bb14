"""The control interface of a node: requests, their replies, and the server for a Unix socket.

Line-delimited JSON-RPC 2.0: one object per line in either direction, answered in any order by id.
A request is a struct whose class names the method and the reply's type; the lab sends the same
structs in every world, and only the way they travel differs.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar, cast

import msgspec

from mxlab_services.errors import ControlError, ServiceError
from mxlab_services.faults.kinds import AnyFault

log = logging.getLogger(__name__)

R_co = TypeVar("R_co", covariant=True)
MAX_LINE = 16 * 1024 * 1024  # bytes of one request or reply


HostName = Annotated[  # beyond ASCII in U-labels
    str, msgspec.Meta(pattern=r"^@?([A-Za-z0-9._-]|[^\x00-\xa0])+$", max_length=254)
]


class Request(msgspec.Struct, Generic[R_co], frozen=True, forbid_unknown_fields=True):
    """A control request; `R_co` is its reply's type, `reply` the same for the decoder."""

    method: ClassVar[str]
    reply: ClassVar[Any]


# --- replies -------------------------------------------------------------------------------------


class Pong(msgspec.Struct, frozen=True):
    """`at` is lab time."""

    node: str
    role: str
    at: float
    queued: int


class QueueRecipient(msgspec.Struct, frozen=True):
    address: str
    delay_reason: str = ""


class QueueEntry(msgspec.Struct, frozen=True):
    """One message in a queue, with the keys of `postqueue -j` and the lab's own after them.

    Times are lab time, seconds since the Unix epoch; sizes are bytes. `next_attempt` is the
    earliest of its recipients'.
    """

    queue_name: Literal["incoming", "active", "deferred", "hold"]
    queue_id: str
    arrival_time: int
    message_size: int
    sender: str
    recipients: list[QueueRecipient]
    message: str
    digest: str
    attempts: int
    next_attempt: float | None = None


class MailboxEntry(msgspec.Struct, frozen=True):
    """One message in a mailbox. `reverse_path` is the Return-Path's address."""

    address: str
    name: str
    message: str
    digest: str
    size: int
    reverse_path: str
    subject: str
    delivered_at: float


class SubmittedMessage(msgspec.Struct, frozen=True):
    message: str
    queue_id: str
    digest: str
    sender: str
    recipients: list[str]


class RecordEntry(msgspec.Struct, frozen=True):
    """One transaction of the client with one host for one recipient, as the client saw it.

    acked: 250 to the final dot was read. refused: 4yz, 5yz, or cut before the dot. unknown: the dot
    was sent, the reply never read. invoked: the transaction began and nothing more is on record
    (the client died in it): to be judged as unknown.
    """

    message: str
    recipient: str
    host: str
    outcome: Literal["invoked", "acked", "refused", "unknown"]
    reply: str
    at: float


class RouteReport(msgspec.Struct, frozen=True):
    """Where a message to `address` would go from this node, and why, a decision a line."""

    address: str
    status: Literal["relay", "local", "defer", "fail"]
    targets: list[str]
    decisions: list[str]
    reply: str = ""


class DigReport(msgspec.Struct, frozen=True):
    """A DNS answer in the form that dig prints, and in parts."""

    rcode: str
    answers: list[str]
    authority: list[str]
    text: str
    milliseconds: float


class EtrnReport(msgspec.Struct, frozen=True):
    """The reply to ETRN, as `text`, and its `code` (RFC 1985 §5.3), 0 where none was read.

    `dialog` is the conversation, a line each, with `C: ` or `S: ` in front.
    """

    code: int
    text: str
    dialog: list[str]


class ZoneReport(msgspec.Struct, frozen=True):
    """A zone. `warnings`: what is served as it stands, and seldom meant."""

    origin: str
    serial: int
    records: list[str]
    warnings: list[str] = []


class FaultState(msgspec.Struct, frozen=True):
    """A fault that is set: on how many occasions it fitted so far, and how often it struck.

    What `refuse` keeps out never reaches the node: it counts nothing.
    """

    id: str
    fault: AnyFault
    met: int = 0
    struck: int = 0


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


class FaultSet(Request[FaultState], frozen=True):
    """Set a fault under an id of the caller's choice; answered once the fault is in force.

    To set the same again under the same id changes nothing. Faults end with the node's life.
    """

    method = "fault.set"
    reply = FaultState
    id: str
    fault: AnyFault


class FaultClear(Request[list[str]], frozen=True):
    """Clear the fault with this id, or `all`; answered, with their ids, once all is as before."""

    method = "fault.clear"
    reply = list[str]
    id: str | None = None
    all: bool = False


class FaultList(Request[list[FaultState]], frozen=True):
    """The faults that are set, in the order in which they were."""

    method = "fault.list"
    reply = list[FaultState]


REQUESTS: dict[str, type[Request[Any]]] = {
    request.method: request
    for request in (
        Ping, Stats, QueueList, QueueEdit, QueueFlush, Forget, MailboxList, MailboxRead, Submit,
        Record, Route, Dig, Etrn,
        ZoneList, ZoneReplace, ZoneUpdate,
        FaultSet, FaultClear, FaultList,
    )
}  # fmt: skip

R = TypeVar("R")
Handler = Callable[[Any], Awaitable[Any]]


class Controls:
    """The requests that one node answers."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def add(self, request: type[Request[R]], handler: Callable[[Any], Awaitable[R]]) -> None:
        """Answer `request` with `handler`, which gets the request and returns its reply."""
        self._handlers[request.method] = handler

    async def __call__(self, request: Request[R]) -> R:
        """Answer a request in this process. Raises ControlError."""
        handler = self._handlers.get(request.method)
        if handler is None:
            raise ControlError(f"this node does not answer {request.method!r}", -32601)
        return cast("R", await handler(request))


# --- the wire ------------------------------------------------------------------------------------


class _Call(msgspec.Struct):
    id: int
    method: str
    params: msgspec.Raw = msgspec.Raw(b"{}")
    jsonrpc: Literal["2.0"] = "2.0"


class _Fault(msgspec.Struct):
    code: int
    message: str


class _Answer(msgspec.Struct, omit_defaults=True):
    id: int | None
    result: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    error: _Fault | msgspec.UnsetType = msgspec.UNSET
    jsonrpc: str = ""


_encode = msgspec.json.Encoder().encode
_decode_call = msgspec.json.Decoder(_Call).decode
_decode_answer = msgspec.json.Decoder(_Answer).decode


def encode_call(identifier: int, request: Request[Any]) -> bytes:
    """A request as one line of JSON-RPC."""
    return _encode(_Call(identifier, request.method, msgspec.Raw(_encode(request)))) + b"\n"


def decode_answer(line: bytes, requests: dict[int, Request[Any]]) -> tuple[int, Any]:
    """The id and the reply in a line, its type taken from the request of that id in `requests`.

    The reply is a ControlError (returned, not raised) where the node refused. Raises ControlError
    when the line is no answer to one of them.
    """
    try:
        answer = _decode_answer(line)
        if answer.id is None or answer.id not in requests:
            raise ControlError(f"an answer to no request: {line[:200]!r}", -32600)
        if answer.error is not msgspec.UNSET:
            return answer.id, ControlError(answer.error.message, answer.error.code)
        if answer.result is msgspec.UNSET:
            raise ControlError(f"an answer without a result: {line[:200]!r}", -32600)
        return answer.id, msgspec.json.decode(answer.result, type=requests[answer.id].reply)
    except msgspec.MsgspecError as error:
        raise ControlError(f"not an answer: {error}", -32700) from error


async def answer_line(controls: Controls, line: bytes) -> bytes:
    """Decode one request line, run it, encode the answer. Never raises for a bad line."""
    identifier: int | None = None
    try:
        try:
            call = _decode_call(line)
        except msgspec.ValidationError as error:
            raise ControlError(f"not a request: {error}", -32600) from error
        except msgspec.DecodeError as error:
            raise ControlError(f"not JSON: {error}", -32700) from error
        identifier = call.id
        kind = REQUESTS.get(call.method)
        if kind is None:
            raise ControlError(f"no such method: {call.method!r}", -32601)
        try:
            request = msgspec.json.decode(call.params, type=kind)
        except msgspec.MsgspecError as error:
            raise ControlError(f"{call.method}: {error}", -32602) from error
        result = await controls(request)
    except ControlError as error:
        answer = _Answer(identifier, error=_Fault(error.code, str(error)), jsonrpc="2.0")
    except ServiceError as error:
        answer = _Answer(identifier, error=_Fault(-32000, str(error)), jsonrpc="2.0")
    except Exception:  # a bug: the caller hears of it, and the log has the traceback
        log.exception("control request failed: %r", line[:200])
        text = "the node failed to answer; its log has the traceback"
        answer = _Answer(identifier, error=_Fault(-32603, text), jsonrpc="2.0")
    else:
        answer = _Answer(identifier, result=msgspec.Raw(_encode(result)), jsonrpc="2.0")
    return _encode(answer) + b"\n"


async def serve(controls: Controls, path: str) -> asyncio.Server:
    """Answer requests on the Unix socket at `path`, mode 0600, replacing a stale one."""
    Path(path).unlink(missing_ok=True)  # noqa: ASYNC240 - one system call, before anything runs
    running: set[asyncio.Task[None]] = set()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async def answer(line: bytes) -> None:
            writer.write(await answer_line(controls, line))
            with contextlib.suppress(ConnectionError):
                await writer.drain()

        try:
            while line := await reader.readline():
                task = asyncio.create_task(answer(line))
                running.add(task)
                task.add_done_callback(running.discard)
        except ValueError:  # a line longer than MAX_LINE
            text = f"a request longer than {MAX_LINE} bytes"
            writer.write(_encode(_Answer(None, error=_Fault(-32600, text), jsonrpc="2.0")) + b"\n")
        except (ConnectionError, asyncio.CancelledError):
            pass  # the peer is gone, or the node stops: asyncio would log it (before Python 3.12)
        finally:
            writer.close()

    server = await asyncio.start_unix_server(converse, path, limit=MAX_LINE)
    Path(path).chmod(0o600)  # noqa: ASYNC240 - likewise
    return server
