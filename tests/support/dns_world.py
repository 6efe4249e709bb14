"""Whole name servers in the simulation, by their configuration: started, killed, asked, heard."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from dnslib import DNSRecord

from mxlab.backends.sim.loop import HostLife, SimLoop
from mxlab.backends.sim.network import Network
from mxlab.backends.sim.node import SimClock, SimNode
from mxlab_services.config import DnsConfig
from mxlab_services.dns.names import fold, parse_name
from mxlab_services.dns.query import DnsClient, rcode_text
from mxlab_services.dns.records import data_text
from mxlab_services.events import Body

R = TypeVar("R")
B = TypeVar("B", bound=Body)
ASKER = "10.0.0.99"
HEAD = "$TTL 60\n@ SOA ns1 hostmaster {serial} {refresh} {retry} {expire} 60\n@ NS ns1\n@ NS ns2\n"
HOSTS = "ns1 A 10.0.0.1\nns2 A 10.0.0.2\n"


def zone(serial: int = 1, more: str = "", times: tuple[int, int, int] = (3600, 600, 86400)) -> str:
    """The text of a zone with two servers; `times`: refresh, retry, expire in lab seconds."""
    refresh, retry, expire = times
    return HEAD.format(serial=serial, refresh=refresh, retry=retry, expire=expire) + HOSTS + more


def server(node: str, number: int, **config: Any) -> DnsConfig:
    """A name server at 10.0.0.`number`."""
    return DnsConfig(node=node, address=f"10.0.0.{number}", **config)


def pair(text: str) -> tuple[DnsConfig, DnsConfig]:
    """A primary of example.test, and its secondary."""
    return (
        server("ns1", 1, zones={"example.test": text}, secondaries={"example.test": ["10.0.0.2"]}),
        server("ns2", 2, primaries={"example.test": ["10.0.0.1"]}),
    )


class DnsWorld:
    """A simulated network of name servers, and a host that asks them."""

    def __init__(self, loop: SimLoop, configs: tuple[DnsConfig, ...]) -> None:
        self.loop = loop
        self.network = Network(loop, 1)
        self.clock = SimClock(loop, 1.0)
        self.nodes = {config.node: SimNode(config, self.clock, self.network) for config in configs}
        asker = self.network.add_host("asker", ASKER)
        asker.life = self._life = HostLife("asker", loop)

    async def inside(self, work: Coroutine[Any, Any, R]) -> R:
        """What `work` returns, done at the asker's host."""
        return await self.loop.create_task(work, context=self._life.context)

    async def ask(self, number: int, name: str, kind: str = "A", tcp: bool = False) -> str:
        """What the server at 10.0.0.`number` answers: the data, or the rcode, or "silence"."""
        message = await self.message(number, name, kind, tcp)
        if message is None:
            return "silence"
        found = " ".join(sorted(data_text(one.rdata) for one in message.rr))
        return found or rcode_text(message)

    async def message(
        self, number: int, name: str, kind: str = "A", tcp: bool = False
    ) -> DNSRecord | None:
        exchange = DnsClient((f"10.0.0.{number}", 53), random.Random(1), (1.0,), recursion=False)
        reply = await self.inside(exchange.ask(fold(parse_name(name)), kind, tcp))
        return None if reply is None else reply.message

    async def told(self, node: str, kind: type[B]) -> list[B]:
        """The events of that kind that a node has told so far."""
        events = self.nodes[node].events(follow=False)
        return [event.body async for event in events if isinstance(event.body, kind)]

    async def until(self, holds: Callable[[], Coroutine[Any, Any, bool]], seconds: float) -> float:
        """Wait for a condition; how many virtual seconds that took."""
        began = self.loop.time()
        while not await holds():
            assert self.loop.time() - began < seconds, "it never came"
            await asyncio.sleep(0.1)
        return self.loop.time() - began


@asynccontextmanager
async def dns_world(*configs: DnsConfig) -> AsyncIterator[DnsWorld]:
    """The servers, started in order. To be entered within `simulate`."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, SimLoop)
    world = DnsWorld(loop, configs)
    for node in world.nodes.values():
        await node.start()
    try:
        yield world
    finally:
        for node in world.nodes.values():
            await node.stop()
