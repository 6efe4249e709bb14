"""What is judged, whatever it was read from: mail domains, their exchanges, name servers and hosts.

Guarantee: what could not be seen is None, or not there at all; nothing is guessed.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from mxlab_services.config import MtaConfig
from mxlab_services.dns.names import Name, name_text
from mxlab_services.dns.records import Record
from mxlab_services.dns.zone import Zone
from mxlab_services.faults.kinds import AnyFault

Source = Literal["zone", "topology", "lab"]


@dataclass(frozen=True, slots=True)
class SeenHost:
    """A mail host. `place` says where a setting stands; `faults`: what is broken inside it, None
    where that is not seen; `oldest`: the age of the oldest message in its queue (lab seconds), None
    where its queue is not seen or empty; `seen`: its settings are those of now."""

    name: str
    config: MtaConfig
    place: Callable[[str], str]
    faults: tuple[AnyFault, ...] | None = None
    oldest: float | None = None
    seen: bool = True


@dataclass(frozen=True, slots=True)
class SeenExchange:
    """An exchange of a domain. `addresses`: None where its name lies in a zone that is not seen;
    `alias`: its name is a CNAME; `hosts`: who is at these addresses, None where that is not seen;
    `nobody`: those of its addresses at which no host is."""

    name: Name
    preference: int
    place: str
    addresses: tuple[Record, ...] | None
    alias: bool
    hosts: tuple[SeenHost, ...] | None
    nobody: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """Its name, as people write it."""
        return plain_name(self.name)


@dataclass(frozen=True, slots=True)
class ServerAnswer:
    """What a name server says of a zone. `serial`: None where it has no such zone to answer from,
    `problem` says why."""

    serial: int | None
    problem: str = ""


@dataclass(frozen=True, slots=True)
class SeenServer:
    """A name server of a zone, named by the zone itself (`named_here`) or by the one above it.
    `addresses`: None where its name lies in a zone that is not seen; `glue`: the addresses that the
    zone above has for it; `answers`: each address -> what is heard there; None: nobody asked."""

    name: Name
    place: str
    addresses: tuple[Record, ...] | None
    named_here: bool = True
    named_above: bool | None = None
    glue: tuple[Record, ...] = ()
    answers: Mapping[str, ServerAnswer] | None = None

    @property
    def text(self) -> str:
        """Its name, as people write it."""
        return plain_name(self.name)


@dataclass(frozen=True, slots=True)
class SeenDomain:
    """A mail domain. `exchanges`: those of its MX records, or, where it has none, itself
    (`implicit`); `null`: the place of its null MX; `alias`: that of its CNAME; `zone`: where its
    records stand; `place` of a record."""

    name: Name
    exchanges: tuple[SeenExchange, ...]
    records: tuple[Record, ...]
    implicit: bool
    null: str
    alias: str
    zone: Zone
    place: Callable[[Record], str]
    servers: tuple[SeenServer, ...]
    problem: str = ""

    @property
    def text(self) -> str:
        """Its name, as people write it."""
        return plain_name(self.name)

    @property
    def apex(self) -> bool:
        """Whether the zone begins here."""
        return self.name == self.zone.origin

    @property
    def best(self) -> tuple[SeenExchange, ...]:
        """The exchanges of the lowest preference."""
        least = min((one.preference for one in self.exchanges), default=0)
        return tuple(one for one in self.exchanges if one.preference == least)

    @property
    def others(self) -> tuple[SeenExchange, ...]:
        """All but the best."""
        best = self.best
        return tuple(one for one in self.exchanges if one not in best)


@dataclass(frozen=True, slots=True)
class AuditSetup:
    """All of it. `hosts`: the mail hosts; none where only names are seen."""

    source: Source
    what: str
    domains: tuple[SeenDomain, ...]
    hosts: tuple[SeenHost, ...] = ()
    notes: tuple[str, ...] = field(default=())

    def backups(self) -> list[tuple[SeenDomain, SeenExchange, SeenHost]]:
        """Who stands in for a better exchange, for which domain."""
        return [
            (domain, exchange, host)
            for domain in self.domains
            for exchange in domain.others
            for host in exchange.hosts or ()
        ]

    def primaries(self, domain: SeenDomain) -> list[tuple[SeenExchange, SeenHost]]:
        """Who is at the best exchanges of a domain."""
        return [(exchange, host) for exchange in domain.best for host in exchange.hosts or ()]


def plain_name(name: Name) -> str:
    """A name without its last dot."""
    return name_text(name).rstrip(".") or "."
