"""A simulated UDP socket. A datagram is lost on a link that drops it, and never comes twice."""

import asyncio
import contextvars
import errno
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mxlab.backends.sim.network import Host, Network


class SimDatagrams(asyncio.DatagramTransport):
    """A UDP socket, bound to an address and a port, and connected where `remote` is given."""

    def __init__(
        self,
        network: "Network",
        host: "Host",
        local: tuple[str, int],
        remote: tuple[str, int] | None,
        protocol: Any,
        context: contextvars.Context,
    ) -> None:
        super().__init__({"sockname": local, "peername": remote, "socket": None})
        self._loop = network.loop
        self._network = network
        self._host, self._local, self._remote = host, local, remote
        self.protocol = protocol
        self.context = context
        self._open = True

    def sendto(self, data: Any, addr: Any = None) -> None:
        target = addr or self._remote
        if not self._open or target is None:
            return
        link = self._network.link(self._local[0], target[0])
        delay = self._network.delay(link, reliable=False)
        if not link.drop and delay is not None:
            due = self._loop.time() + delay
            if link.rate is not None:
                due = max(due, self._network.occupy(link, len(data)))
            self._loop.call_at(
                due, self._arrive, bytes(data), target[:2], context=contextvars.Context()
            )

    def _arrive(self, data: bytes, target: tuple[str, int]) -> None:
        host = self._network.host(target[0])
        if host is None or host.life is None:
            return
        endpoint, source = host.datagrams.get(target), self._local
        if endpoint is not None and endpoint._remote in (None, source):
            self._loop.call_soon(
                endpoint.protocol.datagram_received, data, source, context=endpoint.context
            )
        elif self._open and self._remote:  # port unreachable comes back to a connected socket
            self._loop.call_soon(
                self.protocol.error_received,
                ConnectionRefusedError(errno.ECONNREFUSED, "port unreachable"),
                context=self.context,
            )

    def is_closing(self) -> bool:
        return not self._open

    def close(self) -> None:
        if self._open:
            self.abort()
            self._loop.call_soon(self.protocol.connection_lost, None, context=self.context)

    def abort(self) -> None:
        """Gone, without a word to the protocol."""
        self._open = False
        self._host.datagrams.pop(self._local, None)
