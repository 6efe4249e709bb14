"""An agent with the fake product, in this process's loop, on loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec import convert

from mxlab_services.clock import ScaledClock
from mxlab_services.config import ClientConfig, MtaConfig, MxConfig
from mxlab_services.control.requests import Request
from mxlab_services.control.rpc import Controls
from mxlab_services.events import Body, Emitter, Event, encode
from mxlab_services.products.agent import Agent, start_agent
from mxlab_services.runtime import Counting, Parts, ids_for
from mxlab_services.storage.files import FileStorage
from tests.support.fake_product import FakeServer

R = TypeVar("R")
B = TypeVar("B", bound=Body)
HOME = "127.0.0.1"


def free_port() -> int:
    """A port of loopback that nobody has now."""
    with socket.socket() as one:
        one.bind((HOME, 0))
        return int(one.getsockname()[1])


class Told:
    """What a node told."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()

    def __call__(self, event: Event) -> None:
        encode(event)  # what cannot be written must not be emitted
        self.events.append(event)
        self._more.set()

    def of(self, kind: type[B]) -> list[B]:
        return [event.body for event in self.events if isinstance(event.body, kind)]

    @property
    def kinds(self) -> list[str]:
        return [event.kind for event in self.events]

    async def until(self, kind: type[B], count: int = 1) -> B:
        """The `count`-th event of that kind, once it is there."""
        async with asyncio.timeout(20):
            while len(self.of(kind)) < count:
                self._more.clear()
                await self._more.wait()
        return self.of(kind)[count - 1]


class ProductLab:
    """One agent that runs."""

    def __init__(self, agent: Agent, controls: Controls, told: Told, stats: dict[str, int]) -> None:
        self.agent = agent
        self.controls = controls
        self.told = told
        self.stats = stats

    async def ask(self, request: Request[R]) -> R:
        return await self.controls(request)

    @property
    def address(self) -> tuple[str, int]:
        """Where it takes mail."""
        return self.agent.proxy.addresses[0]


def configured(data: Path, role: str = "mx", **more: Any) -> MtaConfig:
    """A configuration of the fake on loopback."""
    kind = ClientConfig if role == "client" else MxConfig
    given = {
        "node": "mx1", "address": HOME, "hostname": "mx1.example.test", "dns": HOME,
        "smtp_port": 25, "data": str(data), "networks": ["127.0.0.0/8"], "software": "exim",
    } | more  # fmt: skip
    return convert({**given, "role": role}, kind)


Make = Callable[[MtaConfig], FakeServer]


@asynccontextmanager
async def product(
    config: MtaConfig, inner: int | None = None, port: int | None = None, **fake: Any
) -> AsyncIterator[ProductLab]:
    """The agent of a fake at a free port, until the end of the block."""
    inner = inner or free_port()
    clock, told = ScaledClock(), Told()
    config = type(config)(**{**_fields(config), "smtp_port": port or free_port()})
    emit = Counting(Emitter(config.node, clock, told))
    storage = FileStorage(Path(config.data), clock, ids_for(config, clock, "mailboxes"))
    controls = Controls()
    agent = await start_agent(
        config, Parts(clock, emit, storage), emit, controls,
        make=lambda given: FakeServer(given, inner, **fake),
        inner=(HOME, inner),
    )  # fmt: skip
    try:
        yield ProductLab(agent, controls, told, emit.counts)
    finally:
        await agent.close()


def _fields(config: MtaConfig) -> dict[str, Any]:
    return {name: getattr(config, name) for name in config.__struct_fields__}


async def talk(address: tuple[str, int], *lines: bytes, reads: int | None = None) -> list[bytes]:
    """Say each line once the reply to the one before is there; all replies, one a line."""
    reader, writer = await asyncio.open_connection(*address)
    replies = [await _reply(reader)]
    for line in lines:
        writer.write(line + b"\r\n")
        replies.append(await _reply(reader))
    writer.close()
    return replies


async def _reply(reader: asyncio.StreamReader) -> bytes:
    while True:
        line = await asyncio.wait_for(reader.readline(), 20)
        if line[3:4] != b"-":
            return line.rstrip()


def transaction(
    recipient: bytes, content: bytes, sender: bytes = b"alice@client.test"
) -> list[bytes]:
    """The lines of one message from EHLO to QUIT."""
    return [
        b"EHLO client.client.test", b"MAIL FROM:<%s>" % sender, b"RCPT TO:<%s>" % recipient,
        b"DATA", content + b"\r\n.", b"QUIT",
    ]  # fmt: skip
