"""The splice before a product: bytes, halves, resets and back-pressure pass as they are."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.events import Emitter
from mxlab_services.faults.injector import NodeInjector
from mxlab_services.products.hearing import Hearing
from mxlab_services.products.proxy import Proxy, proxy_header
from mxlab_services.runtime import Counting
from mxlab_services.smtp.server.faults import EdgeFaults
from tests.support.product_lab import HOME, configured, free_port

V4 = len(proxy_header((HOME, 1), (HOME, 2)))
V6 = len(proxy_header(("::1", 1), ("::1", 2)))


class Inner:
    """The product's side: sockets by hand."""

    def __init__(self) -> None:
        self.listener = socket.create_server((HOME, 0))
        self.listener.setblocking(False)
        self.port: int = self.listener.getsockname()[1]

    async def accept(self, header: int = V4) -> tuple[bytes, socket.socket]:
        """The PROXY header, and the connection."""
        loop = asyncio.get_running_loop()
        one, _ = await loop.sock_accept(self.listener)
        one.setblocking(False)
        return await exactly(one, header), one


async def exactly(one: socket.socket, count: int) -> bytes:
    loop = asyncio.get_running_loop()
    found = b""
    async with asyncio.timeout(10):
        while len(found) < count:
            data = await loop.sock_recv(one, count - len(found))
            assert data, f"ended after {found!r}"
            found += data
    return found


async def rest(one: socket.socket) -> bytes:
    """All that comes until the other half is closed."""
    loop = asyncio.get_running_loop()
    found = b""
    async with asyncio.timeout(10):
        while data := await loop.sock_recv(one, 65536):
            found += data
    return found


def reset(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    one.close()


def plain(inner: int, bind: str = HOME) -> Proxy:
    """A proxy without a fault."""
    config = configured(Path("/nowhere"), address=bind, smtp_port=free_port())
    emit = Counting(Emitter("mx1", ScaledClock(), lambda _: None))
    return Proxy(config, (HOME, inner), Hearing(), EdgeFaults(NodeInjector(emit)), emit)


@asynccontextmanager
async def spliced(bind: str = HOME) -> AsyncIterator[tuple[socket.socket, Inner, Proxy]]:
    """A peer's connection through a proxy."""
    inner = Inner()
    proxy = plain(inner.port, bind)
    await proxy.start()
    loop = asyncio.get_running_loop()
    peer = socket.socket(socket.AF_INET6 if ":" in bind else socket.AF_INET)
    peer.setblocking(False)
    await loop.sock_connect(peer, proxy.addresses[0])
    try:
        yield peer, inner, proxy
    finally:
        peer.close()
        inner.listener.close()
        proxy.abort()
        await proxy.close()


async def test_bytes_pass_as_they_are_both_ways() -> None:
    loop = asyncio.get_running_loop()
    said = bytes(range(256)) * 3 + b"\r\n.\r\n\r\n\x00QUIT"
    async with spliced() as (peer, inner, _):
        await loop.sock_sendall(peer, said)  # before the product has said a word
        header, product = await inner.accept()
        assert await exactly(product, len(said)) == said
        await loop.sock_sendall(product, said[::-1])
        assert await exactly(peer, len(said)) == said[::-1]
        ends = peer.getsockname(), peer.getpeername()
        assert header == proxy_header(*ends)
        product.close()


async def test_the_header_is_that_of_the_protocol() -> None:
    four = proxy_header(("192.0.2.1", 258), ("192.0.2.2", 25))
    assert four == (
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc0\0\2\2\1\2\0\x19"
    )  # the PROXY protocol, version 2, section 2.2
    six = proxy_header(("2001:db8::1", 258), ("2001:db8::2", 25))
    assert six[12:16] == b"\x21\x21\0\x24"
    assert six[16:48] == bytes.fromhex("20010db8" + "0" * 23 + "1" + "20010db8" + "0" * 23 + "2")
    assert proxy_header(("::ffff:192.0.2.1", 258), ("192.0.2.2", 25)) == four
    mixed = proxy_header(("2001:db8::1", 258), ("192.0.2.2", 25))
    assert mixed[12:16] == b"\x21\x21\0\x24"
    assert bytes.fromhex("ffffc0000202") in mixed


async def test_a_peer_by_ipv6_is_told_as_one() -> None:
    async with spliced("::1") as (peer, inner, _):
        header, product = await inner.accept(V6)
        assert header[16:32] == bytes(15) + b"\1"
        assert header[48:50] == struct.pack("!H", peer.getsockname()[1])
        product.close()


async def test_a_half_that_is_closed_leaves_the_other_open() -> None:
    loop = asyncio.get_running_loop()
    async with spliced() as (peer, inner, proxy):
        _, product = await inner.accept()
        await loop.sock_sendall(peer, b"all\r\n")
        peer.shutdown(socket.SHUT_WR)
        assert await rest(product) == b"all\r\n"
        await loop.sock_sendall(product, b"250 yes\r\n")
        product.close()
        assert await rest(peer) == b"250 yes\r\n"
        await asyncio.wait_for(proxy.empty(), 10)
    async with spliced() as (peer, inner, proxy):
        _, product = await inner.accept()
        product.shutdown(socket.SHUT_WR)
        assert await rest(peer) == b""
        await loop.sock_sendall(peer, b"still\r\n")
        peer.close()
        assert await rest(product) == b"still\r\n"
        product.close()
        await asyncio.wait_for(proxy.empty(), 10)


async def test_a_reset_is_passed_on_as_a_reset() -> None:
    loop = asyncio.get_running_loop()
    async with spliced() as (peer, inner, proxy):
        _, product = await inner.accept()
        reset(peer)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(loop.sock_recv(product, 1), 10)
        product.close()
        await asyncio.wait_for(proxy.empty(), 10)
    async with spliced() as (peer, inner, proxy):
        _, product = await inner.accept()
        reset(product)
        with pytest.raises(ConnectionResetError):
            await asyncio.wait_for(loop.sock_recv(peer, 1), 10)
        await asyncio.wait_for(proxy.empty(), 10)


async def test_a_product_that_does_not_listen_is_a_reset() -> None:
    loop = asyncio.get_running_loop()
    proxy = plain(free_port())
    await proxy.start()
    peer = socket.socket()
    peer.setblocking(False)
    await loop.sock_connect(peer, proxy.addresses[0])
    with pytest.raises(ConnectionResetError):
        await asyncio.wait_for(loop.sock_recv(peer, 1), 10)
    peer.close()
    await proxy.close()


@pytest.mark.parametrize("from_peer", [True, False])
async def test_who_is_too_quick_for_the_other_waits(from_peer: bool) -> None:
    block = bytes(range(256)) * 4096
    async with spliced() as (peer, inner, _):
        _, product = await inner.accept()
        source, sink = (peer, product) if from_peer else (product, peer)
        sent = 0
        while True:  # until nothing more fits into the buffers on the way
            try:
                sent += await asyncio.wait_for(_send(source, block), 1)
            except TimeoutError:
                break
            assert sent < 64 * 2**20, "nobody holds it back"
        source.shutdown(socket.SHUT_WR)
        assert len(await rest(sink)) >= sent
        product.close()


async def _send(one: socket.socket, block: bytes) -> int:
    loop = asyncio.get_running_loop()
    await loop.sock_sendall(one, block)
    return len(block)


async def test_many_connections_at_a_time_do_not_mix() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(V4)
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOME, 0)
    proxy = plain(server.sockets[0].getsockname()[1])
    await proxy.start()

    async def one(number: int) -> None:
        reader, writer = await asyncio.open_connection(*proxy.addresses[0])
        said = b"%d\r\n" % number * 20_000
        writer.write(said)
        writer.write_eof()
        assert await reader.read(-1) == said
        writer.close()

    await asyncio.gather(*map(one, range(50)))
    await asyncio.wait_for(proxy.empty(), 10)
    await proxy.close()
    server.close()
