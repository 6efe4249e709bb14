"""Puts a node together from its configuration and its parts. The same in every world.

What differs between worlds comes in as `Parts`: the clock, where events go and where data is kept.
The network is the running asyncio loop; randomness comes from the configuration's seed.
"""

from dataclasses import dataclass
from typing import Protocol

from mxlab_services.clock import Clock
from mxlab_services.control import RecordEntry
from mxlab_services.events import Emit
from mxlab_services.mta.types import Mailboxes, Spool, Witness


class Journal(Witness, Protocol):
    """The client's record, written and read back."""

    def entries(self) -> list[RecordEntry]:
        """Every transaction so far, in order, across restarts."""
        ...


class Storage(Protocol):
    """Where a node's data is kept, as the last crash or stop left it."""

    async def spool(self) -> Spool: ...

    async def mailboxes(self) -> Mailboxes: ...

    async def journal(self) -> Journal: ...


@dataclass(frozen=True, slots=True)
class Parts:
    """What a world gives to a node."""

    clock: Clock
    emit: Emit
    storage: Storage
