"""What the agent needs of a product: its files, its command, the grammar of its log, its tools.

A product is other people's mail server in the place of our MTA. It is given its configuration from
the same `MtaConfig` and does everything by itself; what happened is read from its log as facts.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from msgspec import Struct

INNER_PORT = 2525  # of the product, on loopback: it takes the PROXY protocol, version 2, there
INNER_HOST = "127.0.0.1"


# --- facts: what a line of a log says -------------------------------------------------------------


class Fact(Struct, frozen=True):
    """Base of what a log can tell. `queue_id`: the product's own; empty where there is none."""

    queue_id: str = ""


class Arrived(Fact, frozen=True, kw_only=True):
    """The product has taken responsibility for a message. What is not told is empty, or 0.

    `about` is the queue id of the message of which this one notifies the sender.
    """

    sender: str = ""
    recipients: tuple[str, ...] = ()
    size: int = 0  # bytes
    message_id: str = ""  # with its angle brackets
    peer: str = ""  # an IP address
    helo: str = ""
    protocol: str = ""
    about: str = ""


class HostTried(Fact, frozen=True, kw_only=True):
    """A host was tried, and why that failed. Without a queue id: for the message that the same
    process speaks of next."""

    host: str
    address: str
    stage: str  # as in `events.Tried`
    reply: str


class Ended(Fact, frozen=True, kw_only=True):
    """What became of a recipient in an attempt. `host` is empty where none was reached, and where
    the recipient's `mailbox` is here. `seconds`: how long the attempt took. `goes_on`: with this
    host alone; the attempt went on to another one. `local_part`: that of the member, where the
    recipient may be an alias and the log names no more of whom it led to."""

    recipient: str
    outcome: Literal["delivered", "deferred", "failed", "unknown"]
    reply: str
    host: str = ""
    address: str = ""
    mailbox: bool = False
    seconds: float = 0.0
    goes_on: bool = False
    local_part: str = ""


class Expired(Fact, frozen=True):
    """The message's lifetime is over: whoever still waits has failed."""


class Left(Fact, frozen=True):
    """Nothing of the message is in the queue any more."""


class Refusal(Fact, frozen=True, kw_only=True):
    """A command was refused with a 4yz or 5yz reply."""

    verb: str
    reply: str
    peer: str = ""
    sender: str = ""
    recipient: str = ""


class Told(Fact, frozen=True, kw_only=True):
    """The sender of `queue_id` is told, by the new message `notification` where its id is known."""

    action: Literal["failed", "delayed", "delivered"]
    notification: str = ""


class Serving(Fact, frozen=True):
    """The product takes connections from now on."""


class Grammar(Protocol):
    """Reads the log of one product, line by line, in order; it may keep what a later line needs."""

    def read(self, line: str) -> Sequence[Fact] | None:
        """The facts of a line; none for one that is understood and says nothing of these; None for
        one that is not understood, which the agent keeps and counts."""
        ...


# --- the queue -----------------------------------------------------------------------------------


class Held(Struct, frozen=True):
    """A message in the product's queue. `arrived` and `next_attempt` are Unix time in real seconds,
    None where the product does not tell; `reasons`: recipient -> why it waits, or nothing."""

    queue_id: str
    state: Literal["incoming", "active", "deferred", "hold"]
    sender: str
    size: int
    arrived: float
    reasons: dict[str, str]
    next_attempt: float | None = None


Action = Literal["hold", "release", "requeue", "delete", "expire"]


class MailServer(Protocol):
    """One product in one container. All but `prepare` and `command` may run while it serves."""

    @property
    def log(self) -> Path | None:
        """The file that it writes its log to; None: to its standard output and error."""
        ...

    def prepare(self) -> None:
        """Write its configuration and make its folders, as root; after a kill, too. What is in its
        queue and mailboxes stays. Raises OSError, and ConfigError for what it cannot be told."""
        ...

    def command(self) -> Sequence[str]:
        """What runs it in the foreground, as the agent's child."""
        ...

    def grammar(self) -> Grammar:
        """A new reader of its log."""
        ...

    async def version(self) -> str:
        """The product's own version (`3.7.11`)."""
        ...

    async def queue(self) -> list[Held]:
        """All that is in its queue, in the order of the queue ids. Raises ToolFailed."""
        ...

    async def content(self, queue_id: str) -> bytes | None:
        """A queued message as it lies there, its lines ended by CRLF; None if it has gone."""
        ...

    async def flush(self, *, site: str | None = None, queue_id: str | None = None) -> None:
        """Try now: everything, or what waits for a domain, or one message. Raises ToolFailed."""
        ...

    async def edit(self, action: Action, queue_ids: Sequence[str]) -> None:
        """Do to the messages as `postsuper` does. Raises ToolFailed where the product cannot."""
        ...

    async def forget(self) -> None:
        """Forget what it learnt of others, as far as it can: dead destinations, retry times."""
        ...

    async def reload(self) -> None:
        """Take over the configuration that `prepare` wrote anew. Raises ToolFailed."""
        ...


@runtime_checkable
class HasRendering(Protocol):
    """A product whose configuration can be compared: only then can its settings be changed while it
    runs."""

    def rendering(self) -> object:
        """All that `prepare` writes. Raises ConfigError for what it cannot be told."""
        ...


@runtime_checkable
class ListensAt(Protocol):
    """A product that takes its connections elsewhere than at INNER_HOST."""

    @property
    def inner(self) -> tuple[str, int]:
        """Its address and port, on loopback."""
        ...


@runtime_checkable
class Tended(Protocol):
    """A product that needs somebody to tend it, as an operator's cron job would."""

    async def tend(self) -> None:
        """Do so, until it is cancelled, or return where there is nothing to do."""
        ...


class ToolFailed(Exception):
    """A tool of the product failed; the text says which, and what it wrote."""
