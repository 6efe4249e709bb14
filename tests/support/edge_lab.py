"""A desk to test the edge at: a real edge on loopback, what it took, and what it told."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Protocol, TypeVar

import msgspec

from mxlab_services.config import Limits, MxConfig
from mxlab_services.events import Body, Event, encode
from mxlab_services.ids import SeededIds
from mxlab_services.message import Envelope, Origin
from mxlab_services.queue.live import LiveConfig
from mxlab_services.smtp.server.listener import Edge
from mxlab_services.smtp.server.submission import SubmissionDesk
from tests.support.fakes import StillClock

CONFIG = MxConfig(
    node="mx1",
    address="127.0.0.1",
    hostname="mx1.example.test",
    dns="127.0.0.1",
    smtp_port=0,
    local_domains=["example.test"],
    networks=[],
)
OPENING = b"EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n"
D = TypeVar("D", bound="Listens")
Taken = tuple[Envelope, bytes, Origin]


class Listens(Protocol):
    """What has an edge."""

    edge: Edge


class Desk:
    """An edge, what it took and what it told. It takes submissions where `config` has users."""

    def __init__(self, config: MxConfig, clock: StillClock | None = None) -> None:
        self.taken: list[Taken] = []
        self.events: list[Body] = []
        self.before: Callable[[], Awaitable[None]] | None = None
        self.flushed: list[str] = []
        self.live = LiveConfig(config)
        submissions = None
        if config.submission is not None:
            clock, rng = clock or StillClock(), random.Random(1)
            ids = SeededIds(clock, rng)
            submissions = SubmissionDesk(config.submission, config.hostname, rng, clock, ids)
        self.edge = Edge(self.live, self.accept, self.emit, self.flush, desk=submissions)

    async def accept(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        if self.before is not None:
            await self.before()
        origin.helo.encode("ascii")
        self.taken.append((envelope, content, origin))
        return f"Q{len(self.taken)}"

    def hold(self) -> tuple[asyncio.Event, asyncio.Event]:
        """Let `accept` wait: the first says that it was asked, the second lets it go on."""
        asked, go = asyncio.Event(), asyncio.Event()

        async def before() -> None:
            asked.set()
            await go.wait()

        self.before = before
        return asked, go

    async def flush(self, domain: str) -> int:
        self.flushed.append(domain)
        return 1

    def emit(self, body: Body, message: str | None = None) -> None:
        encode(Event(0.0, 0, "mx1", message, body))  # what cannot be written must not be emitted
        self.events.append(body)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.edge.addresses[0].rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def is_free(self) -> bool:
        """Whether the edge greets one more client, which then leaves in good order."""
        reader, writer = await self.connect()
        greeted = (await reader.readline()).startswith(b"220")
        if greeted:
            writer.write(b"QUIT\r\n")
            await reader.read()
        writer.close()
        await writer.wait_closed()
        return greeted

    async def freed(self) -> None:
        """Wait until a place is free; with `sessions=1`, until no session is left."""
        free = False
        async with asyncio.timeout(10):
            while not free:
                free = await self.is_free()

    async def say(self, data: bytes) -> list[str]:
        """Write `data`, close that half, and return every line that comes back."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(10):
            lines = (await reader.read()).decode().splitlines()
        writer.close()
        await writer.wait_closed()
        return lines


@asynccontextmanager
async def desk(config: MxConfig = CONFIG, **limits: int) -> AsyncIterator[Desk]:
    async with serving(Desk(msgspec.structs.replace(config, limits=Limits(**limits)))) as made:
        yield made


@asynccontextmanager
async def serving(made: D) -> AsyncIterator[D]:
    """It listens meanwhile."""
    await made.edge.start()
    try:
        yield made
    finally:
        await made.edge.close()
