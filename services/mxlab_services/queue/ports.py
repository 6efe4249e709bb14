"""What the queue needs of others: a way to find hosts, a way to send, and what came of it."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from msgspec import Struct

from mxlab_services.message import Envelope, Origin
from mxlab_services.reply import Reply


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


class Accept(Protocol):
    """How the edge, the client's submissions and notifications enter the queue."""

    async def __call__(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        """Prepend one Received field, make the message durable, and return its queue id.

        Raises SpoolFull or SpoolError; then nothing was stored.
        """
        ...


class Job(Struct, frozen=True):
    """One delivery attempt of one message to recipients of one domain."""

    queue_id: str
    key: str
    envelope: Envelope
    content: bytes
    domain: str = ""  # as it is compared; events bear it


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
