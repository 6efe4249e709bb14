"""The simulated disk: pending until synced, and what a crash leaves."""

import asyncio
import random
from pathlib import Path

import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.errors import SpoolFull
from mxlab_services.ids import SeededIds
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.runtime import Storage
from mxlab_services.storage.files import FileStorage
from mxlab_services.storage.memory import MemoryStorage
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.memory_spool import MemorySpool
from mxlab_services.storage.ports import Settled


def message(number: int) -> Queued:
    pending = (Pending(Recipient("bob@example.test"), next_attempt=float(number)),)
    return Queued(f"Q{number:05}", "<k>", "d", "", 1, float(number), pending)


class Gate:
    """A sync that lasts until it is let through."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.through = asyncio.Event()

    async def __call__(self) -> None:
        self.begun.set()
        await self.through.wait()


async def test_nothing_is_seen_or_acknowledged_before_the_sync_ends() -> None:
    gate = Gate()
    disk = MemoryDisk(delay=gate)
    spool = MemorySpool(disk)
    put = asyncio.create_task(spool.put(message(1), b"x"))
    await gate.begun.wait()
    assert await spool.count() == 0
    assert not put.done()
    gate.through.set()
    await put
    assert await spool.count() == 1


async def test_a_crash_drops_what_is_pending_and_keeps_what_was_synced() -> None:
    disk = MemoryDisk()
    spool = MemorySpool(disk)
    await spool.put(message(1), b"one")
    gate = disk.delay = Gate()
    lost: list[asyncio.Task[object]] = [
        asyncio.create_task(spool.put(message(2), b"two")),
        asyncio.create_task(spool.settle(Settled("Q00001", ("bob@example.test",)))),
    ]
    await gate.begun.wait()
    disk.crash()
    gate.through.set()
    disk.delay = None
    after = MemorySpool(disk)
    assert [m.queue_id async for m in after.load()] == ["Q00001"]
    await after.put(message(3), b"three")
    assert [m.queue_id async for m in after.load()] == ["Q00001", "Q00003"]
    assert not any(task.done() for task in lost)  # nobody was told anything
    for task in lost:
        task.cancel()


async def test_changes_that_wait_share_one_sync() -> None:
    syncs = 0

    async def delay() -> None:
        nonlocal syncs
        syncs += 1

    spool = MemorySpool(MemoryDisk(delay=delay))
    await asyncio.gather(*(spool.put(message(n), b"x") for n in range(50)))
    assert syncs == 1


async def test_the_faults_outlive_the_node() -> None:
    disk = MemoryDisk()
    await MemorySpool(disk).restrict(full=True)
    with pytest.raises(SpoolFull):
        await MemorySpool(disk).put(message(1), b"x")


async def test_ten_thousand_messages_come_and_go_within_their_due_order() -> None:
    spool = MemorySpool(MemoryDisk())
    numbers = list(range(10_000))
    random.Random(1).shuffle(numbers)
    await asyncio.gather(*(spool.put(message(n), b"x") for n in numbers))
    seen: list[str] = []
    while due := await spool.due("example.test", 1e9, 50):
        seen += [m.queue_id for m in due]
        await asyncio.gather(
            *(spool.settle(Settled(m.queue_id, ("bob@example.test",))) for m in due)
        )
    assert seen == [f"Q{n:05}" for n in range(10_000)]
    assert await spool.count() == 0


@pytest.mark.parametrize("kind", ["file", "memory"])
async def test_a_storage_gives_a_node_back_what_it_left(tmp_path: Path, kind: str) -> None:
    clock = ScaledClock()
    ids = SeededIds(clock, random.Random(1))
    disk = MemoryDisk()

    def storage() -> Storage:
        if kind == "memory":
            return MemoryStorage(disk, clock, ids)
        return FileStorage(tmp_path / "node", clock, ids)

    before = storage()
    spool = await before.spool()
    await spool.put(message(1), b"content")
    await (await before.mailboxes()).deliver("bob@example.test", b"mail", 1.0)
    (await before.journal()).invoked("<k>", ["bob@example.test"], "mx1")
    await spool.close()
    after = storage()
    spool = await after.spool()
    assert await spool.content("Q00001") == b"content"
    assert [m.content for m in await (await after.mailboxes()).read()] == [b"mail"]
    assert [e.outcome for e in (await after.journal()).entries()] == ["invoked"]
    await spool.close()
