"""The simulated network: hosts with addresses, links between them, TCP and UDP on top.

Bytes arrive in the order sent, after the link's latency. What a link does to packets (delay, lose,
drop, reject, cut) is set on the `Link`; established connections survive a drop as TCP does, by
sending again once packets pass.
"""

import asyncio
import contextvars
import errno
import random
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from mxlab.backends.sim.datagrams import SimDatagrams
from mxlab.backends.sim.loop import LIFE, HostLife, SimLoop
from mxlab.backends.sim.transport import SimTransport

SYN_RETRIES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # seconds between tries (Linux's default of 6)
SEGMENT_SECONDS = 0.002  # between two segments that one write was cut into, at most
NO_HOST_SECONDS = 3.0  # until a stopped host on the same network is found unreachable
RETRANSMIT_SECONDS = 0.2  # what a lost TCP segment costs at the least
FIRST_EPHEMERAL, LAST_EPHEMERAL = 32768, 60999
ANY = ("", "0.0.0.0", "::", None)


@dataclass(slots=True)
class Link:
    """One direction between two hosts. Seconds, probabilities from 0 to 1, bytes.

    `drop`: packets vanish. `reject`: new connections are refused at once, with a reset or as
    prohibited. `rate`: bytes a second. `cut_after`: who first carries more bytes is reset.
    `segments`: the most bytes that TCP brings at a time, cut and joined anywhere; 0: each write by
    itself.
    """

    latency: float = 0.0005
    jitter: float = 0.0005
    loss: float = 0.0
    drop: bool = False
    reject: Literal["", "reset", "prohibited"] = ""
    rate: int | None = None
    free_at: float = 0.0  # when what was sent so far has passed, at that rate
    cut_after: int | None = None
    segments: int = 0
    parked: list[Callable[[], None]] = field(default_factory=list)


class Host:
    """A host: its addresses, one of a family, and what listens there in its present life."""

    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self.name = name
        self.address = addresses[0]  # by which its links are known
        self.addresses = {family_of(address): address for address in addresses}
        self.life: HostLife | None = None
        self.listeners: dict[int, tuple[Callable[[], Any], contextvars.Context]] = {}
        self.refused: set[int] = set()
        self.datagrams: dict[tuple[str, int], SimDatagrams] = {}  # by own address and port
        self.connections: dict[SimTransport, None] = {}
        self._next = FIRST_EPHEMERAL

    def facing(self, address: str) -> str:
        """The own address from which `address` is reached. Raises OSError as the kernel does."""
        own = self.addresses.get(family_of(address))
        if own is None:
            raise OSError(errno.ENETUNREACH, f"{self.name} has no address to reach {address} from")
        return own

    def ephemeral(self) -> int:
        port = self._next
        self._next = port + 1 if port < LAST_EPHEMERAL else FIRST_EPHEMERAL
        return port


def family_of(address: str) -> socket.AddressFamily:
    """The family that an address has by its text."""
    return socket.AF_INET6 if ":" in address else socket.AF_INET


class SimServer:
    """A listening socket, with what services ask of an asyncio server."""

    def __init__(self, host: Host, port: int) -> None:
        self._host, self._port = host, port
        self.sockets = tuple(_Listening(address, port) for address in host.addresses.values())

    def close(self) -> None:
        self._host.listeners.pop(self._port, None)

    async def wait_closed(self) -> None:
        pass

    def is_serving(self) -> bool:
        return self._port in self._host.listeners


@dataclass(frozen=True, slots=True)
class _Listening:
    """As much of a socket as a server's `sockets` is asked for."""

    address: str
    port: int

    def getsockname(self) -> tuple[str, int]:
        return self.address, self.port


class Network:
    """All hosts and links. Randomness (jitter, loss, cuts) comes from the seed alone."""

    def __init__(self, loop: SimLoop, seed: int) -> None:
        self.loop = loop
        self._rng = random.Random(f"{seed}/network")
        self._cuts = random.Random(f"{seed}/segments")  # of its own: whole streams stay as they are
        self._hosts: dict[str, Host] = {}
        self._links: dict[tuple[str, str], Link] = {}
        loop.network = self

    # --- what the world does ----------------------------------------------------------------------

    def add_host(self, name: str, *addresses: str) -> Host:
        host = Host(name, addresses)
        self._hosts |= dict.fromkeys(addresses, host)
        return host

    def link(self, source: str, target: str) -> Link:
        """The direction from the host at one address to the one at another: all their addresses
        share it."""
        pair = self._known_as(source), self._known_as(target)
        return self._links.setdefault(pair, Link())

    def _known_as(self, address: str) -> str:
        host = self._hosts.get(address)
        return address if host is None else host.address

    def unblock(self, source: str, target: str) -> None:
        """Packets pass again: what TCP held back is sent again."""
        link = self.link(source, target)
        link.drop = False
        parked, link.parked = link.parked, []
        for send in parked:
            send()

    def power_off(self, host: Host) -> None:
        """The host's sockets end as the kernel ends them: peers read the end of the stream."""
        host.listeners.clear()
        for endpoint in list(host.datagrams.values()):
            endpoint.abort()
        for transport in list(host.connections):
            transport.vanish()

    # --- what the loop asks for -------------------------------------------------------------------

    def getaddrinfo(self, host: Any, port: Any) -> list[tuple[Any, ...]]:
        """Addresses only: names are for the lab's own resolver."""
        if host not in self._hosts:
            raise socket.gaierror(socket.EAI_NONAME, f"{host} is no address of the simulated lab")
        return [(family_of(host), socket.SOCK_STREAM, 6, "", (host, port))]

    def listen(self, factory: Callable[[], Any], addresses: Any, port: int) -> SimServer:
        """Listen on all addresses of the host, of which `addresses` names one or several."""
        here = self._here()
        for address in [addresses] if isinstance(addresses, str | None) else addresses:
            if address not in (*here.addresses.values(), *ANY):
                raise OSError(errno.EADDRNOTAVAIL, f"{address} is not an address of {here.name}")
        if port in here.listeners:
            raise OSError(errno.EADDRINUSE, f"{here.address}:{port} is in use")
        here.listeners[port] = (factory, contextvars.copy_context())
        return SimServer(here, port)

    async def connect(self, factory: Callable[[], Any], address: Any, port: int) -> tuple[Any, Any]:
        here = self._here()
        there = self._hosts.get(address)
        own = here.facing(address)
        await self._syn(here, there, address)
        assert there is not None
        listener = there.listeners.get(port)
        if listener is None or port in there.refused:
            raise ConnectionRefusedError(errno.ECONNREFUSED, f"{address}:{port} refused")
        make, context = listener
        local, remote = (own, here.ephemeral()), (address, port)
        near = SimTransport(self, here, local, remote, contextvars.copy_context())
        far = SimTransport(self, there, remote, local, context.copy())
        near.join(far)
        protocol = factory()
        near.set_protocol(protocol)
        near.begin()

        def accept() -> None:
            if far.alive:
                far.set_protocol(make())
                far.begin()

        self.loop.call_soon(accept, context=far.context)
        return near, protocol

    def datagrams(
        self, factory: Callable[[], Any], local: Any, remote: Any
    ) -> tuple[SimDatagrams, Any]:
        here = self._here()
        port = local[1] if local and local[1] else here.ephemeral()
        own = here.facing(remote[0] if remote else local[0] or here.address)
        if (own, port) in here.datagrams:
            raise OSError(errno.EADDRINUSE, f"{own}:{port} is in use")
        protocol = factory()
        endpoint = SimDatagrams(
            self, here, (own, port), remote, protocol, contextvars.copy_context()
        )
        here.datagrams[own, port] = endpoint
        self.loop.call_soon(protocol.connection_made, endpoint)
        return endpoint, protocol

    # --- what transports ask for ------------------------------------------------------------------

    def host(self, address: str) -> Host | None:
        return self._hosts.get(address)

    def delay(self, link: Link, *, reliable: bool) -> float | None:
        """Seconds until a packet arrives; None for a datagram that is lost.

        A lost TCP segment is sent again, each time after twice as long.
        """
        seconds = link.latency + (self._rng.random() * link.jitter if link.jitter else 0.0)
        wait = RETRANSMIT_SECONDS
        while link.loss and self._rng.random() < link.loss:
            if not reliable:
                return None
            seconds += wait
            wait = min(2 * wait, 120.0)
        return seconds

    def segments(self, data: bytes, most: int) -> Iterator[tuple[bytes, bool, float]]:
        """Pieces of 1 to `most` bytes. Each with whether it joins what is still under way (the
        first may), and the seconds until the next."""
        start, joins = 0, self._cuts.random() < 0.5
        while start < len(data):
            end = start + self._cuts.randint(1, most)
            yield data[start:end], joins, self._cuts.random() * SEGMENT_SECONDS
            start, joins = end, False

    def occupy(self, link: Link, size: int) -> float:
        """When so many bytes have passed a link that has a rate, behind all that was sent."""
        assert link.rate is not None
        link.free_at = max(link.free_at, self.loop.time()) + size / link.rate
        return link.free_at

    # --- inner ------------------------------------------------------------------------------------

    def _here(self) -> Host:
        life = LIFE.get()
        if life is None:
            raise OSError(errno.ENETUNREACH, "the lab's own code has no place on the lab's network")
        if life.over:
            raise OSError(errno.ENETDOWN, f"{life.host} is down")
        for host in self._hosts.values():
            if host.life is life:
                return host
        raise OSError(errno.ENETDOWN, f"{life.host} is not on the network")

    async def _syn(self, here: Host, there: Host | None, address: str) -> None:
        """Wait as the handshake does; raise what the kernel would."""
        forth, back = self.link(here.address, address), self.link(address, here.address)
        for pause in (*SYN_RETRIES, None):
            if there is None or there.life is None:
                await asyncio.sleep(NO_HOST_SECONDS)
                raise OSError(errno.EHOSTUNREACH, f"no route to host {address}")
            if not (forth.drop or back.drop):
                break
            if pause is None:
                raise TimeoutError(errno.ETIMEDOUT, f"connection to {address} timed out")
            await asyncio.sleep(pause)
        trip = self.delay(forth, reliable=True), self.delay(back, reliable=True)
        await asyncio.sleep(sum(part or 0.0 for part in trip))
        match forth.reject:
            case "reset":
                raise ConnectionRefusedError(errno.ECONNREFUSED, f"{address} refused")
            case "prohibited":
                raise OSError(errno.EHOSTUNREACH, f"no route to host {address}")
