"""An authoritative DNS server over UDP and TCP (RFC 1035 §4.2, RFC 7766), for the lab's zones only.

Any packet gets the answer that its zone has, an error code, or silence; none ends the service.
Each answer is encoded once and kept until a zone changes, so a busy lab costs a dict look-up.

Long: UDP and TCP share one cache of encoded answers, and the faults that befall both.
"""

import asyncio
import contextlib
import errno
import socket
from base64 import b64encode
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mxlab_services.config import ANY6
from mxlab_services.control.rpc import Controls
from mxlab_services.dns.authority import Authoritative, Transport
from mxlab_services.dns.faults import NEVER, DnsFaults, Treated
from mxlab_services.dns.names import Name, name_text
from mxlab_services.dns.wire import (
    MESSAGE_SIZE,
    NOTIFY,
    QUERY,
    TRANSFERS,
    UDP_SIZE,
    Malformed,
    Query,
    read_query,
    write_error,
    write_reply,
)
from mxlab_services.dns.zones import Change, Zones
from mxlab_services.events import DnsQuery, DnsZone, Emit

if TYPE_CHECKING:
    from mxlab_services.dns.secondary import Secondary  # most servers have no copies

IDLE = 10.0  # real seconds that a TCP connection may be silent (RFC 7766 §6.2.3)
CONNECTIONS = 100  # TCP connections at a time; more are closed at once
PER_CLIENT = 25  # of those, from one address (RFC 7766 §6.2.2)
CACHED = 4096  # encoded answers kept
TOLD = 64 * 1024  # bytes of an answer that its event repeats


class EncodedAnswer(Struct, frozen=True):
    """An encoded answer, and what its event says. No `packets` mean silence, more than one are a
    zone transfer."""

    packets: tuple[bytes, ...]
    name: str
    type: str
    rcode: str
    answers: list[str]
    truncated: bool


class DnsServer:
    """Serves `zones` on one address and port. `answer` is all that the two transports share.

    `idle`: real seconds until a silent TCP connection is closed; `connections`: how many at a time,
    `per_client`: of those, from one address. `secondaries`: the addresses that may take a zone, by
    its folded origin; `copies`: the zones that are taken from elsewhere.
    """

    def __init__(
        self,
        zones: Zones,
        emit: Emit,
        idle: float = IDLE,
        connections: int = CONNECTIONS,
        faults: DnsFaults | None = None,
        per_client: int = PER_CLIENT,
        secondaries: Mapping[Name, Collection[str]] | None = None,
        copies: "Iterable[Secondary]" = (),
    ) -> None:
        self._authority = Authoritative(zones, secondaries or {}, copies)
        self._faults = faults
        self._emit = emit
        self._cache: dict[tuple[Transport, bytes], EncodedAnswer] = {}
        self._udp: list[asyncio.DatagramTransport] = []
        self._tcp: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], str] = {}  # and the client's address
        self._idle = idle
        self._most = connections
        self._per_client = per_client
        self.port = 0
        zones.watch(self._changed)

    async def start(self, address: str | Sequence[str], port: int = 53) -> None:
        """Bind UDP and TCP to one port of each address (0: a free one, then in `port`). Raises
        OSError."""
        addresses = [address] if isinstance(address, str) else list(address)
        for attempt in range(10):
            try:
                await self._bind(addresses, port)
            except OSError as error:
                # A free TCP port may be taken for UDP: try another.
                if port or attempt == 9 or error.errno != errno.EADDRINUSE:
                    raise
            else:
                return

    async def _bind(self, addresses: list[str], port: int) -> None:
        loop = asyncio.get_running_loop()
        tcp = await asyncio.start_server(self._accept, addresses, port)
        self.port = port or int(tcp.sockets[0].getsockname()[1])
        try:
            for address in addresses:
                place: dict[str, Any] = {"local_addr": (address, self.port)}
                if address == ANY6:
                    place = {"sock": _only_six(self.port)}
                endpoint, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), **place)
                self._udp.append(endpoint)
        except OSError:
            tcp.close()
            while self._udp:
                self._udp.pop().close()
            raise
        self._tcp = tcp

    async def close(self) -> None:
        """Stop serving, and end the connections that are open."""
        for endpoint in self._udp:
            endpoint.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)

    def controls(self, controls: Controls) -> None:
        """Answer the requests about zones."""
        self._authority.controls(controls)

    def respond(self, packet: bytes, transport: Transport, peer: str, port: int = 0) -> bytes:
        """The bytes to send back for `packet`, empty for silence. Never raises."""
        packets, _ = self.answer(packet, transport, peer, port)
        return packets[0] if packets else b""

    def answer(
        self, packet: bytes, transport: Transport, peer: str, port: int = 0
    ) -> tuple[Sequence[bytes], float]:
        """The messages to send back, none for silence, and the real seconds by which a fault
        delays them: NEVER, and there is none."""
        if self._faults is not None and self._faults.injector:
            return self._respond_faulty(self._faults, packet, transport, peer, port)
        key = (transport, packet[2:])
        reply = self._cache.get(key)
        if reply is None:
            reply, general = self._reply(packet, transport, peer)
            if general and max(len(packet), len(reply.packets[0])) <= UDP_SIZE:
                if len(self._cache) >= CACHED:
                    self._cache.clear()
                self._cache[key] = reply
        self._tell(packet, reply, transport, (peer, port))
        return [packet[:2] + one[2:] for one in reply.packets], 0.0

    def _respond_faulty(
        self, faults: DnsFaults, packet: bytes, transport: Transport, peer: str, port: int
    ) -> tuple[Sequence[bytes], float]:
        """The same while faults are set: nothing is taken from the kept answers, or kept."""
        query = read_query(packet)
        if not isinstance(query, Query) or query.opcode != QUERY:
            reply, _ = self._reply(packet, transport, peer)
            self._tell(packet, reply, transport, (peer, port))
            return reply.packets, 0.0
        treated = faults.treat(
            query, transport, peer, self._authority.decide(query, transport, peer)
        )
        if treated.delay == NEVER:
            return (), NEVER
        reply = _encoded(query, treated, transport)
        self._tell(packet, reply, transport, (peer, port), treated.delay)
        return reply.packets, treated.delay

    def _tell(
        self,
        packet: bytes,
        reply: EncodedAnswer,
        transport: Transport,
        peer: tuple[str, int],
        delay: float = 0.0,
    ) -> None:
        if reply.type:
            kept, left_out = _kept([packet[:2] + one[2:] for one in reply.packets])
            self._emit(
                DnsQuery(
                    reply.name, reply.type, reply.rcode, reply.answers, transport, peer[0],
                    reply.truncated, peer[1], _text(packet), kept, left_out, delay,
                )
            )  # fmt: skip

    def _reply(self, packet: bytes, transport: Transport, peer: str) -> tuple[EncodedAnswer, bool]:
        """The answer, and whether it is the same for whoever asks."""
        match read_query(packet):
            case None:
                return EncodedAnswer((), "", "", "", [], False), False
            case Malformed() as error:
                return EncodedAnswer((write_error(error),), "", "", "", [], False), False
            case query:
                general = query.opcode == QUERY and query.type_name not in TRANSFERS
                treated = Treated(self._authority.decide(query, transport, peer))
                return _encoded(query, treated, transport), general

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        peer, port = writer.get_extra_info("peername")[:2]
        of_client = list(self._connections.values()).count(peer)
        if task is None or len(self._connections) >= self._most or of_client >= self._per_client:
            writer.close()
            return
        self._connections[task] = peer
        try:
            await self._converse(reader, writer, str(peer), port)
        except (OSError, EOFError, TimeoutError, asyncio.CancelledError):
            pass  # the peer is gone, or silent for too long, or `close` ends it: no more than that
        finally:
            del self._connections[task]
            writer.close()

    async def _converse(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, peer: str, port: int
    ) -> None:
        while True:
            async with asyncio.timeout(self._idle):
                length = int.from_bytes(await reader.readexactly(2))
                packet = await reader.readexactly(length)
            replies, delay = self.answer(packet, "tcp", peer, port)
            if delay == NEVER:
                continue
            if not replies:
                return
            if delay:
                await asyncio.sleep(delay)
            for reply in replies:
                async with asyncio.timeout(self._idle):
                    writer.write(len(reply).to_bytes(2) + reply)
                    await writer.drain()

    def _changed(self, change: Change) -> None:
        self._cache.clear()
        origin = name_text(change.zone.origin)
        added, removed = list(change.added), list(change.removed)
        self._emit(DnsZone(origin, change.zone.serial, added, removed))


def _encoded(query: Query, treated: Treated, transport: Transport) -> EncodedAnswer:
    result = treated.result
    name, answers = name_text(query.name), [str(item) for item in result.answers]
    kind = "NOTIFY" if query.opcode == NOTIFY else query.type_name
    if result.transfer:
        from mxlab_services.dns.transfer import write_transfer

        packets = tuple(write_transfer(query, result.transfer))
        return EncodedAnswer(packets, name, kind, result.rcode, answers, False)
    size = MESSAGE_SIZE if transport == "tcp" else query.size
    packet, truncated = write_reply(query, result, 0 if treated.truncated else size)
    return EncodedAnswer((packet,), name, kind, result.rcode, answers, truncated)


def _text(packet: bytes) -> str:
    """A message as its event has it."""
    return b64encode(packet).decode("ascii")


def _kept(packets: Sequence[bytes]) -> tuple[list[str], int]:
    """As many of the messages as an event may hold, and how many bytes the others have."""
    room, kept = TOLD, list[str]()
    for packet in packets:
        room -= len(packet)
        if room < 0:
            break
        kept.append(_text(packet))
    return kept, sum(map(len, packets[len(kept) :]))


def _only_six(port: int) -> socket.socket:
    """A UDP socket at every IPv6 address, and at no other: IPv4 has a socket of its own."""
    found = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    try:
        found.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        found.setblocking(False)
        found.bind((ANY6, port))
    except OSError:
        found.close()
        raise
    return found


class _Datagrams(asyncio.DatagramProtocol):
    """Answers each datagram at once, but for those that a fault delays."""

    def __init__(self, server: DnsServer) -> None:
        self._server = server
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        replies, delay = self._server.answer(data, "udp", *addr[:2])
        for reply in replies:
            if delay:
                asyncio.get_running_loop().call_later(delay, self._send, reply, addr)
            else:
                self._send(reply, addr)

    def _send(self, reply: bytes, addr: tuple[str, int]) -> None:
        if self._transport is not None and not self._transport.is_closing():
            with contextlib.suppress(OSError):  # unreachable: UDP promises nothing
                self._transport.sendto(reply, addr)

    def error_received(self, exc: Exception) -> None:
        """A reply could not be delivered: its asker will ask again."""
