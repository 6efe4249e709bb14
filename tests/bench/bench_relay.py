"""How fast the relay alone drains a backlog: 3,000 messages of 1 KiB to a sink that never waits.

The sink lives in the same process, so the relay's own rate is higher than what is printed.
"""

import asyncio
import time

import pytest

from mxlab_services import events
from mxlab_services.config import ClientConfig
from mxlab_services.message import Envelope, Recipient
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Delivered, Job, Route, Target
from mxlab_services.relay.relay import SmtpRelay
from tests.bench.table import Table, machine

MESSAGES = 3000
FLOOR = 700  # messages per second that the queue must be able to hand on
CONTENT = b"Subject: x\r\n\r\n" + (b"x" * 70 + b"\r\n") * 14
BOB = "bob@example.test"

pytestmark = pytest.mark.bench


class ImmediateSink(asyncio.Protocol):
    """Says yes to everything, and reads as little as it can."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""
        self._in_data = False
        transport.write(b"220 sink\r\n")

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            end = b"\r\n.\r\n" if self._in_data else b"\r\n"
            line, found, rest = self._buffer.partition(end)
            if not found:
                return
            self._buffer = rest
            self._transport.write(self._answer(line[:4].upper()))

    def _answer(self, verb: bytes) -> bytes:
        if self._in_data:
            self._in_data = False
            return b"250 2.0.0 Ok: queued as 4XYZ\r\n"
        match verb:
            case b"EHLO":
                return b"250-sink\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE\r\n"
            case b"DATA":
                self._in_data = True
                return b"354 go on\r\n"
            case b"QUIT":
                return b"221 bye\r\n"
            case _:
                return b"250 2.1.0 Ok\r\n"


async def _drain(port: int, concurrency: int) -> float:
    """Messages per second."""
    config = ClientConfig(
        node="client",
        address="127.0.0.1",
        hostname="client.test",
        dns="127.0.0.1",
        networks=["127.0.0.0/8"],
        smtp_port=port,
    )
    written = 0

    def emit(body: events.Body, message: str | None = None) -> None:
        nonlocal written
        written += len(events.encode(events.Event(0.0, 0, "client", message, body)))

    relay = SmtpRelay(LiveConfig(config), None, emit)
    route = Route("example.test", (Target("mx1.example.test", 10, ("127.0.0.1",)),), ())
    numbers = iter(range(MESSAGES))

    async def worker() -> None:
        for number in numbers:
            envelope = Envelope("alice@client.test", (Recipient(BOB),))
            job = Job(f"Q{number}", f"<{number}@client.test>", envelope, CONTENT)
            assert isinstance((await relay.deliver(route, job))[BOB], Delivered)

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    took = time.perf_counter() - began
    await relay.close()
    assert written > 0
    return MESSAGES / took


async def test_the_relay_drains_a_backlog() -> None:
    table = Table(f"The relay alone ({machine()})", "connections", "messages per second")
    server = await asyncio.get_running_loop().create_server(ImmediateSink, "127.0.0.1", 0)
    async with server:
        rates = {n: await _drain(server.sockets[0].getsockname()[1], n) for n in (1, 10, 20)}
    for concurrency, rate in rates.items():
        table.row(concurrency, f"{rate:,.0f}")
    table.show()
    assert min(rates[10], rates[20]) > FLOOR
