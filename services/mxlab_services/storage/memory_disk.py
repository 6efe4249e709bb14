"""A disk of the simulation: what is written is pending until it is synced; a crash drops the rest.

A MemoryDisk outlives the node that uses it: a spool or mailboxes made on it later see only what was
synced. No threads, no host time; the order of everything follows from the order of the calls.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar, cast

from msgspec import Struct, field

from mxlab_services.control.replies import RecordEntry
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.message import Queued
from mxlab_services.storage.ports import Stored

T = TypeVar("T")
_Waiting = tuple[Callable[[], object], "asyncio.Future[object]"]


class MemoryDisk(Struct):
    """What is durable, and the switches of the disk faults.

    `full`: nothing can be added. `read_only`: nothing can be changed. `delay`, where there is one,
    is awaited by each sync. `record` is the client's own record: evidence about the crash, which a
    crash therefore leaves alone, as it does `settings`, those changed while the node ran.
    """

    messages: dict[str, tuple[Queued, bytes]] = field(default_factory=dict)
    mailboxes: dict[str, list[Stored]] = field(default_factory=dict)
    record: list[RecordEntry] = field(default_factory=list)
    full: bool = False
    read_only: bool = False
    delay: Callable[[], Awaitable[None]] | None = None
    crashes: int = 0
    settings: dict[str, Any] = field(default_factory=dict)
    _waiting: list[_Waiting] = field(default_factory=list)
    _syncing: "asyncio.Task[None] | None" = None

    async def commit(self, change: Callable[[], T]) -> T:
        """Make `change` at the end of a sync, together with all that waited when it began.

        What `change` raises is raised here. After a crash in between, the change is never made and
        the caller never resumed.
        """
        future: asyncio.Future[object] = asyncio.get_running_loop().create_future()
        self._waiting.append((change, future))
        if self._syncing is None:
            self._syncing = asyncio.create_task(self._sync())
        return cast("T", await future)

    async def idle(self) -> None:
        """Return once nothing is pending."""
        if self._syncing is not None:
            await asyncio.shield(self._syncing)

    def crash(self) -> None:
        """Forget all that is pending, as a power failure does."""
        self.crashes += 1
        self._waiting.clear()
        if self._syncing is not None:
            self._syncing.cancel()
            self._syncing = None

    def check(self, *, adds: bool) -> None:
        """Raise what a write meets now."""
        if self.read_only:
            raise SpoolError("the disk is read-only")
        if adds and self.full:
            raise SpoolFull("no space left on the disk")

    async def _sync(self) -> None:
        crashes = self.crashes
        while self._waiting:
            group, self._waiting = self._waiting, []
            if self.delay is not None:
                await self.delay()
            else:
                await asyncio.sleep(0)
            if crashes != self.crashes:
                return
            for change, future in group:
                _settle(change, future)
        self._syncing = None


def _settle(change: Callable[[], object], future: "asyncio.Future[object]") -> None:
    try:
        outcome = change()
    except Exception as error:  # noqa: BLE001 - it goes to the caller
        if not future.done():
            future.set_exception(error)
    else:
        if not future.done():  # else its caller was cancelled; the change is made all the same
            future.set_result(outcome)
