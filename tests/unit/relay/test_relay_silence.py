"""A host that lets senders wait in vain is passed over while another can be tried."""

import asyncio

from mxlab.backends.base import Order
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab_services import events
from mxlab_services.control.requests import QueueFlush, Submit


async def send(lab: SimLab, count: int) -> None:
    request = Submit(sender="alice@client.test", recipients=["bob@example.test"], count=count)
    await lab.nodes["client"].request(request)


async def tried(lab: SimLab) -> list[events.Tried]:
    heard = [event.body async for event in lab.nodes["client"].events(follow=False)]
    return [body for body in heard if isinstance(body, events.Tried)]


async def until(lab: SimLab, node: str, kind: str, count: int) -> None:
    seen = 0
    async for event in lab.nodes[node].events():
        seen += event.kind == kind
        if seen == count:
            return


def test_a_backlog_waits_for_a_dead_primary_once_and_not_for_each_message() -> None:
    async def main() -> tuple[float, list[events.Tried]]:
        async with SimBackend().deploy(Order("lab", "run"), lambda _: None) as lab:
            await lab.nodes["mx1"].kill()
            began = asyncio.get_running_loop().time()
            await send(lab, 20)
            await until(lab, "mx2", "message.accepted", 20)
            return asyncio.get_running_loop().time() - began, await tried(lab)

    seconds, tries = simulate(main)
    assert seconds < 3  # one connect timeout of 2 s, in virtual time
    stages = [body.stage for body in tries if body.host == "mx1.example.test"]
    assert stages.count("connect") == 2  # the two attempts that began side by side
    assert stages.count("skipped") == 18
    skipped = next(body for body in tries if body.stage == "skipped")
    assert "timed out" in skipped.reply


def test_a_host_that_was_silent_is_asked_again_after_a_while_or_when_told_to() -> None:
    async def main() -> tuple[list[str], list[str]]:
        async with SimBackend().deploy(Order("lab", "run"), lambda _: None) as lab:
            await lab.nodes["mx1"].kill()
            await send(lab, 1)
            await until(lab, "client", "queue.removed", 1)
            await lab.nodes["mx1"].start()
            await lab.nodes["client"].request(QueueFlush())
            await send(lab, 1)
            await until(lab, "client", "queue.removed", 2)
            told = [f"{body.host.partition('.')[0]} {body.stage}" for body in await tried(lab)]
            await lab.nodes["mx1"].kill()
            await asyncio.sleep(10)
            await send(lab, 1)
            await until(lab, "client", "queue.removed", 3)
            await lab.nodes["mx1"].start()
            await asyncio.sleep(6)
            await send(lab, 1)
            await until(lab, "client", "queue.removed", 4)
            later = [f"{body.host.partition('.')[0]} {body.stage}" for body in await tried(lab)]
            return told, later[len(told) :]

    told, later = simulate(main)
    assert told == ["mx1 connect", "mx2 done", "mx1 done"]
    assert later == ["mx1 connect", "mx2 done", "mx1 done"]


def test_no_attempt_passes_every_host_over() -> None:
    async def main() -> list[list[str]]:
        async with SimBackend().deploy(Order("lab", "run"), lambda _: None) as lab:
            await lab.nodes["mx1"].kill()
            await lab.nodes["mx2"].kill()
            await send(lab, 1)
            await asyncio.sleep(60)
            attempts: list[list[str]] = []
            async for event in lab.nodes["client"].events(follow=False):
                match event.body:
                    case events.AttemptStarted():
                        attempts.append([])
                    case events.Tried(stage=stage):
                        attempts[-1].append(stage)
                    case _:
                        pass
            return attempts

    attempts = simulate(main)
    assert len(attempts) >= 3
    assert all("connect" in stages for stages in attempts if stages)
