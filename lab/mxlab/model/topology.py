"""The shape of a lab: one mail domain, its exchanges, a DNS server and a client."""

from typing import Annotated

import msgspec

Host = Annotated[
    str, msgspec.Meta(pattern=r"^[a-z][a-z0-9-]{0,30}$", description="a host name's first label")
]
Domain = Annotated[
    str,
    msgspec.Meta(pattern=r"^([a-z0-9]([a-z0-9-]*[a-z0-9])?\.)+[a-z]([a-z0-9-]*[a-z0-9])?$"),
]
Preference = Annotated[int, msgspec.Meta(ge=0, le=65535)]

RESERVED_DOMAINS = (
    "test",
    "example",
    "invalid",
    "localhost",
    "example.com",
    "example.net",
    "example.org",
)


class Exchange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One MX host and its preference: the lower, the better (RFC 5321 §5.1)."""

    host: Host
    preference: Preference


class Topology(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A lab. The exchanges with the lowest preference are primaries, the others backups.

    `recipients` are the addresses that exist at the domain; None takes any. `timeouts` and
    `retry` override the services' defaults for every MTA.
    """

    domain: Domain = "example.test"
    mx: Annotated[tuple[Exchange, ...], msgspec.Meta(min_length=1, max_length=16)] = (
        Exchange("mx1", 10),
        Exchange("mx2", 20),
    )
    client: Host = "client"
    client_domain: Domain = "client.test"
    dns: Host = "dns"
    recipients: tuple[str, ...] | None = None
    schedule: str = "workshop"

    @property
    def primaries(self) -> tuple[str, ...]:
        """The hosts with the lowest preference: they deliver to mailboxes."""
        best = min(exchange.preference for exchange in self.mx)
        return tuple(e.host for e in self.mx if e.preference == best)

    @property
    def backups(self) -> tuple[str, ...]:
        """The other exchanges: they queue and forward."""
        return tuple(e.host for e in self.mx if e.host not in self.primaries)

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every node's name: DNS, exchanges in the order given, client."""
        return (self.dns, *(e.host for e in self.mx), self.client)


def is_reserved(domain: str) -> bool:
    """True for names that can never be real (RFC 2606, RFC 6761)."""
    return any(domain == name or domain.endswith("." + name) for name in RESERVED_DOMAINS)
