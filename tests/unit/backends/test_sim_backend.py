"""The sim backend: whole labs in virtual time, repeatable to the last event."""

import asyncio
import hashlib
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from mxlab.backends.base import Node, Order
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.backends.sim.loop import SimLeak
from mxlab.errors import AlreadyUp, NodeUnreachable, NotUp, Refused
from mxlab.faults.open import open_faults
from mxlab.model.topology import Topology
from mxlab.operate.zones import change_record, zones_served
from mxlab.runner.now import inspect
from mxlab.runner.reset import reset
from mxlab_services.control.requests import (
    ConfigChange,
    ConfigList,
    Dig,
    MailboxList,
    Ping,
    QueueList,
    RecordRead,
    Submit,
)
from mxlab_services.events import encode
from tests.support.liveness import keeps_what_is_so_already, refuses_when_it_does_not_run
from tests.support.stories import in_lab, send

R = TypeVar("R")


async def until_delivered(lab: SimLab, count: int) -> None:
    seen = 0
    async for event in lab.nodes["mx1"].events():
        seen += event.kind == "mailbox.delivered"
        if seen == count:
            return


async def outage(lab: SimLab) -> str:
    """Three messages through an outage of the primary, as a digest of all events."""
    await lab.nodes["mx1"].kill()
    await send(lab, count=3)
    await lab.clock.sleep(3600)
    assert len(await lab.nodes["mx2"].request(QueueList())) == 3
    await lab.nodes["mx1"].start()
    await until_delivered(lab, 3)
    digest = hashlib.sha256()
    for node in lab.nodes.values():
        async for event in node.events(follow=False):
            digest.update(encode(event))
    return digest.hexdigest()


def test_an_outage_of_the_primary_is_survived() -> None:
    assert in_lab(outage)


def test_the_same_seed_gives_the_same_events_and_another_seed_others() -> None:
    assert in_lab(outage, seed=1) == in_lab(outage, seed=1)
    assert in_lab(outage, seed=1) != in_lab(outage, seed=2)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_the_hash_seed_changes_nothing(hash_seed: str) -> None:
    here = "tests.unit.backends.test_sim_backend"
    code = f"from {here} import in_lab, outage; print(in_lab(outage, seed=7))"
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == in_lab(outage, seed=7)


def test_starttls_is_used_where_the_topology_asks_for_it() -> None:
    async def story(lab: SimLab) -> list[str]:
        await send(lab)
        await until_delivered(lab, 1)
        words = []
        async for event in lab.nodes["mx1"].events(follow=False):
            if event.kind == "message.accepted":
                words.append(event.body.protocol)  # type: ignore[attr-defined]
        return words

    assert in_lab(story, topology=Topology(tls=True)) == ["ESMTPS"]


def test_a_killed_node_is_unreachable_and_comes_back_with_its_queue() -> None:
    async def story(lab: SimLab) -> int:
        await lab.nodes["mx1"].kill()
        await send(lab, count=2)
        await lab.clock.sleep(60)
        mx2 = lab.nodes["mx2"]
        await mx2.kill()
        assert await mx2.state() == "stopped"
        with pytest.raises(NodeUnreachable, match="mx2 is stopped"):
            await mx2.request(Ping())
        await mx2.start()
        return (await mx2.request(Ping())).queued

    assert in_lab(story) == 2


def test_a_paused_node_does_not_answer_until_resumed() -> None:
    async def story(lab: SimLab) -> str:
        mx2 = lab.nodes["mx2"]
        await mx2.pause()
        assert await mx2.state() == "paused"
        with pytest.raises(NodeUnreachable, match="mx2 is paused"):
            await mx2.request(Ping())
        await mx2.resume()
        return (await mx2.request(Ping())).node

    assert in_lab(story) == "mx2"


def test_a_crash_before_the_sync_loses_what_was_not_acknowledged() -> None:
    async def story(lab: SimLab) -> tuple[int, int]:
        client = lab.nodes["client"]
        submitting = asyncio.ensure_future(send(lab, count=5))
        await asyncio.sleep(0.001)  # virtual: half a sync
        await client.kill()
        with pytest.raises(NodeUnreachable):
            await submitting
        await client.start()
        return (await client.request(Ping())).queued, len(await client.request(RecordRead()))

    assert in_lab(story) == (0, 0)


def test_a_refusal_is_told_in_the_nodes_words() -> None:
    async def story(lab: SimLab) -> None:
        with pytest.raises(Refused, match="not-an-address"):
            await lab.nodes["client"].request(Submit("alice@client.test", ["not-an-address"]))
        assert (await lab.nodes["client"].request(Dig("example.test", "MX"))).rcode == "NOERROR"
        assert await lab.nodes["mx1"].request(MailboxList()) == []

    in_lab(story)


def test_stop_is_in_good_order_and_the_network_is_gone_with_the_host() -> None:
    async def story(lab: SimLab) -> list[str]:
        await lab.nodes["mx1"].stop()
        await send(lab)
        await lab.clock.sleep(10)
        return [e.kind async for e in lab.nodes["mx1"].events(follow=False)]

    assert in_lab(story) == ["node.ready", "node.stopping"]


def test_a_service_that_reads_the_hosts_clock_fails_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import time

    from mxlab_services.queue import enqueue as queue
    from mxlab_services.queue import received

    original = received.received_field
    planted: dict[str, object] = {"__name__": "mxlab_services.planted", "time": time}
    exec(compile("def now():\n    return time.time()\n", "planted.py", "exec"), planted)

    def leaking(*args: object) -> bytes:
        planted["now"]()  # type: ignore[operator]
        return original(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(queue, "received_field", leaking)

    async def story(lab: SimLab) -> None:
        try:
            await send(lab)
        except Exception:  # noqa: BLE001 - services may wrap it; the run must fail all the same
            await lab.clock.sleep(1)

    with pytest.raises(SimLeak, match=r"planted\.py:2 asks for the host's clock"):
        in_lab(story)


def test_labs_of_one_name_exclude_each_other_and_are_found() -> None:
    async def main() -> None:
        backend = SimBackend()
        async with backend.deploy(Order("lab", "one"), lambda _: None):
            assert [(f.lab, f.nodes["mx1"]) for f in await backend.find()] == [("lab", "running")]
            with pytest.raises(AlreadyUp):
                async with backend.deploy(Order("lab", "two"), lambda _: None):
                    pass
            async with backend.attach("lab") as lab:
                assert (await lab.nodes["mx1"].request(Ping())).node == "mx1"
        assert await backend.find() == []
        assert (await backend.remove("lab")).items == ()
        with pytest.raises(NotUp):
            async with backend.attach("lab"):
                pass

    simulate(main)


def test_what_a_node_logs_is_kept_with_the_node() -> None:
    async def story(lab: SimLab) -> list[str]:
        return [line async for line in lab.logs("mx1", follow=False)]

    assert in_lab(story) == []


@pytest.mark.parametrize("common", [refuses_when_it_does_not_run, keeps_what_is_so_already])
def test_a_node_that_is_not_up_behaves_as_in_every_backend(
    common: Callable[[Node], Awaitable[None]],
) -> None:
    async def story(lab: SimLab) -> None:
        await common(lab.nodes["mx1"])

    in_lab(story)


def test_a_lab_that_is_reset_is_as_it_came_up() -> None:
    async def story(lab: SimLab) -> None:
        zones, settings = await zones_served(lab), await lab.nodes["mx2"].request(ConfigList())
        await send(lab, count=3)
        await until_delivered(lab, 3)
        await change_record(lab, "x.example.test. 60 IN A 10.0.0.1", adding=True)
        await lab.nodes["mx2"].request(ConfigChange({"limits.message_size": 5000}))
        await lab.nodes["mx1"].kill()
        await send(lab, count=2)
        await lab.clock.sleep(60)
        assert len(await lab.nodes["mx2"].request(QueueList())) == 2
        await lab.nodes["client"].pause()
        await reset(lab)
        assert await zones_served(lab) == zones
        assert await lab.nodes["mx2"].request(ConfigList()) == settings
        assert await open_faults(lab) == []
        assert await lab.nodes["mx1"].request(MailboxList()) == []
        assert not (await inspect(lab)).units
        await send(lab, count=1)  # a life like any other
        await lab.clock.sleep(5)
        assert {unit.state for unit in (await inspect(lab)).units} == {"delivered"}

    in_lab(story)
