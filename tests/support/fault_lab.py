"""An edge on loopback whose faults are set by requests, and a client that speaks by hand."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from mxlab_services.config import MxConfig
from mxlab_services.control.rpc import Controls, answer_line, decode_answer, encode_call
from mxlab_services.events import Accepted, Body, Event, FaultStruck, Source, encode
from mxlab_services.faults.kinds import AnyFault
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet, FaultState, Pem
from mxlab_services.ids import SeededIds
from mxlab_services.queue.live import LiveConfig
from mxlab_services.roles.mta import Mta
from mxlab_services.runtime import Counting, Parts
from mxlab_services.storage.memory import MemoryMailboxes, MemoryStorage
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.memory_spool import MemorySpool
from mxlab_services.storage.ports import Spool
from tests.support.edge_lab import CONFIG, serving
from tests.support.fakes import StillClock

ALICE, BOB = "alice@client.test", "bob@example.test"
OK = ["250", "250", "250", "354", "250"]


class Faulty:
    """Sets, clears and lists faults the way that the lab does: by lines of JSON."""

    def __init__(self) -> None:
        self.events: list[Body] = []
        self.controls = Controls()
        self.has_struck = asyncio.Event()

    def emit(self, body: Body, message: str | None = None, *, source: Source = "") -> None:
        encode(
            Event(0.0, 0, "mx1", message, body, source)
        )  # what cannot be written must not be emitted
        self.events.append(body)
        if isinstance(body, FaultStruck):
            self.has_struck.set()

    async def put(self, fault: AnyFault, name: str = "f", pem: Pem | None = None) -> FaultState:
        request = FaultSet(name, fault, pem)
        line = await answer_line(self.controls, encode_call(1, request))
        _, reply = decode_answer(line, {1: request})
        if isinstance(reply, Exception):
            raise reply
        assert isinstance(reply, FaultState)
        assert (reply.id, reply.fault) == (name, fault)
        return reply

    async def clear(self, name: str = "f") -> list[str]:
        return await self.controls(FaultClear(name))

    async def state(self, name: str = "f") -> FaultState:
        return next(one for one in await self.controls(FaultList()) if one.id == name)

    def struck(self) -> list[tuple[str, str, str]]:
        """Where faults struck: id, kind and place."""
        found = [body for body in self.events if isinstance(body, FaultStruck)]
        return [(one.fault, one.name, one.place) for one in found]


class Talk:
    """One connection, spoken by hand. What ends it is an EOFError or ConnectionError."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.broken = False  # a handshake failed: asyncio never tells when it is closed

    async def reply(self) -> str:
        """The next reply's last line."""
        while True:
            async with asyncio.timeout(10):
                line = await self.reader.readuntil(b"\r\n")
            if line[3:4] == b" ":
                return line.decode().rstrip()

    async def say(self, line: str) -> str:
        self.writer.write(line.encode() + b"\r\n")
        return await self.reply()

    async def send(self, sender: str = ALICE, recipient: str = BOB) -> list[str]:
        """A transaction up to the first refusal; the codes of the replies, EHLO's first."""
        codes = []
        for line in (
            "EHLO client.test", f"MAIL FROM:<{sender}>", f"RCPT TO:<{recipient}>", "DATA",
            "Subject: x\r\n\r\nhello\r\n.",
        ):  # fmt: skip
            codes.append((await self.say(line))[:3])
            if codes[-1][0] in "45":
                await self.say("RSET")
                break
        return codes

    async def close(self) -> None:
        if self.broken:
            self.writer.transport.abort()
            return
        self.writer.close()
        with contextlib.suppress(ConnectionError):  # a reset: what was to be seen
            await self.writer.wait_closed()


class EdgeDesk(Faulty):
    """An MTA under faults on a disk in memory. It listens, and tries nothing of its queue."""

    def __init__(self, config: MxConfig = CONFIG, spool: Spool | None = None) -> None:
        super().__init__()
        self.clock = StillClock()
        self.disk = MemoryDisk()
        ids = SeededIds(self.clock, random.Random(1))
        storage = MemoryStorage(self.disk, self.clock, ids)
        emit = Counting(self.emit)
        self.mta = Mta(
            LiveConfig(config), Parts(self.clock, emit, storage), emit,
            spool or MemorySpool(self.disk), MemoryMailboxes(self.disk, ids), None,
        )  # fmt: skip
        self.edge, self.mailboxes = self.mta.edge, self.mta.mailboxes
        self.mta.injector.answer(self.controls, self.mta.faults)

    @property
    def taken(self) -> list[Accepted]:
        return [body for body in self.events if isinstance(body, Accepted)]

    @asynccontextmanager
    async def talk(self, greeting: str = "220") -> AsyncIterator[Talk]:
        host, _, port = self.edge.addresses[0].rpartition(":")
        async with self.talk_to(host, int(port), greeting) as made:
            yield made

    @asynccontextmanager
    async def talk_to(self, host: str, port: int, greeting: str) -> AsyncIterator[Talk]:
        made = Talk(*await asyncio.open_connection(host, port))
        try:
            if greeting:
                assert (await made.reply())[:3] == greeting
            yield made
        finally:
            await made.close()

    async def delivers(self) -> bool:
        """Whether a message goes through as if nothing were."""
        async with self.talk() as talk:
            return await talk.send() == OK and (await talk.say("QUIT"))[:3] == "221"


@asynccontextmanager
async def edge_desk(
    config: MxConfig = CONFIG, spool: Spool | None = None
) -> AsyncIterator[EdgeDesk]:
    async with serving(EdgeDesk(config, spool)) as made:
        yield made
