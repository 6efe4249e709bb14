"""The edge in virtual time: what slow clients cost, in minutes and days that pass at once."""

import asyncio
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from mxlab.backends.sim.loop import HostLife, SimLoop
from mxlab.backends.sim.network import Network
from tests.support.edge_lab import CONFIG, OPENING, Desk

MX, SLOW, GOOD = "10.0.0.1", "10.0.0.2", "10.0.0.3"


class World:
    """An edge at MX and clients at two other hosts."""

    def __init__(self) -> None:
        self.loop = SimLoop()
        self._network = Network(self.loop, seed=1)
        self._hosts = {
            address: self._network.add_host(address, address) for address in (MX, SLOW, GOOD)
        }
        for host in self._hosts.values():
            host.life = HostLife(host.name, self.loop)
        self.desk = Desk(msgspec.structs.replace(CONFIG, address=MX, smtp_port=25))

    def on(self, address: str, work: Callable[[], Awaitable[float]]) -> "asyncio.Task[float]":
        """Run `work` on a host."""
        life = self._hosts[address].life
        assert life is not None

        async def run() -> float:
            return await work()

        return self.loop.create_task(run(), context=life.context)

    async def start(self) -> float:
        await self.desk.edge.start()
        return 0.0

    async def trickle(self, first: bytes, drop: bytes) -> float:
        """Connect, say `first`, then `drop` once a minute; answers when it was cut off."""
        reader, writer = await asyncio.open_connection(MX, 25)
        writer.write(first)
        ended = asyncio.create_task(reader.read())
        while not ended.done():
            writer.write(drop)
            await asyncio.wait([ended], timeout=60)
        said = ended.result()
        assert said.endswith(b"421 4.4.2 idle for too long\r\n")
        writer.close()
        return self.loop.time()

    async def send(self) -> float:
        """One message in a session of its own; answers how long it took."""
        began = self.loop.time()
        reader, writer = await asyncio.open_connection(MX, 25)
        writer.write(OPENING + b"hello\r\n.\r\nQUIT\r\n")
        assert b"queued as" in await reader.read()
        writer.close()
        return self.loop.time() - began

    def run(self, main: Callable[[], Awaitable[None]]) -> None:
        async def outer() -> None:
            await self.on(MX, self.start)
            await main()
            await self.desk.edge.close()

        try:
            self.loop.run_until_complete(outer())
        finally:
            self.loop.close()


@pytest.mark.parametrize(
    ("first", "drop"),
    [(b"", b"x"), (b"EHLO c.test\r\n", b"N"), (OPENING, b"x"), (OPENING, b"x\r\n")],
)
def test_b3_a_byte_a_minute_is_cut_off_and_others_are_served(first: bytes, drop: bytes) -> None:
    world = World()

    async def main() -> None:
        slow = world.on(SLOW, lambda: world.trickle(first, drop))
        took = [await world.on(GOOD, world.send) for _ in range(20)]
        assert max(took) < 1.0
        assert 300 <= await slow <= 3100
        assert len(world.desk.taken) == 20

    world.run(main)


def test_b3_a_client_may_be_silent_for_nearly_five_minutes_at_a_time() -> None:
    world = World()

    async def patient() -> float:
        reader, writer = await asyncio.open_connection(MX, 25)
        for line in (OPENING + b"x\r\n.\r\nQUIT\r\n").splitlines(keepends=True):
            await asyncio.sleep(290)
            writer.write(line)
        assert b"queued as Q1" in await reader.read()
        writer.close()
        return world.loop.time()

    async def main() -> None:
        assert await world.on(GOOD, patient) > 4 * 290

    world.run(main)


def test_b4_accepting_may_take_longer_than_a_client_may_be_idle() -> None:
    world = World()

    async def main() -> None:
        async def hold() -> None:
            await asyncio.sleep(1000)

        world.desk.before = hold
        assert 1000 <= await world.on(GOOD, world.send) < 1001

    world.run(main)
