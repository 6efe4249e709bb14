"""One question to a DNS server, by UDP with retries or by TCP (RFC 1035 §4.2, RFC 5452 §9).

An answer counts only if it comes from the server and repeats the id and the question; anything
else is passed by, so a stray or malformed packet never ends a wait.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import asyncio
import contextlib
import functools
import random
import struct
from typing import Any, Literal

from dnslib import EDNS0, RCODE, DNSError, DNSHeader, DNSQuestion, DNSRecord
from dnslib.label import DNSLabel, DNSLabelError
from msgspec import Struct

from mxlab_services.dns.names import Name, fold
from mxlab_services.dns.rtypes import type_number
from mxlab_services.dns.wire import NOTIFY, QUERY, UDP_SIZE

_UNREADABLE = (DNSError, DNSLabelError, ValueError, LookupError, struct.error, RecursionError)
Source = tuple[str, int] | None  # the address to ask from: local processes share one host


class DnsReply(Struct, frozen=True):
    """A message that answers our question. The `id` is that of the query."""

    id: int
    message: DNSRecord
    size: int
    transport: Literal["udp", "tcp"]


@functools.lru_cache(maxsize=1024)
def question_bytes(name: Name, kind: str, *, recursion: bool, opcode: int = QUERY) -> bytes:
    """A query without its id."""
    header = DNSHeader(bitmap=opcode << 11, rd=int(recursion), aa=int(opcode == NOTIFY))
    query = DNSRecord(header, q=DNSQuestion(DNSLabel(name), type_number(kind)))
    if opcode == QUERY:
        query.add_ar(EDNS0(udp_len=UDP_SIZE))
    return bytes(query.pack())[2:]


class DnsClient:
    """Asks the server at `server`. `timeouts` are real seconds, one for each UDP attempt.

    `source` is where it asks from; `recursion`: whether the server is to find out what it does not
    know; `opcode`: QUERY, or NOTIFY.
    """

    def __init__(
        self,
        server: tuple[str, int],
        rng: random.Random,
        timeouts: tuple[float, ...],
        *,
        source: Source = None,
        recursion: bool = True,
        opcode: int = QUERY,
    ) -> None:
        self.server = server
        self._rng = rng
        self._timeouts = timeouts
        self._source = source
        self._recursion = recursion
        self._opcode = opcode

    async def ask(
        self, name: Name, kind: str, tcp: bool = False, server: str | None = None
    ) -> DnsReply | None:
        """The server's answer; None if it gives none in time. A truncated one is had by TCP.

        `server`: the address of another to ask, on the same port.
        """
        at = self.server if server is None else (server, self.server[1])
        if not tcp:
            reply = await self._by_udp(at, name, kind)
            if reply is None or not reply.message.header.tc:
                return reply
        return await self._by_tcp(at, name, kind)

    def _from(self, server: tuple[str, int]) -> Source:
        """Where to ask that server from: the source, if it is of the server's family."""
        alike = self._source is not None and (":" in self._source[0]) == (":" in server[0])
        return self._source if alike else None

    def _query(self, name: Name, kind: str) -> tuple[int, bytes]:
        identifier = self._rng.randrange(65536)
        words = question_bytes(name, kind, recursion=self._recursion, opcode=self._opcode)
        return identifier, identifier.to_bytes(2) + words

    async def _by_udp(self, server: tuple[str, int], name: Name, kind: str) -> DnsReply | None:
        loop = asyncio.get_running_loop()
        for seconds in self._timeouts:
            identifier, packet = self._query(name, kind)
            waiting = _Waiting(server, identifier, name, kind)
            try:  # a socket, and so a port, of its own for each attempt
                transport, _ = await loop.create_datagram_endpoint(
                    lambda waiting=waiting: waiting,  # type: ignore[misc]
                    local_addr=self._from(server),
                    remote_addr=server,
                )
            except OSError:
                continue
            try:
                transport.sendto(packet)
                async with asyncio.timeout(seconds):
                    return await waiting.reply
            except (OSError, TimeoutError):
                continue  # nobody there, or no answer: the next attempt
            finally:
                transport.close()
        return None

    async def _by_tcp(self, server: tuple[str, int], name: Name, kind: str) -> DnsReply | None:
        identifier, packet = self._query(name, kind)
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(sum(self._timeouts)):
                reader, writer = await asyncio.open_connection(
                    *server, local_addr=self._from(server)
                )
                writer.write(len(packet).to_bytes(2) + packet)
                await writer.drain()
                data = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
        except (OSError, EOFError, TimeoutError):
            return None
        finally:
            if writer is not None:
                writer.close()
        message = read_reply(data, identifier, name, kind)
        return DnsReply(identifier, message, len(data), "tcp") if message is not None else None


def read_reply(data: bytes, identifier: int, name: Name, kind: str) -> DNSRecord | None:
    """The message in `data` if it answers this query; None for anything else."""
    if int.from_bytes(data[:2]) != identifier:
        return None
    try:
        message = (_parsed if len(data) <= UDP_SIZE else _parsed.__wrapped__)(data[2:])
    except _UNREADABLE:
        return None
    header = message.header
    if not header.qr:
        return None
    # An error may come without the question (FORMERR, NOTIMP), an answer may not.
    if not message.questions:
        return message if header.rcode else None
    question = message.questions[0]
    same = len(message.questions) == 1 and fold(question.qname.label) == fold(name)
    return message if same and question.qtype == type_number(kind) else None


def rcode_text(message: DNSRecord) -> str:
    """The rcode of a message by its name, or as RCODE and its number."""
    return rcode_name(message.header.rcode)


def rcode_name(code: int) -> str:
    """The name of an rcode, or RCODE and its number."""
    return str(RCODE.forward.get(code, f"RCODE{code}"))


@functools.lru_cache(maxsize=1024)
def _parsed(data: bytes) -> DNSRecord:
    """The message whose bytes after the id these are; its own id is 0. Not to be changed."""
    message: DNSRecord = DNSRecord.parse(b"\0\0" + data)
    return message


class _Waiting(asyncio.DatagramProtocol):
    """Waits for the datagram that answers one query."""

    def __init__(self, server: tuple[str, int], identifier: int, name: Name, kind: str) -> None:
        self.reply: asyncio.Future[DnsReply] = asyncio.get_running_loop().create_future()
        self._server = server
        self._expected = identifier, name, kind

    def datagram_received(self, data: bytes, addr: tuple[Any, ...]) -> None:
        if addr[:2] != self._server or self.reply.done():
            return
        message = read_reply(data, *self._expected)
        if message is not None:
            self.reply.set_result(DnsReply(self._expected[0], message, len(data), "udp"))

    def error_received(self, exc: Exception) -> None:
        if not self.reply.done():
            self.reply.set_exception(exc)

    def connection_lost(self, exc: Exception | None) -> None:
        with contextlib.suppress(asyncio.InvalidStateError):
            self.reply.cancel()
