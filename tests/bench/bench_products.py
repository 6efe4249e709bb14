"""Outages with kills at random moments, each product as the backup: nothing lost, all explained.

Both exchanges die at random moments of a batch, and come back in some order.
After each outage the queues are flushed until they are empty; in the end the lab is judged. The
moments come from a seed; MXLAB_OUTAGES says how many outages (50). Lines of the product's log that
the agent did not understand are counted in each of its lives.
"""

import asyncio
import os
import random
import time
from collections import Counter

import pytest

from mxlab.backends.base import Lab, Order
from mxlab.backends.docker import DockerBackend
from mxlab.backends.docker.products import MAIL_SERVERS
from mxlab.errors import LabError
from mxlab.model.finding import Verdict
from mxlab.model.topology import Topology
from mxlab.plan.software import with_software
from mxlab.runner.now import Inspection, inspect
from mxlab_services.config import TimeConfig
from mxlab_services.control.requests import MailboxList, QueueFlush, QueueList, Stats, Submit
from mxlab_services.products.agent import NOT_UNDERSTOOD
from tests.bench.table import Table, machine

OUTAGES = int(os.environ.get("MXLAB_OUTAGES", "50"))
BATCH = 5  # messages of an outage
SEED = 7
SPREAD = 2.0  # real seconds in which hosts die
PATIENCE = 400.0  # real seconds until all is delivered: OpenSMTPD waits 300 s for a reply
CHECKS = ("nothing-lost", "nothing-forged", "nothing-altered", "duplicates-explained")

pytestmark = [pytest.mark.bench, pytest.mark.timeout(OUTAGES * 60 + 120)]


def quiet(_: str) -> None:
    """Progress that nobody looks at."""


async def outage(lab: Lab, rng: random.Random, counted: Counter[str]) -> None:
    """A batch, in the course of which both exchanges die, one after the other in some order.
    `counted` gets what the backup's life that ends has counted."""
    batch = Submit("alice@client.test", ["bob@example.test"], count=BATCH, rate=BATCH / SPREAD)
    sending = asyncio.create_task(lab.nodes["client"].request(batch))

    async def dies(host: str) -> None:
        await asyncio.sleep(rng.uniform(0, SPREAD))
        if host == "mx2":
            counted.update(await lab.nodes[host].request(Stats()))
        await lab.nodes[host].kill()

    await asyncio.gather(dies("mx1"), dies("mx2"))
    await sending
    for host in rng.sample(["mx1", "mx2"], 2):
        await asyncio.sleep(rng.uniform(0, SPREAD))
        await lab.nodes[host].start()


async def settled(lab: Lab, expected: int) -> None:
    """Flush until so many messages lie in the mailboxes, and no queue holds any."""
    until = time.monotonic() + PATIENCE
    while True:
        for host in ("client", "mx2"):
            await lab.nodes[host].request(QueueFlush())
        queued = [await lab.nodes[h].request(QueueList()) for h in ("client", "mx1", "mx2")]
        there = {entry.message for entry in await lab.nodes["mx1"].request(MailboxList())}
        if not any(queued) and len(there) >= expected:
            return
        assert time.monotonic() < until, f"{len(there)} of {expected} are there; queued: {queued}"
        await asyncio.sleep(0.5)


@pytest.mark.parametrize("product", [product.name for product in MAIL_SERVERS])
async def test_no_message_is_lost_or_unexplained(product: str) -> None:
    rng, began = random.Random(SEED), time.monotonic()
    clock = TimeConfig(1.0, time.time())  # noqa: TID251 - when this lab's time begins
    topology = with_software(Topology(), {"mx2": product})
    order = Order(f"bench-{product}", "r1", topology, clock)
    backend = DockerBackend()
    counted: Counter[str] = Counter()
    await backend.prepare(quiet)
    async with backend.deploy(order, quiet) as lab:
        for number in range(1, OUTAGES + 1):
            await outage(lab, rng, counted)
            await settled(lab, number * BATCH)
        found = await judged(lab)
        counted.update(await lab.nodes["mx2"].request(Stats()))
    table = Table(
        f"Outages with random kills, {product} as backup ({machine()})",
        "outages", "messages", "delivered", "second copies", "not explained",
        "log lines not understood", "seconds",
    )  # fmt: skip
    delivered = sum(unit.deliveries > 0 for unit in found.units)
    copies = sum(max(0, unit.deliveries - 1) for unit in found.units)
    wrong = [one for one in found.findings if one.verdict is not Verdict.PASS]
    lines = counted[NOT_UNDERSTOOD]
    seconds = f"{time.monotonic() - began:.0f}"
    table.row(OUTAGES, OUTAGES * BATCH, delivered, copies, len(wrong), lines, seconds)
    table.show()
    assert not wrong, wrong
    assert delivered == OUTAGES * BATCH
    assert not lines


async def judged(lab: Lab) -> Inspection:
    """The verdicts on all of it, of a moment in which nothing moves."""
    for _ in range(10):
        found = await inspect(lab, CHECKS)
        if not found.moving:
            return found
        await asyncio.sleep(1)
    raise LabError("mail never came to rest")
