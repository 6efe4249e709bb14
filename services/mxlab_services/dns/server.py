"""An authoritative DNS server over UDP and TCP (RFC 1035 §4.2, RFC 7766), for the lab's zones only.

Any packet gets the answer that its zone has, an error code, or silence; none ends the service.
Each answer is encoded once and kept until a zone changes, so a busy lab costs a dict look-up.
"""

import asyncio
import contextlib
import errno
from typing import Any, Literal

from msgspec import Struct

from mxlab_services.control.replies import ZoneReport
from mxlab_services.control.requests import ZoneList, ZoneReplace, ZoneUpdate
from mxlab_services.control.rpc import Controls
from mxlab_services.dns.faults import NEVER, DnsFaults, Treated
from mxlab_services.dns.names import name_text
from mxlab_services.dns.wire import (
    ANY_CLASS,
    IN,
    MESSAGE_SIZE,
    UDP_SIZE,
    Malformed,
    Query,
    read_query,
    write_error,
    write_reply,
)
from mxlab_services.dns.zone import Change, Result, Zone, Zones
from mxlab_services.events import DnsQuery, DnsZone, Emit

IDLE = 10.0  # real seconds that a TCP connection may be silent (RFC 7766 §6.2.3)
CONNECTIONS = 100  # TCP connections at a time; more are closed at once
PER_CLIENT = 25  # of those, from one address (RFC 7766 §6.2.2)
CACHED = 4096  # encoded answers kept
_TRANSFERS = ("AXFR", "IXFR")

Transport = Literal["udp", "tcp"]


class Reply(Struct, frozen=True):
    """An encoded answer, and what its event says. An empty `packet` means silence."""

    packet: bytes
    name: str
    type: str
    rcode: str
    answers: list[str]
    truncated: bool


class DnsServer:
    """Serves `zones` on one address and port. `answer` is all that the two transports share.

    `idle`: real seconds until a silent TCP connection is closed; `connections`: how many at a time,
    `per_client`: of those, from one address.
    """

    def __init__(
        self,
        zones: Zones,
        emit: Emit,
        idle: float = IDLE,
        connections: int = CONNECTIONS,
        faults: DnsFaults | None = None,
        per_client: int = PER_CLIENT,
    ) -> None:
        self._zones = zones
        self._faults = faults
        self._emit = emit
        self._cache: dict[tuple[Transport, bytes], Reply] = {}
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], str] = {}  # and the client's address
        self._idle = idle
        self._most = connections
        self._per_client = per_client
        self.port = 0
        zones.watch(self._changed)

    async def start(self, address: str, port: int = 53) -> None:
        """Bind UDP and TCP to one port (0: a free one, then in `port`). Raises OSError."""
        for attempt in range(10):
            try:
                await self._bind(address, port)
            except OSError as error:
                # A free TCP port may be taken for UDP: try another.
                if port or attempt == 9 or error.errno != errno.EADDRINUSE:
                    raise
            else:
                return

    async def _bind(self, address: str, port: int) -> None:
        loop = asyncio.get_running_loop()
        tcp = await asyncio.start_server(self._accept, address, port)
        self.port = port or int(tcp.sockets[0].getsockname()[1])
        try:
            self._udp, _ = await loop.create_datagram_endpoint(
                lambda: _Datagrams(self), local_addr=(address, self.port)
            )
        except OSError:
            tcp.close()
            raise
        self._tcp = tcp

    async def close(self) -> None:
        """Stop serving, and end the connections that are open."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def controls(self, controls: Controls) -> None:
        """Answer the requests about zones."""
        controls.add(ZoneList, self._list)
        controls.add(ZoneReplace, self._replace)
        controls.add(ZoneUpdate, self._update)

    def respond(self, packet: bytes, transport: Transport, peer: str) -> bytes:
        """The bytes to send back for `packet`, empty for silence. Never raises."""
        return self.answer(packet, transport, peer)[0]

    def answer(self, packet: bytes, transport: Transport, peer: str) -> tuple[bytes, float]:
        """`respond`, and the real seconds by which a fault delays it: NEVER, and it is empty."""
        if self._faults is not None and self._faults.board:
            return self._respond_faulty(self._faults, packet, transport, peer)
        key = (transport, packet[2:])
        reply = self._cache.get(key)
        if reply is None:
            reply = self._reply(packet, transport)
            if reply.type and max(len(packet), len(reply.packet)) <= UDP_SIZE:
                if len(self._cache) >= CACHED:
                    self._cache.clear()
                self._cache[key] = reply
        self._tell(reply, transport, peer)
        return packet[:2] + reply.packet[2:] if reply.packet else b"", 0.0

    def _respond_faulty(
        self, faults: DnsFaults, packet: bytes, transport: Transport, peer: str
    ) -> tuple[bytes, float]:
        """The same while faults are set: nothing is taken from the kept answers, or kept."""
        query = read_query(packet)
        if not isinstance(query, Query):
            return self._reply(packet, transport).packet, 0.0
        treated = faults.treat(query, transport, peer, self._decide(query))
        if treated.delay == NEVER:
            return b"", NEVER
        reply = _encoded(query, treated, transport)
        self._tell(reply, transport, peer)
        return reply.packet, treated.delay

    def _tell(self, reply: Reply, transport: Transport, peer: str) -> None:
        if reply.type:
            self._emit(
                DnsQuery(
                    reply.name, reply.type, reply.rcode, reply.answers, transport, peer,
                    reply.truncated,
                )
            )  # fmt: skip

    def _reply(self, packet: bytes, transport: Transport) -> Reply:
        match read_query(packet):
            case None:
                return Reply(b"", "", "", "", [], False)
            case Malformed() as error:
                return Reply(write_error(error), "", "", "", [], False)
            case query:
                return _encoded(query, Treated(self._decide(query)), transport)

    def _decide(self, query: Query) -> Result:
        """What to answer: the one place where the server makes up its mind about a question."""
        if query.edns is not None and query.edns.version:  # RFC 6891 §6.1.3: we know 0 only
            return Result("BADVERS")
        if query.cls not in (IN, ANY_CLASS) or query.type_name in _TRANSFERS:
            return Result("REFUSED")
        return self._zones.lookup(query.name, query.type_name)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        peer = str(writer.get_extra_info("peername")[0])
        of_client = list(self._connections.values()).count(peer)
        if task is None or len(self._connections) >= self._most or of_client >= self._per_client:
            writer.close()
            return
        self._connections[task] = peer
        try:
            await self._converse(reader, writer, peer)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # the peer is gone, or silent for too long, or `close` ends it: no more than that
        finally:
            del self._connections[task]
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str
    ) -> None:
        while True:
            async with asyncio.timeout(self._idle):
                length = int.from_bytes(await reader.readexactly(2))
                packet = await reader.readexactly(length)
            reply, delay = self.answer(packet, "tcp", peer)
            if delay == NEVER:
                continue
            if not reply:
                return
            if delay:
                await asyncio.sleep(delay)
            async with asyncio.timeout(self._idle):
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()

    def _changed(self, change: Change) -> None:
        self._cache.clear()
        origin = name_text(change.zone.origin)
        added, removed = list(change.added), list(change.removed)
        self._emit(DnsZone(origin, change.zone.serial, added, removed))

    async def _list(self, _: ZoneList) -> list[ZoneReport]:
        return [_report(zone) for zone in self._zones.all()]

    async def _replace(self, request: ZoneReplace) -> ZoneReport:
        return _report(self._zones.replace(request.origin, request.text, request.strict).zone)

    async def _update(self, request: ZoneUpdate) -> ZoneReport:
        change = self._zones.update(request.origin, request.add, request.remove, request.strict)
        return _report(change.zone)


def _encoded(query: Query, treated: Treated, transport: Transport) -> Reply:
    result = treated.result
    size = MESSAGE_SIZE if transport == "tcp" else query.size
    packet, truncated = write_reply(query, result, 0 if treated.truncated else size)
    name, answers = name_text(query.name), [str(item) for item in result.answers]
    return Reply(packet, name, query.type_name, result.rcode, answers, truncated)


def _report(zone: Zone) -> ZoneReport:
    warnings = [*zone.problems, *zone.warnings]
    return ZoneReport(name_text(zone.origin), zone.serial, zone.text(), warnings)


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram at once, but for those that a fault delays."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        reply, delay = self._server.answer(data, "udp", addr[0])
        if reply and delay:
            asyncio.get_running_loop().call_later(delay, self._send, reply, addr)
        elif reply:
            self._send(reply, addr)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # unreachable: UDP promises nothing
                self._transport.sendto(reply, addr)

    def error_received(self, exc: Exception) -> None:
        """A reply could not be delivered: its asker will ask again."""
