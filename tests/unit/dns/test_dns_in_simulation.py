"""The same server and resolver on the simulated network, in virtual time."""

import asyncio
import random
from typing import Any

from mxlab_services.dns.answers import Answer
from mxlab_services.dns.resolver import StubResolver
from mxlab_services.dns.server import DnsServer
from tests.support.dns_lab import Emitted, zones
from tests.support.fakes import StillClock
from tests.support.sim_hosts import B, World


def simulate(drop: bool) -> tuple[list[Answer], float, list[str]]:
    """Look two MX lists up, the second too long for UDP; the answers, and how long they took."""
    world, served = World(), Emitted()
    many = [f"many.example.test. MX {n} a-host-with-a-long-name-{n:04}" for n in range(60)]

    async def serve() -> None:
        both = zones()
        both.update("example.test", many, [])
        await DnsServer(both, served).start(B, 53)

    async def ask() -> list[Answer]:
        resolver = StubResolver((B, 53), StillClock(), random.Random(1), Emitted())
        return [await resolver.mx(name) for name in ("example.test", "many.example.test")]

    async def main() -> tuple[list[Answer], float]:
        await world.on("b", serve)
        if drop:
            world.network.link("10.0.0.1", B).drop = True
        began = world.loop.time()
        answers: Any = await world.on("a", ask)
        return answers, asyncio.get_running_loop().time() - began

    answers, took = world.run(main)
    return answers, took, [query.transport for query in served.queries()]


def test_udp_and_tcp_work_in_the_simulation() -> None:
    answers, took, transports = simulate(drop=False)
    assert [len(answer.mx) for answer in answers] == [2, 60]
    assert transports == ["udp", "udp", "tcp"]
    assert took < 1.0


def test_lost_packets_are_a_timeout_after_every_attempt() -> None:
    answers, took, transports = simulate(drop=True)
    assert [answer.status for answer in answers] == ["timeout", "timeout"]
    assert (took, transports) == (8.0, [])
