"""What keeps a node's data durable, as its users see it: spool, scratch and mailboxes."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from msgspec import Struct

from mxlab_services.message import Pending, Queued


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
        """Store durably and return the name. Raises SpoolFull or SpoolError."""
        ...

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        """The messages of one mailbox or, for None, of all, oldest first."""
        ...

    async def one(self, address: str, name: str) -> Stored | None:
        """One message by its name, whatever flags a mail reader gave it since; None where it is
        not there. No other message is read for it."""
        ...
