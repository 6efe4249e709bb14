"""Where a simulated node keeps its data: all of it on one MemoryDisk (a node.Storage).

Guarantee, as of the files in `storage`: when a change has returned, it survives a crash; when it
has raised, nothing has changed.
"""

from collections.abc import Sequence
from typing import Any, Literal

from mxlab_services.clock import Clock
from mxlab_services.control.replies import RecordEntry
from mxlab_services.ids import Ids
from mxlab_services.storage.history import begun_entries, transactions
from mxlab_services.storage.maildir import KNOWN, unique_name
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.memory_spool import MemorySpool
from mxlab_services.storage.ports import Stored


class MemoryMailboxes:
    """Mailboxes on a MemoryDisk; they outlive the node, with what was synced."""

    def __init__(self, disk: MemoryDisk, ids: Ids) -> None:
        self._disk = disk
        self._ids = ids
        self._known = {
            address: {message.content: message.name for message in box[-KNOWN:]}
            for address, box in disk.mailboxes.items()
        }

    async def deliver(self, address: str, content: bytes, at: float) -> str:
        """Store durably and return the name. Raises SpoolFull or SpoolError."""
        known = self._known.get(address, {}).get(content)
        if known is not None:
            return known
        name = f"{self._ids.queue_id()}.mxlab"

        def store() -> str:
            self._disk.check(adds=True)
            self._disk.mailboxes.setdefault(address, []).append(Stored(address, name, content, at))
            return name

        return await self._disk.commit(store)

    async def read(self, address: str | None = None) -> Sequence[Stored]:
        """The messages of one mailbox or, for None, of all, oldest first."""
        boxes = self._disk.mailboxes
        chosen = boxes.values() if address is None else [boxes.get(address, [])]
        found = [message for box in chosen for message in box]
        return sorted(found, key=lambda message: (message.at, message.name))

    async def one(self, address: str, name: str) -> Stored | None:
        """One message by its name; None where it is not there."""
        box = self._disk.mailboxes.get(address, [])
        wanted = unique_name(name)
        return next((message for message in box if unique_name(message.name) == wanted), None)


class MemoryJournal:
    """The record on a MemoryDisk, whose crashes leave it alone."""

    def __init__(self, disk: MemoryDisk, clock: Clock) -> None:
        self._disk = disk
        self._clock = clock

    def invoked(self, message: str, recipients: Sequence[str], host: str) -> None:
        self._disk.record.extend(begun_entries(message, recipients, host, self._clock.time()))

    def ended(
        self,
        message: str,
        recipient: str,
        host: str,
        outcome: Literal["acked", "refused", "unknown"],
        reply: str,
    ) -> None:
        at = self._clock.time()
        self._disk.record.append(RecordEntry(message, recipient, host, outcome, reply, at))

    def entries(self) -> list[RecordEntry]:
        """Every transaction so far, in order, across restarts."""
        return transactions(self._disk.record)


class MemoryOverrides:
    """Settings on a MemoryDisk, whose faults, those of the queue's disk, leave them alone."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk

    def load(self) -> dict[str, Any]:
        """What was saved last."""
        return dict(self._disk.settings)

    def save(self, values: dict[str, Any]) -> None:
        self._disk.settings = dict(values)


class MemoryScratch:
    """Bytes put aside on a MemoryDisk, which it fills as little as a file without a name does."""

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._data = bytearray()

    def write(self, data: bytes | bytearray) -> None:
        """Raises SpoolFull or SpoolError."""
        self._disk.check(adds=True)
        self._data += data

    def read(self) -> bytes:
        """All that was written."""
        return bytes(self._data)

    def close(self) -> None:
        """Forget it."""
        self._data.clear()


class MemoryStorage:
    """A node's data on a MemoryDisk, which outlives the node."""

    def __init__(self, disk: MemoryDisk, clock: Clock, ids: Ids) -> None:
        self._disk = disk
        self._clock = clock
        self._ids = ids

    async def spool(self) -> MemorySpool:
        return MemorySpool(self._disk)

    async def mailboxes(self) -> MemoryMailboxes:
        return MemoryMailboxes(self._disk, self._ids)

    async def journal(self) -> MemoryJournal:
        return MemoryJournal(self._disk, self._clock)

    def overrides(self) -> MemoryOverrides:
        return MemoryOverrides(self._disk)

    def scratch(self) -> MemoryScratch:
        return MemoryScratch(self._disk)
