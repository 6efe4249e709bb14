"""A desk to test the edge at: a real edge on loopback, what it took, and what it told."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec

from mxlab_services.config import Limits, MxConfig
from mxlab_services.events import Body, Event, encode
from mxlab_services.message import Envelope, Origin
from mxlab_services.smtp.server.listener import Edge

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
Taken = tuple[Envelope, bytes, Origin]


class Desk:
    """An edge, what it took and what it told."""

    def __init__(self, config: MxConfig) -> None:
        self.taken: list[Taken] = []
        self.events: list[Body] = []
        self.before: Callable[[], Awaitable[None]] | None = None
        self.flushed: list[str] = []
        self.edge = Edge(config, self.accept, self.emit, self.flush)

    async def accept(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        if self.before is not None:
            await self.before()
        origin.helo.encode("ascii")
        self.taken.append((envelope, content, origin))
        return f"Q{len(self.taken)}"

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
        """Write `data`, close that half, and answer every line that comes back."""
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
    made = Desk(msgspec.structs.replace(config, limits=Limits(**limits)))
    await made.edge.start()
    try:
        yield made
    finally:
        await made.edge.close()
