"""Hands messages in at a product, by SMTP, as its own user on the same machine would.

Guarantee: `__call__` returns once the product has taken the message and its log has said so; when
it raises, the product has said that it did not, or has said nothing.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator

from mxlab_services.errors import SpoolError
from mxlab_services.message import Envelope, Origin, Recipient
from mxlab_services.products.hearing import Heard, Hearing, read_content
from mxlab_services.products.proxy import Address, proxy_header
from mxlab_services.products.telling import Telling
from mxlab_services.queue.dsn import is_silent

_PATIENCE = 60.0  # real seconds for each reply
_TOLD = 10.0  # real seconds in which the log tells of what was taken


class Handing:
    """An Accept: the way into the product at `inner`, as if from `source` of the same node."""

    def __init__(
        self, inner: Address, source: Address, hostname: str, hearing: Hearing, telling: Telling
    ) -> None:
        self._inner = inner
        self._source = source
        self._hostname = hostname
        self._hearing = hearing
        self._telling = telling

    async def __call__(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        """As `Accept` has it: the queue id. Raises SpoolError with the product's reply."""
        heard = Heard(
            sender=envelope.sender,
            recipients=tuple(one.address for one in envelope.recipients),
            content=read_content(content),
            helo=self._hostname,
            protocol="local",
            silent=tuple(one.address for one in envelope.recipients if is_silent(one)),
            batch=origin.batch,
        )
        told = self._telling.awaited(heard.content.key)
        undecided = self._hearing.undecided()
        try:
            async with self._session() as session:
                reply = await session.transaction(envelope, content)
            self._hearing.tell(reply, heard)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as error:
            raise SpoolError(f"the product does not answer: {error}") from error
        finally:
            undecided.set_result(None)
        try:
            return await asyncio.wait_for(asyncio.shield(told), _TOLD)
        except TimeoutError:
            text = f"the product said {reply!r}, and its log tells of no such message"
            raise SpoolError(text) from None
        finally:
            self._telling.unawaited(heard.content.key)

    @contextlib.asynccontextmanager
    async def _session(self) -> AsyncIterator["_Session"]:
        reader, writer = await asyncio.open_connection(*self._inner)
        try:
            writer.write(proxy_header(self._source, self._source))
            session = _Session(reader, writer)
            await session.begin(self._hostname)
            yield session
            await session.say("QUIT", "2")
        finally:
            writer.close()


class _Session:
    """One SMTP session with the product."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._offered: set[str] = set()

    async def begin(self, hostname: str) -> None:
        await self._reply("2", "its greeting")
        lines = (await self.say(f"EHLO {hostname}", "2")).splitlines()
        self._offered = {line.split()[0].upper() for line in lines[1:] if line}

    async def transaction(self, envelope: Envelope, content: bytes) -> str:
        """Hand one message in; the reply to its final dot."""
        await self.say(f"MAIL FROM:<{envelope.sender}>{self._of_mail(envelope)}", "2")
        for recipient in envelope.recipients:
            await self.say(f"RCPT TO:<{recipient.address}>{self._of_rcpt(recipient)}", "2")
        await self.say("DATA", "3")
        stuffed = (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:]
        self._writer.write(stuffed + b".\r\n")
        await self._writer.drain()
        return await self._reply("2", "the message")

    async def say(self, command: str, good: str) -> str:
        """The text of the reply, a line each. Raises SpoolError for one that is no `good` one."""
        self._writer.write(command.encode() + b"\r\n")
        return await self._reply(good, command)

    def _of_mail(self, envelope: Envelope) -> str:
        words = ["BODY=8BITMIME"] if envelope.eightbit and "8BITMIME" in self._offered else []
        words += ["SMTPUTF8"] if envelope.smtputf8 and "SMTPUTF8" in self._offered else []
        if "DSN" in self._offered:
            words += [f"RET={envelope.ret}"] if envelope.ret else []
            words += [f"ENVID={envelope.envid}"] if envelope.envid else []
        return "".join(f" {word}" for word in words)

    def _of_rcpt(self, recipient: Recipient) -> str:
        wished = recipient.notify and "DSN" in self._offered
        return f" NOTIFY={recipient.notify}" if wished else ""

    async def _reply(self, good: str, to: str) -> str:
        texts: list[str] = []
        code = ""
        async with asyncio.timeout(_PATIENCE):
            while True:
                line = (await self._reader.readuntil(b"\n")).decode("utf-8", "replace").rstrip()
                code = line[:3]
                texts.append(line[4:])
                if line[3:4] != "-":
                    break
        if not code.startswith(good):
            raise SpoolError(f"the product refused {to}: {code} {' '.join(texts)}")
        return "\n".join(texts)
