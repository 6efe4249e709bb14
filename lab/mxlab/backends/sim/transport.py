"""The two ends of a simulated TCP connection.

A transport belongs to one life of one host; once that life is over it does nothing. Callbacks of a
protocol run in the context of the host that owns it, so a paused host answers nothing while its
kernel goes on accepting bytes, up to the window.
"""

import asyncio
import collections
import contextvars
import errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mxlab.backends.sim.network import Host, Link, Network

RESET = object()  # on the wire: a segment with the RST flag; None stands for FIN
WINDOW = 64 * 1024  # bytes in flight or unread before a writer is told to pause


class SimTransport(asyncio.Transport):
    """One end. `_force_close` and `_start_tls_compatible` are what asyncio's TLS layer asks for."""

    _start_tls_compatible = True

    def __init__(
        self,
        network: "Network",
        host: "Host",
        local: tuple[str, int],
        remote: tuple[str, int],
        context: contextvars.Context,
    ) -> None:
        super().__init__({"peername": remote, "sockname": local, "socket": None})
        self._loop = network.loop
        self._network = network
        self._host = host
        self._link: Link = network.link(local[0], remote[0])
        self.context = context
        self._other: SimTransport | None = None
        self._protocol: Any = None
        self._inbox: collections.deque[bytes | None] = collections.deque()
        self._wire: collections.deque[Any] = collections.deque()
        self._last_due = 0.0
        self._written = 0  # bytes so far
        self._unread = 0  # bytes on the way to, or waiting at, the other end
        self._writer_paused = False
        self._begun = False
        self._reading = True
        self._closing = False
        self._eof_sent = False
        self.alive = True
        host.connections[self] = None

    def join(self, other: "SimTransport") -> None:
        self._other, other._other = other, self

    def begin(self) -> None:
        """Hand the connection to the protocol, then what came in before it was there."""
        self._begun = True
        self._protocol.connection_made(self)
        self._drain()

    # --- asyncio.Transport ------------------------------------------------------------------------

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol

    def is_closing(self) -> bool:
        return self._closing

    def is_reading(self) -> bool:
        return self._reading and not self._closing

    def pause_reading(self) -> None:
        self._reading = False

    def resume_reading(self) -> None:
        if not self._reading:
            self._reading = True
            self._loop.call_soon(self._drain, context=self.context)

    def get_write_buffer_size(self) -> int:
        return max(0, self._unread - WINDOW)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        if self.alive and not self._eof_sent:
            self._eof_sent = True
            self._send(None)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        if not data or not self.alive or self._closing or self._eof_sent:
            return
        payload = bytes(data)
        cut = self._link.cut_after
        if cut is not None and cut < self._written + len(payload):
            self._link.cut_after = None
            self._send(payload[: max(0, cut - self._written)])
            self._reset_both()
            return
        self._written += len(payload)
        if self._link.rate is not None:
            self._last_due = max(self._last_due, self._network.occupy(self._link, len(payload)))
        self._unread += len(payload)
        if self._unread > WINDOW and not self._writer_paused:
            self._writer_paused = True
            self._protocol.pause_writing()
        self._send(payload)

    def close(self) -> None:
        if self._closing:
            return
        self.write_eof()
        self._closing = True
        self._loop.call_soon(self._lose, None, context=self.context)

    def abort(self) -> None:
        self._force_close(None)

    def _force_close(self, error: BaseException | None) -> None:
        if self.alive and not self._closing:
            self._closing = True
            self._send(RESET)
        self._loop.call_soon(self._lose, error, context=self.context)

    # --- the wire ---------------------------------------------------------------------------------

    def vanish(self) -> None:
        """The host lost its power or its process: nothing is called here any more."""
        if self.alive:
            if not self._eof_sent:
                self._send(None)
            self._forget()
            tls = getattr(self._protocol, "_app_transport", None)
            if tls is not None:  # asyncio's TLS layer would complain that nobody closed it
                tls._closed = True

    def _send(self, item: object) -> None:
        if self._link.segments and isinstance(item, bytes):
            self._send_segments(item, self._link.segments)
            return
        self._wire.append(item)
        self._schedule()

    def _send_segments(self, data: bytes, most: int) -> None:
        """Cut what was written anywhere; its first piece may join one that is still under way."""
        gap = 0.0
        for piece, joins, gap_after in self._network.segments(data, most):
            if joins and self._wire and isinstance(self._wire[-1], bytes):
                self._wire[-1] += piece
            else:
                self._wire.append(piece)
                self._schedule(gap)
            gap = gap_after

    def _schedule(self, gap: float = 0.0) -> None:
        """Put the next item of the wire under way, or park it while packets vanish. It arrives at
        least `gap` seconds after the one before."""
        if self._link.drop:
            self._link.parked.append(self._schedule)
            return
        delay = self._network.delay(self._link, reliable=True) or 0.0
        self._last_due = max(self._last_due + gap, self._loop.time() + delay)
        other = self._other
        assert other is not None
        self._loop.call_at(self._last_due, self._arrive_there, context=contextvars.Context())

    def _arrive_there(self) -> None:
        """The kernel of the other host takes the item, whether or not its process runs."""
        item, other = self._wire.popleft(), self._other
        assert other is not None
        if item is RESET:
            self._loop.call_soon(other._be_reset, context=other.context)
        elif other.alive and not (other._closing and item is None):
            other._inbox.append(item)
            self._loop.call_soon(other._drain, context=other.context)
        elif item is not None:  # data for a socket that is gone is answered by a reset
            other._send(RESET)

    def _drain(self) -> None:
        while self._inbox and self._begun and self._reading and self.alive and not self._closing:
            item = self._inbox.popleft()
            if item is None:
                if not self._protocol.eof_received():
                    self.close()
                return
            self._credit(len(item))
            self._feed(item)

    def _feed(self, data: bytes) -> None:
        protocol = self._protocol
        if not isinstance(protocol, asyncio.BufferedProtocol):
            protocol.data_received(data)
            return
        view = memoryview(data)
        while view:
            buffer = memoryview(protocol.get_buffer(len(view)))
            count = min(len(buffer), len(view))
            buffer[:count] = view[:count]
            protocol.buffer_updated(count)
            view = view[count:]

    def _credit(self, count: int) -> None:
        """Bytes were read here: the other end may write on."""
        other = self._other
        assert other is not None
        other._unread -= count
        if other._writer_paused and other._unread <= WINDOW // 2 and other.alive:
            other._writer_paused = False
            self._loop.call_soon(other._protocol.resume_writing, context=other.context)

    # --- the end ----------------------------------------------------------------------------------

    def _reset_both(self) -> None:
        self._send(RESET)
        self._closing = True
        self._loop.call_soon(self._lose, _reset_error(), context=self.context)

    def _be_reset(self) -> None:
        if self.alive:
            self._closing = True
            self._lose(_reset_error())

    def _lose(self, error: BaseException | None) -> None:
        if self.alive:
            self._forget()
            if self._begun:
                self._protocol.connection_lost(error)

    def _forget(self) -> None:
        self.alive = False
        self._closing = True
        self._host.connections.pop(self, None)


def _reset_error() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "connection reset by peer")
