"""A backup MX with a backlog: how soon it is ready, its memory, and whether it slows down.

    pytest -s tests/bench/bench_backlog.py

The backlog is put into the spool's file beforehand, all of it due, while the primary is dead; then
the real process is started, as `mxlab start` would. Every row is one length of the queue, because
nothing here but listing and checking the file may depend on it. Messages are of 1 KiB.
"""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from mxlab.backends.base import Lab, Node, Order
from mxlab.backends.process import ProcessBackend
from mxlab_services.config import MxConfig
from mxlab_services.control.requests import Ping, QueueList
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.sqlite.spool import SqliteSpool
from tests.bench.table import Table, machine
from tests.support.postfix import problem

LENGTHS = (1_000, 10_000, 100_000)
READY = 2.0  # real seconds that a start may take, however long the queue
ACCEPT = 2_000  # messages offered by SMTP
SESSIONS = 20
ROUNDS = 3
FLAT = 1.15  # times what accepting costs the processor with the shortest queue, with the longest
PAGE = 1_000  # messages that a QueueList answers
PUTS = 1_000  # messages put at a time
CONTENT = (b"Subject: backlog\r\n\r\n" + (b"x" * 70 + b"\r\n") * 14)[:1022] + b"\r\n"

pytestmark = [pytest.mark.bench, pytest.mark.skipif(bool(problem()), reason=problem() or "-")]


def message(number: int, now: float) -> Queued:
    recipient = Recipient(f"user{number % 50}@example.test")
    return Queued(
        f"B{number:09}", f"<b{number}@client.test>", "d" * 64, "alice@client.test", len(CONTENT),
        now, (Pending(recipient, 1, now, "450 4.4.1 the primary is away"),),
    )  # fmt: skip


async def fill(data: Path, first: int, last: int, now: float) -> None:
    """Put messages into the spool of a node that does not run."""
    spool = await SqliteSpool.open(data / "spool" / "spool.db")
    for start in range(first, last, PUTS):
        numbers = range(start, min(start + PUTS, last))
        await asyncio.gather(*(spool.put(message(n, now), CONTENT) for n in numbers))
    await spool.close()


async def started(node: Node, end: Callable[[], Awaitable[None]]) -> float:
    """Real seconds from the start of the process to its node.ready, after it was ended so.

    The best of rounds: the machine may have other work.
    """
    seconds = []
    for _ in range(ROUNDS):
        await end()
        began = time.perf_counter()
        await node.start()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def process_of(data: Path) -> str:
    """The id of the process that keeps its data there."""
    return data.with_name("pid").read_text().split()[0]


def cpu(data: Path) -> float:
    """CPU seconds that the node has used since its start."""
    fields = Path(f"/proc/{process_of(data)}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory(data: Path) -> tuple[float, float]:
    """Memory of the node that keeps its data there, MiB: now, and at most since its start."""
    pid = process_of(data)
    fields = dict(
        line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    now, most = (int(fields[name].split()[0]) / 1024 for name in ("VmRSS", "VmHWM"))
    return now, most


async def listed(node: Node) -> tuple[int, float]:
    """Walk the queue by pages: messages, and real seconds."""
    began = time.perf_counter()
    found, after = 0, ""
    while page := await node.request(QueueList(after, PAGE)):
        found += len(page)
        after = page[-1].queue_id
    return found, time.perf_counter() - began


async def offered(address: str, data: Path) -> tuple[float, float]:
    """Messages per second that the node accepts by SMTP: the median of rounds; and the processor's
    seconds for each: the least of rounds, since the machine may have other work."""
    os.sync()  # what was put into the file is not to be written back on this account
    rates, costs = [], []
    for _ in range(ROUNDS):
        began, before = time.perf_counter(), cpu(data)
        source = await asyncio.create_subprocess_exec(
            "smtp-source", "-s", str(SESSIONS), "-m", str(ACCEPT), "-l", "1024",
            "-f", "alice@client.test", "-t", "bob@example.test", f"{address}:25",
        )  # fmt: skip
        async with asyncio.timeout(300):
            assert await source.wait() == 0
        rates.append(ACCEPT / (time.perf_counter() - began))
        costs.append((cpu(data) - before) / ACCEPT)
    return sorted(rates)[ROUNDS // 2], min(costs)


async def measure(lab: Lab, table: Table) -> tuple[float, list[float]]:
    """One row for each length; returns the slowest start, and the processor's cost at each."""
    node = lab.nodes["mx2"]
    assert isinstance(node.config, MxConfig)
    data = Path(node.config.data)
    stored = put = 0
    slowest = 0.0
    costs: list[float] = []
    for length in LENGTHS:
        await node.stop()
        await fill(data, put, put + length - stored, lab.clock.time())
        put += length - stored
        await node.start()
        in_order = await started(node, node.stop)
        after_kill = await started(node, node.kill)
        slowest = max(slowest, in_order, after_kill)
        ready, _ = memory(data)
        assert (await node.request(Ping())).queued == length
        found, seconds = await listed(node)
        assert found == length
        rate, each = await offered(node.config.address, data)
        costs.append(each)
        stored = (await node.request(Ping())).queued
        assert stored == length + ROUNDS * ACCEPT
        table.row(
            f"{length:,}", f"{in_order:.2f} s", f"{after_kill:.2f} s",
            f"{seconds:.2f} s", f"{rate:,.0f}/s", f"{each * 1e6:.0f} us",
            f"{ready:.0f} MiB", f"{memory(data)[1]:.0f} MiB",
        )  # fmt: skip
    return slowest, costs


async def test_a_backlog_is_no_burden() -> None:
    table = Table(
        f"A backup MX with a backlog, primary dead ({machine()})",
        "queued", "ready after a stop", "ready after SIGKILL", "listed in",
        f"accepts ({SESSIONS} sessions)", "CPU for each", "memory when ready", "memory at most",
    )  # fmt: skip
    async with ProcessBackend().deploy(Order("bench-backlog", "bench"), lambda _: None) as lab:
        await lab.nodes["mx1"].kill()
        slowest, costs = await measure(lab, table)
    table.show()
    assert slowest <= READY
    assert costs[-1] <= FLAT * costs[0]
