"""Rates of the SQLite spool and of Maildir delivery, with what they cost.

    pytest -s tests/bench/bench_spool.py

Each line is printed with the queue's length, because the rate must not depend on it. Compare
fsync's own rate, printed last. File systems that are slow to reuse the places of files just removed
(ext4) show lower Maildir rates in a folder where a run was cleaned up less than a minute ago.
"""

import asyncio
import gc
import os
import random
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path

import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.ids import SeededIds
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.maildir import MaildirMailboxes
from mxlab_services.storage.ports import Settled
from mxlab_services.storage.sqlite.spool import SqliteSpool

pytestmark = pytest.mark.bench

CONTENT = random.Random(0).randbytes(1024)
PUTTERS = 20
BATCH = 3000


def message(number: int) -> Queued:
    recipient = Recipient(f"user{number % 50}@example.test")
    return Queued(
        f"Q{number:09}", f"<{number}@client.test>", "d" * 64, "alice@client.test", len(CONTENT),
        float(number), (Pending(recipient, next_attempt=float(number)),),
    )  # fmt: skip


def resident() -> float:
    """This process's memory, MiB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


async def rate(work: Callable[[int], Awaitable[object]], numbers: Iterator[int]) -> str:
    """Run `work` over the numbers, PUTTERS at a time: a line of rates."""
    done = 0
    slowest = 0.0

    async def worker() -> None:
        nonlocal done, slowest
        for number in numbers:
            began = time.perf_counter()
            await work(number)
            slowest = max(slowest, time.perf_counter() - began)
            done += 1

    began, cpu, loop_cpu = time.perf_counter(), time.process_time(), time.thread_time()
    await asyncio.gather(*(worker() for _ in range(PUTTERS)))
    seconds = time.perf_counter() - began
    cpu, loop_cpu = time.process_time() - cpu, time.thread_time() - loop_cpu
    return (
        f"{done / seconds:8.0f}/s  cpu {cpu / done * 1e6:4.0f} us each"
        f" ({loop_cpu / done * 1e6:3.0f} on the loop)  slowest {slowest * 1e3:5.1f} ms"
    )


@pytest.fixture
def groups(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of the groups of changes that shared a commit."""
    from mxlab_services.storage.sqlite.writer import Change, Writer

    sizes: list[int] = []
    whole = Writer.run

    def counted(self: Writer, changes: Sequence[Change]) -> list[object]:
        sizes.append(len(changes))
        return whole(self, changes)

    monkeypatch.setattr(Writer, "run", counted)
    return sizes


def summary(sizes: list[int]) -> str:
    found = f"  group mean {sum(sizes) / len(sizes):4.1f}, largest {max(sizes)}"
    sizes.clear()
    return found


async def test_bench_rates_by_queue_length(tmp_path: Path, groups: list[int]) -> None:
    path = tmp_path / "spool.db"
    spool = await SqliteSpool.open(path)
    stored = 0

    async def put(number: int) -> None:
        await spool.put(message(number), CONTENT)

    async def settle(number: int) -> None:
        wanted = message(number)
        await spool.content(wanted.queue_id)
        await spool.settle(Settled(wanted.queue_id, (wanted.pending[0].address,)))

    print()
    for length in (1_000, 10_000, 100_000):
        filled = await rate(put, iter(range(stored, length)))
        stored = length
        print(f"{length:7} queued: filling      {filled}{summary(groups)}")
        line = await rate(put, iter(range(stored, stored + BATCH)))
        print(f"{length:7} queued: put          {line}{summary(groups)}")
        line = await rate(settle, iter(range(stored, stored + BATCH)))
        print(f"{length:7} queued: read, settle {line}{summary(groups)}")
        began = time.perf_counter()
        for _ in range(100):
            await spool.destinations()
            await spool.due("example.test", 1e12, 20)
        each = (time.perf_counter() - began) / 100
        gc.collect()
        print(
            f"{length:7} queued: destinations and due (20) {each * 1e3:.2f} ms,"
            f" resident {resident():.0f} MiB, file {path.stat().st_size / 2**20:.0f} MiB"
        )
    await spool.close()
    for how in ("closed in order", "after SIGKILL with a full log"):
        if how != "closed in order":
            code = KILLED.format(first=stored)
            subprocess.run([sys.executable, "-c", code, str(path)], check=False)  # noqa: ASYNC221
            stored += 5000
        began = time.perf_counter()
        spool = await SqliteSpool.open(path)
        opened = time.perf_counter() - began
        assert spool.damage is None
        assert await spool.count() == stored
        began = time.perf_counter()
        listed = [m.queue_id[:1] async for m in spool.load()]
        seconds = time.perf_counter() - began
        assert len(listed) == stored
        print(
            f"{stored:7} queued: open ({how}) {opened:.2f} s, listed in {seconds:.2f} s more,"
            f" resident {resident():.0f} MiB"
        )
        await spool.close()


KILLED = """
import asyncio, os, sys
from pathlib import Path
from mxlab_services.storage.sqlite.spool import SqliteSpool
from mxlab_services.message import Pending, Queued, Recipient

async def main():
    spool = await SqliteSpool.open(Path(sys.argv[1]))
    pending = (Pending(Recipient("bob@example.test")),)
    for start in range({first}, {first} + 5000, 50):
        await asyncio.gather(*(
            spool.put(Queued(f"Z{{n:09}}", "<k>", "d", "", 1024, 0.0, pending), bytes(1024))
            for n in range(start, start + 50)
        ))
    os.kill(os.getpid(), 9)

asyncio.run(main())
"""


@pytest.mark.parametrize("mailboxes", [1, 50])
async def test_bench_maildir_deliveries(tmp_path: Path, mailboxes: int) -> None:
    maildir = MaildirMailboxes(tmp_path, SeededIds(ScaledClock(), random.Random(1)))

    async def deliver(number: int) -> None:
        await maildir.deliver(f"user{number % mailboxes}@example.test", CONTENT, float(number))

    line = await rate(deliver, iter(range(BATCH)))
    print(f"\n{mailboxes:7} mailboxes: deliver {line}")
    await maildir.close()


async def test_bench_what_fsync_allows(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    began = time.perf_counter()
    for _ in range(500):
        os.write(descriptor, bytes(4096))
        os.fsync(descriptor)
    print(f"\nfsync of 4 KiB appended: {500 / (time.perf_counter() - began):.0f}/s")
    os.close(descriptor)
