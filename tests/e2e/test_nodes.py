"""Whole nodes in one process, on loopback addresses, with real sockets and disks.

::

    client ──> mx1, mx2 ──> mailboxes      each node with real sockets and a real disk,
       └── dns ──┘                         all in this process
"""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from mxlab.model.topology import Topology
from mxlab.plan.plan import AddressPlan, Plan, make_plan
from mxlab_services import events
from mxlab_services.clock import ScaledClock
from mxlab_services.config import DnsConfig, MxConfig, PeerConfig
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.control.requests import (
    Dig,
    MailboxList,
    MailboxRead,
    Ping,
    QueueFlush,
    QueueList,
    RecordRead,
    RouteRead,
    Stats,
    Submit,
)
from mxlab_services.events import Emitter, Event
from mxlab_services.node import start_node
from mxlab_services.runtime import NoStorage, Parts, RunningNode, ids_for
from mxlab_services.storage.files import FileStorage
from tests.support.process_lab import subnet

ALICE, BOB = "alice@client.test", "bob@example.test"


class Nodes:
    """The nodes of the default topology, each started and stopped by name."""

    def __init__(self, folder: Path) -> None:
        world = AddressPlan(subnet(), smtp_port=2525, dns_port=5353, data=str(folder / "{node}"))
        self.plan: Plan = make_plan("test", "run", Topology(), world)
        self.heard: list[Event] = []
        self._news = asyncio.Event()
        self._running: dict[str, RunningNode] = {}

    def __getitem__(self, name: str) -> RunningNode:
        return self._running[name]

    async def start(self, *names: str) -> None:
        for name in names:
            config = self.plan.node(name)
            clock = ScaledClock()
            emit = Emitter(name, clock, self._hear)
            storage = (
                NoStorage()
                if isinstance(config, DnsConfig | PeerConfig)
                else FileStorage(Path(config.data), clock, ids_for(config, clock, "mailboxes"))
            )
            self._running[name] = await start_node(config, Parts(clock, emit, storage))

    async def stop(self, *names: str) -> None:
        for name in names or list(self._running):
            await self._running.pop(name).stop("the test says so")

    async def until(self, kind: type[events.Body], node: str, count: int = 1) -> list[Event]:
        """Wait for so many events of a kind from a node."""
        async with asyncio.timeout(20):
            while len(found := self.of(kind, node)) < count:
                self._news.clear()
                await self._news.wait()
        return found

    def of(self, kind: type[events.Body], node: str) -> list[Event]:
        return [e for e in self.heard if isinstance(e.body, kind) and e.node == node]

    def _hear(self, event: Event) -> None:
        self.heard.append(event)
        self._news.set()


@pytest.fixture
async def nodes(tmp_path: Path) -> AsyncIterator[Nodes]:
    found = Nodes(tmp_path)
    try:
        await found.start("dns", "mx1", "mx2", "client")
        yield found
    finally:
        await found.stop()


async def mailbox(nodes: Nodes) -> list[MailboxEntry]:
    return await nodes["mx1"].controls(MailboxList(BOB))


async def test_a_message_travels_from_the_client_to_the_mailbox(nodes: Nodes) -> None:
    (sent,) = await nodes["client"].controls(Submit(ALICE, [BOB], subject="to the mailbox"))
    await nodes.until(events.Removed, "mx1")
    await nodes.until(events.Removed, "client")
    (found,) = await mailbox(nodes)
    assert (found.message, found.digest) == (sent.message, sent.digest)
    assert (found.subject, found.reverse_path) == ("to the mailbox", ALICE)
    text = (await nodes["mx1"].controls(MailboxRead(BOB, found.name))).decode()
    assert text.startswith(f"Return-Path: <{ALICE}>\r\nDelivered-To: {BOB}\r\nReceived: from ")
    assert text.count("\r\nReceived: ") == 2
    (entry,) = await nodes["client"].controls(RecordRead())
    assert (entry.outcome, entry.recipient, entry.host) == ("acked", BOB, "mx1.example.test")
    assert not nodes.of(events.Accepted, "mx2")
    assert all(event.node for event in nodes.heard)
    kinds = [e.kind for e in nodes.heard if e.message == sent.message]
    assert kinds.index("message.accepted") < kinds.index("attempt.started")
    assert kinds.index("route") < kinds.index("relay.tried")


async def test_the_backup_holds_the_mail_until_the_primary_is_back(nodes: Nodes) -> None:
    await nodes.stop("mx1")
    sent = await nodes["client"].controls(Submit(ALICE, [BOB], count=5))
    await nodes.until(events.Accepted, "mx2", 5)
    await nodes.until(events.Removed, "client", 5)
    await nodes.until(events.DestinationDead, "mx2")
    queue = await nodes["mx2"].controls(QueueList())
    assert sorted(e.message for e in queue) == sorted(m.message for m in sent)
    assert all("refused" in e.recipients[0].delay_reason for e in queue if e.queue_name != "active")
    assert (await nodes["mx2"].controls(Ping())).queued == 5
    await nodes.start("mx1")
    assert await nodes["mx2"].controls(QueueFlush()) == 5
    await nodes.until(events.Removed, "mx2", 5)
    await nodes.until(events.MailboxDelivered, "mx1", 5)
    found = await mailbox(nodes)
    assert sorted(e.digest for e in found) == sorted(m.digest for m in sent)
    assert nodes.of(events.DestinationAlive, "mx2")


async def test_a_restarted_backup_still_has_the_mail(nodes: Nodes) -> None:
    await nodes.stop("mx1")
    await nodes["client"].controls(Submit(ALICE, [BOB], count=3))
    await nodes.until(events.Removed, "client", 3)
    await nodes.stop("mx2")
    await nodes.start("mx1", "mx2")
    await nodes.until(events.MailboxDelivered, "mx1", 3)
    ready = nodes.of(events.NodeReady, "mx2")[-1].body
    assert isinstance(ready, events.NodeReady)
    assert ready.queued == 3


async def test_etrn_makes_the_backup_send(nodes: Nodes) -> None:
    await nodes.stop("mx1")
    await nodes["client"].controls(Submit(ALICE, [BOB]))
    await nodes.until(events.DestinationDead, "mx2")
    await nodes.start("mx1")
    config = nodes.plan.node("mx2")
    reader, writer = await asyncio.open_connection(config.address, 2525)
    try:
        async with asyncio.timeout(10):
            await reader.readline()
            writer.write(b"EHLO mx1.example.test\r\n")
            while not (await reader.readline()).startswith(b"250 "):
                pass
            writer.write(b"ETRN example.test\r\nQUIT\r\n")
            assert (await reader.readline()).startswith(b"25")
            await nodes.until(events.MailboxDelivered, "mx1")
    finally:
        writer.close()


async def test_unknown_domains_bounce_to_the_sender(nodes: Nodes) -> None:
    await nodes["client"].controls(Submit(ALICE, ["x@nowhere.example.test"]))
    await nodes.until(events.MailboxDelivered, "client")
    (report,) = await nodes["client"].controls(MailboxList(ALICE))
    assert report.reverse_path == ""
    assert report.subject == "Undelivered Mail Returned to Sender"
    assert (await nodes["client"].controls(Stats()))["backscatter"] == 0


async def test_nodes_answer_questions(nodes: Nodes) -> None:
    dug = await nodes["client"].controls(Dig("example.test", "MX"))
    assert len(dug.answers) == 2
    route = await nodes["client"].controls(RouteRead(BOB))
    assert route.status == "relay"
    assert "mx1" in route.targets[0]
    loop = await nodes["mx2"].controls(RouteRead(BOB))
    assert len(loop.targets) == 1
    assert (await nodes["mx1"].controls(RouteRead(BOB))).status == "local"
    assert (await nodes["dns"].controls(Stats()))["dns.query"] > 0


async def test_damage_of_the_spool_is_told_before_the_node_is_ready(nodes: Nodes) -> None:
    await nodes.stop("mx1")
    await nodes["client"].controls(Submit(ALICE, [BOB], count=3))
    await nodes.until(events.Removed, "client", 3)
    await nodes.stop("mx2")
    config = nodes.plan.node("mx2")
    assert isinstance(config, MxConfig)
    database = Path(config.data) / "spool" / "spool.db"
    content = bytearray(database.read_bytes())
    content[4096:12288] = b"\xa5" * 8192
    database.write_bytes(content)
    await nodes.start("mx2")
    kinds = [event.kind for event in nodes.heard if event.node == "mx2"]
    assert "spool.damaged" in kinds[: kinds.index("node.ready", kinds.index("node.stopping"))]


async def test_a_node_that_cannot_bind_leaves_nothing_open(nodes: Nodes) -> None:
    await nodes.stop("mx2")
    config = nodes.plan.node("mx2")
    blocker = await asyncio.start_server(lambda *_: None, config.address, 2525)
    with pytest.raises(OSError, match="address already in use"):
        await nodes.start("mx2")
    blocker.close()
    await blocker.wait_closed()
    await nodes.start("mx2")  # its spool is not locked by the failed start
