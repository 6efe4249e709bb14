"""Before a product: takes the connections at the node's own port and passes them on, byte for byte.

Guarantee: what one side says, the other side gets, all of it, in order and nothing else, but for
the PROXY protocol's header, by which the product knows the peer; a half that one side closes is
closed to the other, a reset is passed on as a reset, and who is too quick for the other waits.
Where faults are set that must see the commands, `between` stands between the two, from the next
command on.

Long: the splice and what stands in it share the state of both connections.
"""

import asyncio
import ipaddress
import logging
import ssl
import struct
from collections.abc import Callable
from socket import SO_LINGER, SOL_SOCKET
from typing import Any

from mxlab_services.config import Limits, MtaConfig
from mxlab_services.events import Body, EmitFrom
from mxlab_services.products.between import STEPS_IN, Between
from mxlab_services.products.hearing import Hearing
from mxlab_services.products.overhear import Conversation, Said
from mxlab_services.smtp.server.faults import EdgeFaults, SessionFaults
from mxlab_services.smtp.server.throttle import Inflow
from mxlab_services.storage.ports import Scratch
from mxlab_services.storage.scratch import FileScratch

log = logging.getLogger(__name__)

_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
_LINGER = 60.0  # real seconds that a half-closed connection stays after the product's end of it:
# what a kernel grants to one that nobody owns any more
_CLOSING = 1.0  # real seconds that what is under way gets once the product has gone

Address = tuple[str, int]


def proxy_header(source: Address, target: Address) -> bytes:
    """What tells a server that a connection is from `source`, to `target` (the PROXY protocol,
    version 2, section 2.2)."""
    ends = [_plain(source[0]), _plain(target[0])]
    if len({end.version for end in ends}) > 1:  # both in the wider family
        ends = [ipaddress.IPv6Address(f"::ffff:{end}") if end.version == 4 else end for end in ends]
    family = 0x11 if ends[0].version == 4 else 0x21  # TCP over it
    body = b"".join(end.packed for end in ends) + struct.pack("!HH", source[1], target[1])
    return _SIGNATURE + struct.pack("!BBH", 0x21, family, len(body)) + body


def _plain(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    address = ipaddress.ip_address(text.partition("%")[0])
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        return address.ipv4_mapped
    return address


class Proxy:
    """The port of a node at which a product is reached, `inner`, by way of here."""

    def __init__(
        self,
        config: MtaConfig,
        inner: Address,
        hearing: Hearing,
        faults: EdgeFaults,
        emit: EmitFrom,
        scratch: Callable[[], Scratch] = FileScratch,
    ) -> None:
        self._binds = config.binds
        self._port = config.smtp_port
        self.limits = config.limits
        self.inner = inner
        self.hearing = hearing
        self.faults = faults
        self.emit = emit
        self.scratch = scratch
        self._server: asyncio.Server | None = None
        self._splices: set[Splice] = set()
        self._fewer = asyncio.Event()

    async def start(self) -> None:
        """Listen, where it was before if it was refused since. Raises OSError."""
        if self._server is None:
            loop = asyncio.get_running_loop()
            server = await loop.create_server(lambda: Splice(self).outer, self._binds, self._port)
            self._server = server
            self._port = server.sockets[0].getsockname()[1]

    @property
    def addresses(self) -> list[Address]:
        """Where it listens."""
        sockets = self._server.sockets if self._server is not None else ()
        return [socket.getsockname()[:2] for socket in sockets]

    def limit(self, limits: Limits) -> None:
        """From the next connection on, these hold."""
        self.limits = limits

    @property
    def steps_in(self) -> bool:
        """Whether a fault is set that must see the commands."""
        return bool(self.faults.injector.of(*STEPS_IN))

    def refuse(self) -> None:
        """Listen no more, and end what is under way, each after the message that is being taken."""
        self.stop_listening()
        for splice in list(self._splices):
            splice.hang_up("421 4.3.2 this server takes no mail now")

    def stop_listening(self) -> None:
        """Whoever comes now is refused."""
        if self._server is not None:
            self._server.close()
            self._server = None

    async def close(self) -> None:
        """Listen no more, and let those that are here come to their end, within a bound."""
        self.stop_listening()
        try:
            async with asyncio.timeout(_CLOSING):
                await self.empty()
        except TimeoutError:
            log.warning("closed with %d connections under way", len(self._splices))
        self.abort()

    async def empty(self) -> None:
        """Return once no connection is under way."""
        while self._splices:
            self._fewer.clear()
            await self._fewer.wait()

    def abort(self) -> None:
        """End every connection now."""
        for splice in list(self._splices):
            splice.abort()

    def opened(self, splice: "Splice") -> None:
        self._splices.add(splice)

    def closed(self, splice: "Splice") -> None:
        self._splices.discard(splice)
        self._fewer.set()


class _Side(asyncio.Protocol):
    """One of the two connections that are spliced. `got` takes what comes by it."""

    def __init__(
        self,
        made: Callable[[], None],
        got: Callable[[bytes], None],
        ended: Callable[[], None],
        lost: Callable[[bool], None],
    ) -> None:
        self._made, self._got, self._ended, self._lost = made, got, ended, lost
        self.other: _Side | None = None
        self.transport: asyncio.Transport | None = None
        self.finished = False  # it has said all that it had to say

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._made()

    def data_received(self, data: bytes) -> None:
        self._got(data)

    def eof_received(self) -> bool:
        self.finished = True
        self._ended()
        return self.transport is not None and self.transport.can_write_eof()  # it stays half open

    def connection_lost(self, error: Exception | None) -> None:
        self.transport = None
        self._lost(error is not None)

    def pause_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other is not None and self.other.transport is not None:
            self.other.transport.resume_reading()

    def write(self, data: bytes) -> None:
        """Say it to whoever is there, as long as it listens."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def finish(self) -> None:
        """Say that nothing more comes."""
        if self.transport is None or self.transport.is_closing():
            return
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:  # TLS has no halves
            self.transport.close()

    def forget(self) -> None:
        """Close at once, and tell nobody."""
        self._got, self._ended, self._lost = _nothing, _nothing, _nothing
        if self.transport is not None:
            self.transport.abort()

    def close(self) -> None:
        """Close once all is said."""
        if self.transport is not None:
            self.transport.close()

    def reset(self) -> None:
        """Close at once, with a RST."""
        if self.transport is not None:
            socket: Any = self.transport.get_extra_info("socket")
            if socket is not None:
                socket.setsockopt(SOL_SOCKET, SO_LINGER, struct.pack("ii", 1, 0))
            self.transport.abort()


def _nothing(*_: object) -> None:
    """Of a connection that nobody minds any more."""


class Splice:
    """One connection through a proxy: `outer` is the peer's, `inner` the one to the product."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self.outer = _Side(self._accepted, self._from_peer, self._peer_ended, self._peer_lost)
        self.inner = self._to_product()
        self._join()
        self._header = b""
        self._peer = ""
        self._connecting: asyncio.Task[None] | None = None
        self._linger: asyncio.TimerHandle | None = None
        self._talk = Conversation("", proxy.hearing)
        self._between: Between | None = None
        self._last_word = b""
        self._inflow = Inflow(
            proxy.faults.injector, self._peer_said, self._peer_said_all, self.reset
        )

    def _to_product(self) -> _Side:
        return _Side(self._reached, self._from_product, self._product_ended, self._product_lost)

    def _join(self) -> None:
        """Who is too quick for the other waits."""
        self.outer.other, self.inner.other = self.inner, self.outer

    # --- its beginning and its end ----------------------------------------------------------------

    def _accepted(self) -> None:
        transport = self.outer.transport
        assert transport is not None
        self._proxy.opened(self)
        # Before the first read: Python 3.11.2 begins to read after this call, whatever it says.
        asyncio.get_running_loop().call_soon(self._hear_nothing_yet)
        peer, here = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if not peer:  # it went away as it came
            transport.abort()
            return
        self._peer = peer[0]
        self._header = proxy_header(peer[:2], here[:2])
        self._talk = Conversation(self._peer, self._proxy.hearing)
        self._inflow.begin(transport, self._peer)
        self._connecting = asyncio.create_task(self._connect())

    def _hear_nothing_yet(self) -> None:
        """The peer waits until there is somebody to tell it to."""
        if self.inner.transport is None and self.outer.transport is not None:
            self.outer.transport.pause_reading()

    async def _connect(self) -> None:
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: self.inner, *self._proxy.inner
            )
        except OSError as error:
            log.info("the product takes no connection: %s", error)
            self.outer.reset()

    def _reached(self) -> None:
        if self.outer.transport is None:
            self.inner.reset()
            return
        self.inner.write(self._header)
        if self._between is None:
            if self._proxy.steps_in:
                self._step_in(None)
            self.outer.transport.resume_reading()

    def abort(self) -> None:
        """End both connections now."""
        self.outer.reset()
        self.inner.reset()

    def hang_up(self, reply: str) -> None:
        """Say `reply` and close; of what is under way, first tell the outcome. Who cannot be told,
        within TLS, is cut off."""
        if self._between is not None:
            self._between.hang_up(reply)
        elif self._talk.deaf:
            self.abort()
        else:
            self._last_word = reply.encode() + b"\r\n"
            self._say_last_word()

    def _say_last_word(self) -> None:
        if self._last_word and self._talk.at_rest:
            self.outer.write(self._last_word)
            self._last_word = b""
            self.close()

    # --- what passes ------------------------------------------------------------------------------

    def _from_peer(self, data: bytes) -> None:
        self._inflow.data(data)

    def _peer_said(self, data: bytes) -> None:
        if self._between is None and self._proxy.steps_in and self._talk.at_rest:
            self._step_in(self._talk.said)
        if self._between is not None:
            self._between.peer_said(data)
        else:
            self.ask(data)

    def _from_product(self, data: bytes) -> None:
        self._talk.server(data)
        if self._between is not None:
            self._between.product_said(data)
        else:
            self.outer.write(data)
            self._say_last_word()

    def _peer_ended(self) -> None:
        self._inflow.eof()

    def _peer_said_all(self) -> bool:
        if self._between is not None:
            self._between.peer_ended()
        else:
            self.inner.finish()
            self._close_if_both_ended()
        return True

    def _product_ended(self) -> None:
        if self._between is not None:
            self._between.product_ended()
            return
        self.outer.finish()
        if not self._close_if_both_ended():
            loop = asyncio.get_running_loop()
            self._linger = loop.call_later(_LINGER, self.abort)

    def _close_if_both_ended(self) -> bool:
        if self.outer.finished and self.inner.finished:
            self.close()
            return True
        return False

    def _peer_lost(self, broken: bool) -> None:
        self._inflow.lost()
        self._other_lost(self.inner, broken=broken)

    def _product_lost(self, broken: bool) -> None:
        self._other_lost(self.outer, broken=broken)

    def _other_lost(self, left: _Side, *, broken: bool) -> None:
        """One side is gone: so is the other, in the same way."""
        if self._between is not None:
            self._between.lost()
        if broken:
            left.reset()
        else:
            left.close()
        if self.outer.transport is None and self.inner.transport is None:
            if self._linger is not None:
                self._linger.cancel()
            self._talk.stop()
            self._proxy.closed(self)

    # --- with faults in between: what `Ends` asks for ---------------------------------------------

    def _step_in(self, said: Said | None) -> None:
        self.outer.other = self.inner.other = None  # what stands between them waits by itself
        self._between = Between(
            self, SessionFaults(self._proxy.faults), self._peer, self._proxy.limits,
            self._proxy.scratch,
        )  # fmt: skip
        self._between.begin(said)

    def say(self, data: bytes) -> None:
        self.outer.write(data)

    def ask(self, data: bytes) -> None:
        self._talk.client(data)
        self.inner.write(data)

    async def renew(self) -> None:
        old, self.inner = self.inner, self._to_product()
        old.forget()
        self._talk.stop()
        self._talk = Conversation(self._peer, self._proxy.hearing)
        await asyncio.get_running_loop().create_connection(lambda: self.inner, *self._proxy.inner)

    def let_go(self, rest: bytes) -> None:
        self._between = None
        self._join()
        if rest:
            self.ask(rest)
        if self.outer.finished:
            self._peer_said_all()
        if self.inner.finished:
            self._product_ended()

    def reset(self) -> None:
        self.abort()

    def close(self) -> None:
        self.outer.close()
        self.inner.close()

    async def encrypt(self, context: ssl.SSLContext) -> None:
        transport = self.outer.transport
        if transport is None:
            raise ConnectionError("the peer has gone")
        loop = asyncio.get_running_loop()
        begun = await loop.start_tls(transport, self.outer, context, server_side=True)
        if begun is None:
            raise ConnectionError("the peer has gone")
        self.outer.transport = begun
        self._inflow.begin(begun, self._peer)

    def emit(self, body: Body) -> None:
        self._proxy.emit(body, source="proxy")
