"""The simulated loop and network, with the unmodified SMTP libraries on top."""

import asyncio
import errno
import ssl
import time
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP
from aiosmtplib import SMTP as Client  # noqa: N811

from mxlab.backends.sim.guard import guarded
from mxlab.backends.sim.loop import Deadlock, SimLeak
from tests.support.sim_hosts import A, B, World


class Sink:
    def __init__(self) -> None:
        self.content: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.content.append(envelope.content)
        return "250 OK"


async def serve(sink: Sink) -> None:
    loop = asyncio.get_running_loop()
    await loop.create_server(lambda: SMTP(sink, hostname="b.test", loop=loop), B, 25)


async def deliver(count: int = 1) -> None:
    client = Client(hostname=B, port=25, local_hostname="a.test", start_tls=False, timeout=30)
    async with client:
        for number in range(count):
            await client.sendmail("x@a.test", ["y@b.test"], b"Subject: %d\r\n\r\nhello" % number)


def test_five_virtual_days_and_a_delivery_take_no_real_time() -> None:
    world, sink = World(), Sink()

    async def main() -> float:
        await world.on("b", lambda: serve(sink))
        await asyncio.sleep(5 * 86400)
        await world.on("a", deliver)
        return world.loop.time()

    began = time.perf_counter()
    assert world.run(main) > 5 * 86400
    assert sink.content == [b"Subject: 0\r\n\r\nhello\r\n"]
    assert time.perf_counter() - began < 60


def test_equal_deadlines_fire_in_the_order_set() -> None:
    world = World()
    order: list[int] = []

    async def main() -> None:
        for number in range(200):
            world.loop.call_at(10.0, order.append, number)
        await asyncio.sleep(11)

    world.run(main)
    assert order == list(range(200))


def test_a_closed_port_refuses_and_a_dead_host_is_unreachable() -> None:
    world = World()

    async def connect() -> int | None:
        try:
            await asyncio.open_connection(B, 99)
        except OSError as error:
            return error.errno
        return None

    async def main() -> tuple[Any, Any]:
        refused = await world.on("a", connect)
        world.hosts["b"].life = None
        return refused, await world.on("a", connect)

    assert world.run(main) == (errno.ECONNREFUSED, errno.EHOSTUNREACH)


def test_dropped_packets_time_out_a_new_connection_and_stall_an_old_one() -> None:
    world = World()
    heard: list[bytes] = []

    async def listen() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            heard.append(await reader.readexactly(5))
            writer.close()

        await asyncio.start_server(talk, B, 7)

    async def main() -> None:
        await world.on("b", listen)
        _, writer = await world.on("a", lambda: asyncio.open_connection(B, 7))
        world.network.link(A, B).drop = True
        with pytest.raises(TimeoutError):
            await world.on("a", lambda: asyncio.open_connection(B, 7))
        assert world.loop.time() >= 127
        world.hosts["a"].life.context.run(writer.write, b"hello")  # type: ignore[union-attr]
        await asyncio.sleep(60)
        assert heard == []
        world.network.unblock(A, B)
        await asyncio.sleep(1)
        assert heard == [b"hello"]
        writer.close()

    world.run(main)


def test_a_paused_host_accepts_and_answers_nothing_until_resumed() -> None:
    world, sink = World(), Sink()

    async def greeting() -> bytes:
        reader, writer = await asyncio.open_connection(B, 25)
        try:
            return await asyncio.wait_for(reader.readline(), 30)
        finally:
            writer.close()

    async def main() -> bytes:
        await world.on("b", lambda: serve(sink))
        life = world.hosts["b"].life
        assert life is not None
        life.pause()
        with pytest.raises(TimeoutError):
            await world.on("a", greeting)
        life.resume()
        line: bytes = await world.on("a", greeting)
        return line

    assert world.run(main).startswith(b"220 b.test")


def test_a_connection_is_cut_after_exactly_n_bytes() -> None:
    world = World()
    heard = bytearray()

    class Hear(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            heard.extend(data)

    async def listen() -> None:
        await asyncio.get_running_loop().create_server(Hear, B, 7)

    async def main() -> None:
        await world.on("b", listen)
        world.network.link(A, B).cut_after = 7
        reader, writer = await world.on("a", lambda: asyncio.open_connection(B, 7))
        writer.write(b"0123")
        writer.write(b"456789")
        with pytest.raises(ConnectionResetError):
            await reader.read()
        await asyncio.sleep(1)

    world.run(main)
    assert bytes(heard) == b"0123456"


def test_a_cut_counts_for_each_connection_by_itself() -> None:
    world = World()

    async def listen() -> None:
        await asyncio.get_running_loop().create_server(asyncio.Protocol, B, 7)

    async def main() -> None:
        await world.on("b", listen)
        world.network.link(A, B).cut_after = 7
        for _ in range(3):
            _, writer = await world.on("a", lambda: asyncio.open_connection(B, 7))
            writer.write(b"01234")
            await asyncio.sleep(1)
            assert not writer.transport.is_closing()
            writer.close()
        assert world.network.link(A, B).cut_after == 7

    world.run(main)


def test_a_limited_rate_lets_so_many_bytes_a_second_pass() -> None:
    world = World()
    times: list[float] = []

    class Hear(asyncio.Protocol):
        def data_received(self, data: bytes) -> None:
            times.append(world.loop.time())

    async def listen() -> None:
        await asyncio.get_running_loop().create_server(Hear, B, 7)

    async def main() -> float:
        await world.on("b", listen)
        world.network.link(A, B).rate = 1000
        _, writer = await world.on("a", lambda: asyncio.open_connection(B, 7))
        began = world.loop.time()
        for _ in range(10):
            writer.write(500 * b"x")
        await asyncio.sleep(10)
        writer.close()
        return began

    began = world.run(main)
    assert [round(at - began, 1) for at in times] == [0.5 * n for n in range(1, 11)]


def test_a_power_failure_ends_connections_at_the_peer() -> None:
    world, sink = World(), Sink()

    async def main() -> bytes:
        await world.on("b", lambda: serve(sink))
        reader, writer = await world.on("a", lambda: asyncio.open_connection(B, 25))
        await reader.readline()
        host = world.hosts["b"]
        life = host.life
        assert life is not None
        world.network.power_off(host)
        for task in life.end():
            task.cancel()
        rest: bytes = await reader.read()
        writer.close()
        return rest

    assert world.run(main) == b""


def test_a_stuck_world_says_who_waits_for_what() -> None:
    world = World()

    async def wait_forever() -> None:
        await asyncio.Event().wait()

    async def main() -> None:
        await world.on("a", wait_forever)

    with pytest.raises(Deadlock, match=r"a: .* waits at .*wait_forever"):
        world.run(main)


def test_threads_are_a_leak_with_the_line() -> None:
    world = World()

    async def use_thread() -> None:
        await asyncio.get_running_loop().run_in_executor(None, print)

    async def main() -> None:
        await world.on("a", use_thread)

    with pytest.raises(SimLeak, match=r"test_sim_network\.py:\d+ asks for a thread"):
        world.run(main)


def test_the_hosts_clock_is_a_leak_for_services_with_the_line() -> None:
    world = World()
    service: dict[str, Any] = {"__name__": "mxlab_services.planted", "time": time}
    exec(compile("async def read():\n    return time.time()\n", "planted.py", "exec"), service)

    async def main() -> None:
        await world.on("a", service["read"])

    with guarded(), pytest.raises(SimLeak, match=r"planted\.py:2 asks for the host's clock"):
        world.run(main)


def test_the_same_seed_gives_the_same_times_and_another_seed_others() -> None:
    def times(seed: int) -> list[float]:
        world, sink = World(seed), Sink()
        stamps: list[float] = []

        async def main() -> None:
            await world.on("b", lambda: serve(sink))
            for _ in range(5):
                await world.on("a", deliver)
                stamps.append(world.loop.time())

        world.run(main)
        return stamps

    assert times(1) == times(1)
    assert times(1) != times(2)


def test_datagrams_arrive_and_a_closed_port_tells_a_connected_socket() -> None:
    world = World()
    heard: list[bytes] = []

    class Echo(asyncio.DatagramProtocol):
        def connection_made(self, transport: Any) -> None:
            self.transport = transport

        def datagram_received(self, data: bytes, addr: Any) -> None:
            heard.append(data)
            self.transport.sendto(data.upper(), addr)

        def error_received(self, exc: Exception) -> None:
            heard.append(type(exc).__name__.encode())

    async def main() -> None:
        loop = world.loop
        await world.on("b", lambda: loop.create_datagram_endpoint(Echo, local_addr=(B, 53)))

        class Ask(Echo):
            def datagram_received(self, data: bytes, addr: Any) -> None:
                heard.append(data)

        async def ask(port: int) -> None:
            sender, _ = await loop.create_datagram_endpoint(Ask, remote_addr=(B, port))
            sender.sendto(b"hi")

        await world.on("a", lambda: ask(53))
        await world.on("a", lambda: ask(54))
        await asyncio.sleep(1)

    world.run(main)
    assert sorted(heard) == [b"ConnectionRefusedError", b"HI", b"hi"]


def test_starttls_runs_unmodified(lab_tls: tuple[ssl.SSLContext, ssl.SSLContext]) -> None:
    world, sink = World(), Sink()
    server_context, client_context = lab_tls

    async def listen() -> None:
        loop = asyncio.get_running_loop()
        await loop.create_server(
            lambda: SMTP(sink, hostname="b.test", loop=loop, tls_context=server_context), B, 25
        )

    async def send() -> None:
        client = Client(
            hostname=B, port=25, local_hostname="a.test", start_tls=True, tls_context=client_context
        )
        async with client:
            await client.sendmail("x@a.test", ["y@b.test"], b"Subject: s\r\n\r\nhello")

    async def main() -> None:
        await world.on("b", listen)
        await world.on("a", send)

    world.run(main)
    assert sink.content == [b"Subject: s\r\n\r\nhello\r\n"]
