"""A TCP stream in the simulation may be cut and joined anywhere, by the seed: it stays the same."""

import asyncio
from collections.abc import Callable

import pytest

from mxlab.backends.base import Order
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.errors import Unsupported
from mxlab.faults import inject, undo
from mxlab.faults.open import heal, open_faults
from mxlab.model.mechanism import Segments
from mxlab.model.topology import Topology
from tests.support.sim_hosts import A, B, World

WRITES = [b"250-first\r\n", b"250 second\r\n", b"x" * 300, b"354 go\r\n"]
ALL = b"".join(WRITES)


class Side(asyncio.Protocol):
    """Writes WRITES and then the end, and keeps what it is given, read by read."""

    def __init__(self) -> None:
        self.read: list[bytes] = []
        self.lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        for write in WRITES:
            transport.write(write)
        transport.write_eof()

    def data_received(self, data: bytes) -> None:
        self.read.append(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = exc


def exchange(
    most: int, seed: int = 1, then: Callable[[World], None] = lambda _: None
) -> tuple[Side, Side]:
    """Both ends of a connection on which TCP brings `most` bytes at a time (0: as written)."""
    world, near, far = World(seed), Side(), Side()

    async def main() -> None:
        loop = world.loop
        await world.on("b", lambda: loop.create_server(lambda: far, B, 7))
        for pair in ((A, B), (B, A)):
            world.network.link(*pair).segments = most
        then(world)
        await world.on("a", lambda: loop.create_connection(lambda: near, B, 7))
        await asyncio.sleep(120)

    world.run(main)
    return near, far


def exchanged(
    most: int, seed: int = 1, then: Callable[[World], None] = lambda _: None
) -> list[list[bytes]]:
    return [side.read for side in exchange(most, seed, then)]


@pytest.mark.parametrize("most", [1, 2, 7, 100, 10_000])
def test_a_stream_in_pieces_is_the_same_stream_both_ways(most: int) -> None:
    for seed in range(5):
        for side in exchanged(most, seed):
            assert b"".join(side) == ALL


def test_pieces_are_cut_and_joined_anywhere() -> None:
    ends: set[int] = set()
    for seed in range(40):
        for side in exchanged(20, seed):
            place = 0
            for read in side:
                place += len(read)
                ends.add(place)
            assert len(side) > len(WRITES)
    first = len(WRITES[0]) + len(WRITES[1])
    assert set(range(1, first)) <= ends
    joined = [
        side for seed in range(40) for side in exchanged(10_000, seed) if side[0] != WRITES[0]
    ]
    assert any(read.startswith(b"250-first\r\n250 s") for side in joined for read in side)


def test_the_seed_decides_where() -> None:
    assert exchanged(20, 3) == exchanged(20, 3)
    assert exchanged(20, 3) != exchanged(20, 4)


def test_a_stream_that_is_left_whole_comes_write_by_write() -> None:
    assert exchanged(0) == [WRITES, WRITES]


def test_a_connection_in_pieces_is_cut_after_exactly_n_bytes() -> None:
    def cut(world: World) -> None:
        world.network.link(A, B).cut_after = 30

    near, far = exchange(7, then=cut)
    assert b"".join(far.read) == ALL[:30]
    assert isinstance(near.lost, ConnectionResetError)


def test_packets_that_vanish_in_mid_stream_come_once_they_pass_again() -> None:
    def drop(world: World) -> None:
        link = world.network.link(A, B)
        world.loop.call_at(0.05, setattr, link, "drop", True)
        world.loop.call_at(60.0, world.network.unblock, A, B)

    assert [b"".join(side) for side in exchanged(3, then=drop)] == [ALL, ALL]


def test_the_fault_is_set_seen_healed_and_the_finest_of_several_counts() -> None:
    async def main() -> None:
        async with SimBackend().deploy(Order("t", "r", Topology()), lambda _: None) as lab:
            address = {name: node.config.address for name, node in lab.nodes.items()}

            def most(one: str, other: str) -> int:
                links = [
                    lab.network.link(address[a], address[b]).segments
                    for a, b in ((one, other), (other, one))
                ]
                assert links[0] == links[1]
                return links[0]

            await inject(lab, "x", Segments("mx1", most=50))
            await inject(lab, "y", Segments("client", most=9, peers=("mx1",)))
            assert (most("client", "mx1"), most("mx2", "mx1"), most("client", "mx2")) == (9, 50, 0)
            assert [(one.name, one.kind) for one in await open_faults(lab)] == [
                ("x", "segments"), ("y", "segments"),
            ]  # fmt: skip
            await undo(lab, "y", Segments("client", most=9, peers=("mx1",)))
            assert most("client", "mx1") == 50
            await heal(lab, (await open_faults(lab))[0])
            assert await open_faults(lab) == []
            assert most("client", "mx1") == 0

    simulate(main)


def test_nobody_can_say_elsewhere_where_tcp_cuts() -> None:
    class Lab:
        """A lab without that capability."""

    with pytest.raises(Unsupported, match="where TCP cuts"):
        asyncio.run(inject(Lab(), "x", Segments("mx1")))  # type: ignore[arg-type]
