"""Our backup MX against Postfix as the backup MX: the same machine, disk, DNS, client and primary.

Both run as plain processes, both sync before they answer 250. The load comes from Postfix's own
smtp-source, the returned primary is its smtp-sink, so that both sides of the wire are the same.
Rates are messages per second, medians of rounds in which the two take turns.
"""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import pytest

from mxlab.backends.base import Lab, Node, Order
from mxlab.backends.process import ProcessBackend
from mxlab_services.control.requests import QueueFlush, QueueList
from tests.bench.table import Table
from tests.support.postfix import Postfix, postfix, problem

SESSIONS = (1, 10, 20)
ACCEPT = 600  # messages a round
DRAIN = 3000  # messages of backlog
ROUNDS = 3

pytestmark = [pytest.mark.bench, pytest.mark.skipif(bool(problem()), reason=problem() or "-")]


@dataclass(frozen=True, slots=True)
class Contender:
    """A backup MX at `address`; `flush` makes it try its queue now. `calm`: nothing is being tried,
    so that a flush reaches every message."""

    name: str
    address: str
    calm: Callable[[], Awaitable[bool]]
    flush: Callable[[], Awaitable[object]]


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    async with asyncio.timeout(300):
        assert await process.wait() == 0, command


async def load(address: str, sessions: int, count: int) -> float:
    """Messages per second that `address` accepts, durable, 1 KiB each."""
    began = time.perf_counter()
    await run(
        "smtp-source", "-s", str(sessions), "-m", str(count), "-l", "1024",
        "-f", "alice@client.test", "-t", "bob@example.test", f"{address}:25",
    )  # fmt: skip
    return count / (time.perf_counter() - began)


async def drain(contender: Contender, primary: str, count: int) -> float:
    """Messages per second that reach a primary that comes back, from the flush to the last."""
    async with asyncio.timeout(120):
        while not await contender.calm():  # noqa: ASYNC110 - another program announces nothing
            await asyncio.sleep(0.1)
    sink = await asyncio.create_subprocess_exec(
        "smtp-sink", "-u", "nobody", "-M", str(count), f"{primary}:25", "1000"
    )
    await listening(primary)
    began = time.perf_counter()
    await contender.flush()
    async with asyncio.timeout(300):
        await sink.wait()
    return count / (time.perf_counter() - began)


async def listening(address: str) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                _, writer = await asyncio.open_connection(address, 25)
            except OSError:
                await asyncio.sleep(0.02)  # another program's port: its only sign
            else:
                writer.close()
                return


async def our_calm(node: Node) -> bool:
    return all(entry.queue_name == "deferred" for entry in await node.request(QueueList()))


async def their_calm(instance: Postfix) -> bool:
    listing = await instance.command("postqueue", "-j")
    return '"queue_name": "deferred"' in listing and not any(
        f'"queue_name": "{busy}"' in listing for busy in ("active", "incoming", "maildrop")
    )


@asynccontextmanager
async def contenders() -> AsyncIterator[tuple[Lab, list[Contender]]]:
    """A lab whose primary is dead, and a Postfix beside it that is a backup for the same domain."""
    order = Order(f"bench-postfix-{os.getpid()}", "bench")
    async with ProcessBackend().deploy(order, lambda _: None) as lab:
        await lab.nodes["mx1"].kill()
        ours = lab.nodes["mx2"]
        address = ours.config.address.rpartition(".")[0] + ".99"
        settings = {
            "myhostname": "mx2.example.test",
            "relay_domains": "example.test",
            "relay_recipient_maps": "",
            "proxy_interfaces": f"{address} {ours.config.address}",
        }
        async with postfix(address, lab.nodes["dns"].config.address, settings) as theirs:
            yield (
                lab,
                [
                    Contender(
                        "mxlab",
                        ours.config.address,
                        lambda: our_calm(ours),
                        lambda: ours.request(QueueFlush()),
                    ),
                    Contender(
                        "Postfix",
                        address,
                        lambda: their_calm(theirs),
                        lambda: theirs.command("postqueue", "-f"),
                    ),
                ],
            )


async def test_accepting_while_the_primary_is_down() -> None:
    table = Table("accepting, primary down", "sessions", "mxlab/s", "Postfix/s", "ratio")
    async with contenders() as (_, both):
        for sessions in SESSIONS:
            rates: dict[str, list[float]] = {one.name: [] for one in both}
            for _ in range(ROUNDS):
                for one in both:
                    rates[one.name].append(await load(one.address, sessions, ACCEPT))
            ours, theirs = (statistics.median(rates[name]) for name in ("mxlab", "Postfix"))
            table.row(sessions, f"{ours:.0f}", f"{theirs:.0f}", f"{ours / theirs:.2f}")
    table.show()


async def test_draining_a_backlog() -> None:
    table = Table("draining to the returned primary", "backlog", "mxlab/s", "Postfix/s", "ratio")
    async with contenders() as (lab, both):
        primary = lab.nodes["mx1"].config.address
        rates = {}
        for one in both:
            await load(one.address, 20, DRAIN)
            rates[one.name] = await drain(one, primary, DRAIN)
    table.row(
        DRAIN,
        f"{rates['mxlab']:.0f}",
        f"{rates['Postfix']:.0f}",
        f"{rates['mxlab'] / rates['Postfix']:.2f}",
    )
    table.show()
