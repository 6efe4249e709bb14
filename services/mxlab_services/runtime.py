"""What a world gives to a node, and what a node that runs is: the same for every role."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from msgspec import Struct

from mxlab_services.clock import Clock
from mxlab_services.config import NodeConfig
from mxlab_services.control.replies import RecordEntry
from mxlab_services.control.requests import Stats
from mxlab_services.control.rpc import Controls
from mxlab_services.errors import SpoolError
from mxlab_services.events import Body, EmitFrom, NodeStopping, Source
from mxlab_services.ids import SeededIds
from mxlab_services.queue.ports import Witness
from mxlab_services.storage.ports import Mailboxes, Scratch, Spool


class Journal(Witness, Protocol):
    """The client's record, written and read back."""

    def entries(self) -> list[RecordEntry]:
        """Every transaction so far, in order, across restarts."""
        ...


class Overrides(Protocol):
    """The settings that were changed while the node ran: their keys, and their values."""

    def load(self) -> dict[str, Any]:
        """What was saved last, also before a crash. Raises ConfigError where it is unreadable."""
        ...

    def save(self, values: dict[str, Any]) -> None:
        """Durable on return. Raises SpoolError."""
        ...


class Storage(Protocol):
    """Where a node's data is kept, as the last crash or stop left it."""

    async def spool(self) -> Spool: ...

    async def mailboxes(self) -> Mailboxes: ...

    async def journal(self) -> Journal: ...

    def overrides(self) -> Overrides: ...

    def scratch(self) -> Scratch:
        """A place for the content of a message that is coming in. Raises SpoolFull, SpoolError."""
        ...


class NoStorage:
    """The storage of a node that keeps nothing."""

    async def spool(self) -> Spool:
        raise SpoolError("this node has no spool")

    async def mailboxes(self) -> Mailboxes:
        raise SpoolError("this node has no mailboxes")

    async def journal(self) -> Journal:
        raise SpoolError("this node has no record")

    def overrides(self) -> Overrides:
        raise SpoolError("this node keeps no settings")

    def scratch(self) -> Scratch:
        raise SpoolError("this node takes no mail")


class Parts(Struct, frozen=True):
    """What a world gives to a node."""

    clock: Clock
    emit: EmitFrom
    storage: Storage


class Counting:
    """An Emit that passes events on and counts them by kind, and what else is to be counted."""

    def __init__(self, emit: EmitFrom) -> None:
        self._emit = emit
        self.counts: dict[str, int] = {}

    def __call__(self, body: Body, message: str | None = None, *, source: Source = "") -> None:
        self.count(body.kind)
        self._emit(body, message, source=source)

    def count(self, name: str) -> None:
        self.counts[name] = self.counts.get(name, 0) + 1


class RunningNode:
    """A node that serves. `controls` answers its requests; `failure` says, once that is so, why it
    cannot go on, and is None where a node ends only when it is asked to."""

    def __init__(
        self,
        controls: Controls,
        emit: Counting,
        shut: Callable[[], Awaitable[None]],
        failure: "asyncio.Future[str] | None" = None,
    ) -> None:
        self.controls = controls
        self.failure = failure
        self._emit = emit
        self._shut = shut
        self._stopped = False
        controls.add(Stats, self._stats)

    async def stop(self, reason: str | None) -> None:
        """Stop in good order: finish what runs, within a bound; then close. May be called again.
        Without a `reason` nobody asked for it."""
        if not self._stopped:
            self._stopped = True
            if reason is not None:
                self._emit(NodeStopping(reason))
            await self._shut()

    async def _stats(self, request: Stats) -> dict[str, int]:
        return dict(self._emit.counts)


def randomness(config: NodeConfig, purpose: str) -> random.Random:
    """A random source that the lab's seed, the node and the purpose decide."""
    return random.Random(f"{config.seed}/{config.node}/{purpose}")


def ids_for(config: NodeConfig, clock: Clock, purpose: str = "ids") -> SeededIds:
    """A source of ids of this node."""
    return SeededIds(clock, randomness(config, purpose))
