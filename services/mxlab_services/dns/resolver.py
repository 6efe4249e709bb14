"""The MTA's stub resolver: asks one server, follows CNAMEs, remembers answers for their TTL.

A referral is followed to servers within `networks`, and is a failure where it leads to none.
"""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

import asyncio
import random
from collections.abc import Iterable

from mxlab_services.clock import Clock
from mxlab_services.dns.answers import TEMPORARY
from mxlab_services.dns.dig import Exchanged
from mxlab_services.dns.lookup import CACHED, CachingResolver
from mxlab_services.dns.names import ROOT, Name
from mxlab_services.dns.query import DnsClient, DnsReply
from mxlab_services.dns.reading import Learnt, failure, read_answer
from mxlab_services.dns.records import data_text
from mxlab_services.dns.referral import Referral, allowed
from mxlab_services.events import Emit
from mxlab_services.ip import ip_address, ip_network

TIMEOUTS = (1.0, 1.0, 2.0)  # real seconds, one for each attempt by UDP
MAX_REFERRALS = 8  # zone cuts, one below the other
MAX_SERVERS = 3  # of one zone, asked until one of them knows
MAX_DEPTH = 2  # lookups of servers within lookups of servers
Trace = list[Exchanged] | None  # where what is asked is noted


class StubResolver(CachingResolver):
    """`answers.Resolver` over the network, with a cache and one query for equal questions.

    `networks` (CIDR): where servers may be asked to which a referral leads; `sources`: the
    addresses to ask from, of either family.
    """

    def __init__(
        self,
        server: tuple[str, int],
        clock: Clock,
        rng: random.Random,
        emit: Emit,
        timeouts: tuple[float, ...] = TIMEOUTS,
        size: int = CACHED,
        networks: Iterable[str] = (),
        sources: Iterable[str] = (),
    ) -> None:
        super().__init__(_Stub(server, rng, timeouts, networks, sources), clock, emit, size)


class _Stub:
    """A `lookup.Finder` that asks one server."""

    def __init__(
        self,
        server: tuple[str, int],
        rng: random.Random,
        timeouts: tuple[float, ...],
        networks: Iterable[str],
        sources: Iterable[str],
    ) -> None:
        self._networks = [ip_network(network) for network in networks]
        family = ip_address(server[0]).version
        own = [one for one in map(ip_address, sources) if one.version == family]
        source = next(((str(one), 0) for one in own if not one.is_unspecified), None)
        self._exchange = DnsClient(server, rng, timeouts, source=source)

    def forget(self) -> None:
        """There is nothing that it knows of servers."""

    async def question(
        self, name: Name, kind: str, tcp: bool, server: str
    ) -> tuple[tuple[str, int], DnsReply | None]:
        """One question to our server, or to another of the lab's."""
        address, port = self._exchange.server
        if server:
            address = allowed(server, self._networks)
        return (address, port), await self._exchange.ask(name, kind, tcp, address)

    async def walk(self, name: Name, kind: str) -> tuple[list[Exchanged], Learnt]:
        """From our server on."""
        seen: list[Exchanged] = []
        return seen, await self._walk(name, kind, 0, seen)

    async def find(self, name: Name, kind: str) -> Learnt:
        """Ask our server, and the one to which it refers, and so on down the tree of names."""
        return await self._walk(name, kind, 0, None)

    async def _walk(self, name: Name, kind: str, depth: int, seen: Trace) -> Learnt:
        servers: list[str | None] = [None]
        cut = ROOT
        for _ in range(MAX_REFERRALS):
            step = await self._ask_one_of(servers, name, kind, cut, seen)
            if step.referral is None:
                return step
            cut = step.referral.cut
            servers = list(await self._servers(step.referral, depth, seen))
            if not servers:
                return failure(name, "servfail", f"{step.referral}: no server of the lab's")
        return failure(name, "servfail", "too many referrals")

    async def _ask_one_of(
        self,
        servers: list[str | None],
        name: Name,
        kind: str,
        cut: Name,
        seen: Trace,
    ) -> Learnt:
        """What the first server says that knows; else what the last one came to."""
        loop = asyncio.get_running_loop()
        step = failure(name, "timeout")
        for server in servers[:MAX_SERVERS]:
            began = loop.time()
            reply = await self._exchange.ask(name, kind, server=server)
            if seen is not None:
                address, port = self._exchange.server
                spent = (loop.time() - began) * 1000
                place = server or address
                seen.append(Exchanged(place, place, port, name, kind, reply, spent))
            step = failure(name, "timeout")
            if reply is not None:
                step = read_answer(reply.message, name, kind, cut)
            if step.status not in TEMPORARY:
                break
        return step

    async def _servers(self, referral: Referral, depth: int, seen: Trace) -> list[str]:
        """The addresses to which a referral leads, looked up where none came along."""
        found = referral.addresses(self._networks)
        if not found and depth < MAX_DEPTH:
            for server in referral.unknown()[:MAX_SERVERS]:
                step = await self._walk(server, "A", depth + 1, seen)
                known = tuple(data_text(record.rdata) for record in step.records)
                found += Referral(referral.cut, {server: known}).addresses(self._networks)
        return found
