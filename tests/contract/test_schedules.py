"""Our schedules named postfix, exim and opensmtpd against the originals, retry by retry.

Each product is a backup with the schedule of its name, which is what it does by default, and its
primary says 450 to each RCPT: the times at which that strikes are the attempts. Postfix and Exim
run so many times faster; OpenSMTPD's schedule is built in, and cannot: between two attempts its
message is made older, on its disk, so that the next one is due in a moment.
"""

import asyncio
import re
import secrets
import subprocess
import time
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from typing import NamedTuple

import pytest

from mxlab.backends.base import CanExec, Lab, Order
from mxlab.model.topology import Exchange, Topology
from mxlab_services import events
from mxlab_services.config import TimeConfig
from mxlab_services.faults.kinds import ReplyWith
from mxlab_services.faults.requests import FaultSet
from mxlab_services.products.opensmtpd_spool import listed
from mxlab_services.queue.retry import SCHEDULES
from tests.support.product_lab import talk, transaction
from tests.support.retries import Tolerance, against

SOON = 10  # real seconds in which a message that was made older is due
PATIENCE = 120.0  # real seconds until the next attempt


class Original(NamedTuple):
    """How a product is run: so many times faster, and for how many retries."""

    scale: float
    retries: int
    within: Tolerance
    recorded: tuple[float, ...]  # the ages at the attempts of such a run


ORIGINALS = {
    # Postfix looks at what is due every 300 s (queue_run_delay) and counts whole seconds, here 60.
    "postfix": Original(
        60.0, 5, Tolerance(early=60, late=420), (0, 490, 1094, 2296, 4700, 8908)
    ),
    # Exim counts whole seconds, here 90, and looks every one of them. It makes the next interval of
    # the last one, we of the age, in which each attempt that was late counts.
    "exim": Original(
        90.0, 11, Tolerance(early=90, late=270, share=0.15),
        (0, 946, 1853, 2755, 3667, 4570, 5466, 6369, 7278, 8180, 11826),
    ),
    "opensmtpd": Original(
        1.0, 5, Tolerance(early=3, late=3), (0, 400, 1600, 3600, 6400, 10000)
    ),
}  # fmt: skip


@asynccontextmanager
async def backup(software: str, scale: float) -> AsyncIterator[tuple[Lab, list[events.Event]]]:
    """A lab in which it is the backup, with one message that the primary refuses for now. The
    events are the primary's."""
    from mxlab.backends.docker import DockerBackend

    mx = (
        Exchange("mx1", 10),
        Exchange("mx2", 20, software=software, schedule=software, jitter=0.0),  # type: ignore[arg-type]
    )
    clock = TimeConfig(scale, time.time())  # noqa: TID251 - when this lab's time begins
    order = Order(f"t-{secrets.token_hex(4)}", "run", Topology(mx=mx), clock)
    heard: list[events.Event] = []
    async with DockerBackend().deploy(order, lambda _: None) as lab, asyncio.TaskGroup() as group:
        listening = group.create_task(_listen(lab, heard))
        await lab.nodes["mx1"].request(FaultSet("later", ReplyWith("mx1", verb="RCPT", code=450)))
        config = lab.nodes["mx2"].config
        replies = await talk(
            (config.address, 25), *transaction(b"bob@example.test", b"Subject: x\r\n\r\nx")
        )
        assert replies[-2].startswith(b"250"), replies
        yield lab, heard
        listening.cancel()


async def _listen(lab: Lab, heard: list[events.Event]) -> None:
    async with aclosing(lab.nodes["mx1"].events()) as stream:  # type: ignore[type-var]
        async for event in stream:
            if isinstance(event.body, events.FaultStruck):
                heard.append(event)


async def attempts(heard: list[events.Event], count: int) -> list[float]:
    """When so many attempts were made (lab time), once they were."""
    async with asyncio.timeout(PATIENCE * count):
        while len(heard) < count:  # noqa: ASYNC110 - which are minutes apart
            await asyncio.sleep(0.1)
    return [event.at for event in heard]


def inside(lab: Lab, *command: str) -> str:
    """What a command at the backup writes."""
    node = lab.nodes["mx2"]
    assert isinstance(node, CanExec)
    words = node.exec_command(command, interactive=False)
    return subprocess.run(words, stdout=subprocess.PIPE, text=True, timeout=60, check=True).stdout


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["postfix", "exim"])
async def test_the_schedule_is_the_originals(name: str) -> None:
    original = ORIGINALS[name]
    async with backup(name, original.scale) as (_, heard):
        at = await attempts(heard, original.retries + 1)
    ages = [one - at[0] for one in at]
    assert not against(name, ages, original.within), ages


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.nightly
@pytest.mark.timeout(900)
async def test_the_schedule_is_the_one_that_is_built_into_opensmtpd() -> None:
    original = ORIGINALS["opensmtpd"]
    ages = [0.0]
    async with backup("opensmtpd", original.scale) as (lab, heard):
        for number in range(1, original.retries + 1):
            at = (await attempts(heard, number))[-1]
            name, due = await told(lab, number)
            begun = created(lab, name)
            if number > 1:
                assert at - begun == pytest.approx(ages[-1], abs=3)  # it kept its word
            ages.append(due - begun)
            if number < original.retries:
                await make_older(lab, name, ages[-1] - SOON)
    assert not against("opensmtpd", ages, original.within), ages


async def told(lab: Lab, tried: int) -> tuple[str, float]:
    """The message's envelope, and when it is due by its scheduler's word (Unix time), once it has
    failed so often."""
    async with asyncio.timeout(30):
        while True:
            now = time.time()  # noqa: TID251 - of the host, as its queue has it
            for one in listed(inside(lab, "smtpctl", "show", "queue")):
                if one.tried == tried and one.due is not None:
                    return one.envelope, now + one.due
            await asyncio.sleep(0.2)


def created(lab: Lab, envelope: str) -> float:
    """When the message came, as its envelope on the disk has it."""
    found = re.search(r"^ctime: (\d+)$", inside(lab, "cat", place(envelope)), re.MULTILINE)
    assert found
    return float(found[1])


async def make_older(lab: Lab, envelope: str, age: float) -> None:
    """Its backup dies, and finds it as if it had come so many seconds ago."""
    came = int(time.time() - age)  # noqa: TID251 - of the host, as its queue has it
    inside(lab, "sed", "-i", f"s/^ctime: .*/ctime: {came}/", place(envelope))
    await lab.nodes["mx2"].kill()
    await lab.nodes["mx2"].start()


def place(envelope: str) -> str:
    return f"/var/spool/smtpd/queue/{envelope[:2]}/{envelope[:8]}/{envelope}"


@pytest.mark.parametrize("name", ORIGINALS)
def test_only_the_schedule_of_its_name_has_what_an_original_did(name: str) -> None:
    original = ORIGINALS[name]
    fits = [one for one in SCHEDULES if not against(one, original.recorded, original.within)]
    assert fits == [name]
    ages = list(original.recorded)
    ages[2] += 2 * original.within.late + ages[2]
    assert "retry 2" in against(name, ages, original.within)[0]
