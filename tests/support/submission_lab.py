"""An edge that takes submissions, and a client of it that speaks by hand."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from mxlab.plan.tls import Authority
from mxlab_services.config import SubmissionConfig, Timeouts
from tests.support.edge_lab import CONFIG, Desk
from tests.support.fakes import StillClock

ISSUED = Authority("test").issue(["client.test"], "127.0.0.1")
TRUSTS = ssl.create_default_context(cadata=ISSUED.ca)
SECRET = "the-white-rabbit"


class Server(Desk):
    """An edge that takes submissions on ports of its own."""

    def __init__(
        self,
        idle: float,
        ports: tuple[int, int] = (0, 0),
        senders: dict[str, list[str]] | None = None,
    ) -> None:
        self.ports = ports
        wanted = SubmissionConfig({"alice": SECRET}, ISSUED, *ports, senders or {})
        config = msgspec.structs.replace(
            CONFIG, submission=wanted, hostname="client.test", timeouts=Timeouts(idle=idle)
        )
        super().__init__(config, StillClock(1_893_456_000.0))

    @asynccontextmanager
    async def session(self, *, implicit: bool = False, tls: bool = True) -> AsyncIterator["Talk"]:
        """A client's session, in TLS after its EHLO."""
        port = self.ports[implicit] or int(
            self.edge.addresses[2 if implicit else 1].rpartition(":")[2]
        )
        context = TRUSTS if implicit else None
        reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
        talk = Talk(reader, writer)
        try:
            assert (await talk.reply()).startswith("220 ")
            if tls and not implicit:
                await talk.say(b"EHLO c.test\r\n")
                assert await talk.say(b"STARTTLS\r\n") == "220 2.0.0 Ready to start TLS"
                await writer.start_tls(TRUSTS, server_hostname="client.test")
            talk.told = await talk.say(b"EHLO c.test\r\n")
            yield talk
        finally:
            writer.close()
            await writer.wait_closed()


class Talk:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer, self.told = reader, writer, ""

    async def reply(self) -> str:
        lines: list[str] = []
        async with asyncio.timeout(10):
            while not lines or lines[-1][3:4] == "-":
                line = (await self.reader.readline()).decode()
                if not line:
                    return "\n".join([*lines, "closed"])
                lines.append(line.removesuffix("\r\n"))
        return "\n".join(lines)

    async def say(self, data: bytes) -> str:
        self.writer.write(data)
        return await self.reply()

    async def all(self, data: bytes, count: int) -> list[str]:
        self.writer.write(data)
        return [await self.reply() for _ in range(count)]
