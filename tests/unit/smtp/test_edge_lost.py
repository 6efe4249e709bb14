"""Clients that go away, do not read, or say nothing; and the end of the edge itself."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable

import msgspec
import pytest

from mxlab_services.config import Timeouts
from mxlab_services.events import Refused
from tests.support.edge_lab import CONFIG, OPENING, Desk, desk


async def flood(write: Callable[[], Awaitable[None]]) -> None:
    """Write until the edge has had enough."""
    async with asyncio.timeout(10):
        while True:
            await write()


@pytest.mark.parametrize("how", ["fin", "reset"])
async def test_b4_a_client_lost_while_its_message_is_accepted_is_accepted_once(how: str) -> None:
    async with desk(sessions=1) as made:
        asked, go = made.hold()
        _, writer = await made.connect()
        writer.write(OPENING + b"x\r\n.\r\n")
        await asked.wait()
        if how == "reset":
            linger = struct.pack("ii", 1, 0)
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            writer.transport.abort()
            await made.freed()
        writer.transport.abort()
        assert not made.taken
        go.set()
        await made.freed()
    assert [content for _, content, _ in made.taken] == [b"x\r\n"]


async def test_b4_half_closed_after_the_dot_still_gets_its_250() -> None:
    async with desk() as made:
        asked, go = made.hold()
        reader, writer = await made.connect()
        writer.write(OPENING + b"x\r\n.\r\nQUIT\r\n")
        writer.write_eof()
        await asked.wait()
        go.set()
        async with asyncio.timeout(10):
            said = await reader.read()
        assert said.endswith(b"250 2.0.0 Ok: queued as Q1\r\n221 2.0.0 bye\r\n")
        writer.close()
        await writer.wait_closed()


async def test_closing_finishes_what_is_accepted_and_tells_everyone_421() -> None:
    waiting, go = asyncio.Event(), asyncio.Event()
    begun = 0

    async def hold() -> None:
        nonlocal begun
        begun += 1
        if begun == 5:
            waiting.set()
        await go.wait()

    made = Desk(CONFIG)
    await made.edge.start()
    made.before = hold
    clients = [await made.connect() for _ in range(10)]
    for number, (_, writer) in enumerate(clients):
        writer.write(OPENING + (b"x\r\n.\r\n" if number < 5 else b"half"))
    await waiting.wait()
    closing = asyncio.create_task(made.edge.close())
    ends = [asyncio.create_task(reader.read()) for reader, _ in clients]
    await asyncio.wait(ends[5:], timeout=10)
    assert not closing.done()
    go.set()
    async with asyncio.timeout(10):
        await closing
        said = await asyncio.gather(*ends)
    assert len(made.taken) == 5
    assert all(b"250 2.0.0 Ok: queued" in text for text in said[:5])
    assert not any(b"250 2.0.0 Ok: queued" in text for text in said[5:])
    assert all(text.endswith(b"421 4.3.2 the server is going down\r\n") for text in said)
    for _, writer in clients:
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_does_not_read_is_cut_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mxlab_services.smtp.server.connection._LAST_WORD", 0.05)
    config = msgspec.structs.replace(CONFIG, timeouts=Timeouts(idle=0.2))
    async with desk(config, sessions=1, commands=10**9) as made:
        host, _, port = made.edge.addresses[0].rpartition(":")
        loop = asyncio.get_running_loop()
        with socket.socket() as deaf:
            deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            deaf.setblocking(False)
            await loop.sock_connect(deaf, (host, int(port)))
            with pytest.raises(ConnectionError):
                await flood(lambda: loop.sock_sendall(deaf, b"EHLO c\r\n" * 1000))
        await made.freed()


async def test_a_flood_of_connections_gets_no_more_than_the_limit() -> None:
    async with desk(sessions=3) as made:
        clients = await asyncio.gather(*(made.connect() for _ in range(20)))
        greetings = [await reader.readline() for reader, _ in clients]
        assert sum(line.startswith(b"220") for line in greetings) == 3
        assert sum(line.startswith(b"421 4.3.2") for line in greetings) == 17
        for _, writer in clients:
            writer.close()
            await writer.wait_closed()


async def test_commands_beyond_the_limit_get_421() -> None:
    async with desk(commands=3) as made:
        lines = await made.say(b"NOOP\r\n" * 10)
        assert [line[:9] for line in lines] == ["220 mx1.e", *["250 2.0.0"] * 3, "421 4.7.0"]
        assert isinstance(made.events[-1], Refused)


async def test_after_too_many_errors_nothing_more_is_obeyed() -> None:
    async with desk(errors=2) as made:
        lines = await made.say(b"BOGUS\r\n" * 3 + OPENING + b"x\r\n.\r\n")
        assert [line[:3] for line in lines] == ["220", "500", "500", "500", "421"]
        assert not made.taken


async def test_an_endless_line_ends_in_a_timeout_and_little_memory() -> None:
    config = msgspec.structs.replace(CONFIG, timeouts=Timeouts(idle=0.2))
    async with desk(config) as made:
        _, writer = await made.connect()

        async def write() -> None:
            writer.write(b"x" * 65536)
            await writer.drain()

        with pytest.raises(ConnectionError):
            await flood(write)
        writer.close()
        with pytest.raises(ConnectionError):
            await writer.wait_closed()


async def test_a_long_line_is_skipped_to_its_end() -> None:
    async with desk() as made:
        for size in (3000, 70_000, 300_000):
            lines = await made.say(b"NOOP " + b"x" * size + b"\r\nNOOP\r\nQUIT\r\n")
            assert [line[:9] for line in lines[1:]] == ["500 5.5.2", "250 2.0.0", "221 2.0.0"]
