"""What the DNS tests share: a zone with one of everything, and a server and a resolver over it."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from mxlab_services.dns.resolver import StubResolver
from mxlab_services.dns.server import DnsServer
from mxlab_services.dns.zones import Zones
from mxlab_services.events import Body, DnsQuery, Lookup
from tests.support.fakes import StillClock

ZONE = r"""
$TTL 1h
@   IN SOA ns hostmaster (
        7 ; serial
        1h 15m 1w
        60 )            ; negative answers: a minute
    NS ns
    MX 10 mx1
    MX 20 mx2
ns  A 10.0.0.2
mx1 300 IN A 10.0.0.3
    IN 300 AAAA 2001:db8::3
mx2 A 10.0.0.4
$ORIGIN deep.example.test.
a.b TXT "two words; no comment" plain "a \"quote\""
$ORIGIN example.test.
www CNAME mx1
away CNAME mail.other.test.
lost CNAME gone
loop1 CNAME loop2
loop2 CNAME loop1
null MX 0 .
4.0.0.10.rev PTR mx2
*.wild MX 10 mx1
"""

OTHER = """
$TTL 60
@ SOA ns.example.test. hostmaster.example.test. 1 3600 900 604800 3600
@ NS ns.example.test.
mail A 10.0.0.9
"""


@dataclass
class Emitted:
    """Collects events."""

    bodies: list[Body] = field(default_factory=list)

    def __call__(self, body: Body, message: str | None = None) -> None:
        self.bodies.append(body)

    def queries(self) -> list[DnsQuery]:
        return [body for body in self.bodies if isinstance(body, DnsQuery)]

    def lookups(self) -> list[Lookup]:
        return [body for body in self.bodies if isinstance(body, Lookup)]


def zones() -> Zones:
    both = Zones()
    both.replace("example.test", ZONE)
    both.replace("other.test", OTHER)
    return both


@dataclass(frozen=True)
class DnsLab:
    zones: Zones
    server: DnsServer
    clock: StillClock
    resolver: StubResolver
    served: Emitted
    looked: Emitted

    def asked(self) -> list[tuple[str, str]]:
        """The questions that reached the server."""
        return [(query.name, query.type) for query in self.served.queries()]


@asynccontextmanager
async def dns_lab(size: int = 100) -> AsyncIterator[DnsLab]:
    """A server on 127.0.0.1 and a resolver that asks it, on a clock that stands still."""
    served, looked, clock = Emitted(), Emitted(), StillClock()
    both = zones()
    server = DnsServer(both, served)
    await server.start("127.0.0.1", 0)
    resolver = StubResolver(
        ("127.0.0.1", server.port), clock, random.Random(1), looked, (2.0, 2.0), size
    )
    try:
        yield DnsLab(both, server, clock, resolver, served, looked)
    finally:
        await server.close()
