"""What a picture of a lab shows: its hosts, its mail domains, who hands mail to whom. Pure.

`diagram_of` is the one place where a topology becomes that; the pictures are drawn of nothing else.
"""

from collections.abc import Mapping, Sequence
from typing import Literal

import msgspec

from mxlab.model.software import OURS, SOFTWARE
from mxlab.model.topology import ROOT_ZONE, Topology
from mxlab.plan.space import Space
from mxlab.plan.zones import KEPT, root_servers, zone_servers
from mxlab.visible import visible

Kind = Literal["dns", "client", "relay", "exchange", "imap"]


class ShownHost(msgspec.Struct, frozen=True, omit_defaults=True):
    """One host. `software`: whose mail server it is, "" where it is mxlab's; `domain`: where its
    name lies; `smarthost`: to whom it hands all mail; `shows`: of an IMAP server, whose mailboxes;
    `notes`: what else there is to say. `state` is "" where the lab is not up; `queued`: messages in
    its queue, None where it has none or cannot be asked."""

    name: str
    kind: Kind
    domain: str = ""
    addresses: tuple[str, ...] = ()
    software: str = ""
    smarthost: str = ""
    shows: str = ""
    notes: tuple[str, ...] = ()
    state: str = ""
    queued: int | None = None

    @property
    def is_down(self) -> bool:
        """Whether it is known not to run."""
        return self.state not in ("", "running")


class Rank(msgspec.Struct, frozen=True):
    """One exchange of a domain."""

    host: str
    preference: int
    role: Literal["primary", "backup"]


class MailBook(msgspec.Struct, frozen=True):
    """The MX records of a domain, the most preferred first (RFC 5321 §5.1)."""

    domain: str
    ranks: tuple[Rank, ...]

    @property
    def short(self) -> str:
        """The domain without what stands behind it for who has to type it."""
        return self.domain.partition(" ")[0]

    def of(self, role: str) -> tuple[str, ...]:
        """The hosts in that role."""
        return tuple(rank.host for rank in self.ranks if rank.role == role)


class Copying(msgspec.Struct, frozen=True):
    """A name server that takes zones from another (RFC 1034 §4.3.5)."""

    primary: str
    secondary: str
    zones: tuple[str, ...]


class Diagram(msgspec.Struct, frozen=True, omit_defaults=True):
    """A lab. `asks`: what every mail host asks of the DNS, in words."""

    title: str
    places: tuple[ShownHost, ...]
    domains: tuple[MailBook, ...] = ()
    copies: tuple[Copying, ...] = ()
    asks: str = ""

    def of(self, *kinds: Kind) -> tuple[ShownHost, ...]:
        """The hosts of these kinds, in the topology's order."""
        return tuple(place for place in self.places if place.kind in kinds)

    def place(self, name: str) -> ShownHost:
        """The host of that name. Raises KeyError."""
        for place in self.places:
            if place.name == name:
                return place
        raise KeyError(name)

    @property
    def by_mx(self) -> tuple[ShownHost, ...]:
        """The senders and relays that look the exchanges up themselves."""
        return tuple(place for place in self.of("client", "relay") if not place.smarthost)


class HostNow(msgspec.Struct, frozen=True):
    """How a host of a lab that is up is now."""

    state: str
    queued: int | None = None
    software: str = ""


def diagram_of(
    topology: Topology,
    title: str,
    addresses: Mapping[str, Sequence[str]],
    now: Mapping[str, HostNow] | None = None,
) -> Diagram:
    """The diagram of a topology whose hosts have these addresses. `now`: how the hosts are, in a
    lab that is up."""
    making = _Describing(topology, addresses, now or {})
    books = tuple(
        MailBook(
            shown_domain(domain.domain),
            tuple(
                Rank(e.host, e.preference, "primary" if e.host in domain.primaries else "backup")
                for e in sorted(domain.mx, key=lambda e: e.preference)
            ),
        )
        for domain in topology.mail_domains
    )
    hosts = (*topology.hosts, *topology.imap_servers)
    places = tuple(making.place(host) for host in hosts)
    return Diagram(visible(title), places, books, making.copies(), _asks(topology))


def planned(topology: Topology, subnet: str) -> dict[str, list[str]]:
    """The addresses that each host would have in a lab in that subnet. Raises UsageError when it is
    too small."""
    space = Space(topology, subnet)
    return {host: space.own(host) for host in space.hosts}


def shown_domain(name: str) -> str:
    """A domain for people: U-labels, where they say more, with the A-labels that stand in DNS."""
    if "xn--" not in name:
        return visible(name)
    import idna

    try:
        unicode = ".".join(
            idna.ulabel(label) if label.startswith("xn--") else label for label in name.split(".")
        )
    except (idna.IDNAError, ValueError):
        return visible(name)
    return visible(f"{unicode} ({name})")


def _asks(topology: Topology) -> str:
    roots = root_servers(topology)
    if not roots:
        return f"every mail host asks {topology.dns_host}"
    return f"every mail host begins at the root: {' or '.join(roots)}"


class _Describing:
    def __init__(
        self,
        topology: Topology,
        addresses: Mapping[str, Sequence[str]],
        now: Mapping[str, HostNow],
    ) -> None:
        self._topology, self._addresses, self._now = topology, addresses, now
        self._served = zone_servers(topology)
        self._shown = [origin for origin in self._served if origin not in KEPT]

    def place(self, host: str) -> ShownHost:
        topology, now = self._topology, self._now.get(host)
        kind = self._kind(host)
        product = topology.software.get(host, OURS)
        software = "" if product == OURS else SOFTWARE[product].title
        return ShownHost(
            name=host,
            kind=kind,
            domain="" if kind in ("dns", "imap") else shown_domain(topology.home(host)),
            addresses=tuple(self._addresses.get(host, ())),
            software=visible(now.software if now and now.software else software),
            smarthost=topology.smarthost_of(host) or "",
            shows=topology.imap_servers.get(host, ""),
            notes=tuple(self._notes(host, kind)),
            state=now.state if now else "",
            queued=now.queued if now else None,
        )

    def _kind(self, host: str) -> Kind:
        topology = self._topology
        if host in topology.imap_servers:
            return "imap"
        if host in topology.dns_hosts:
            return "dns"
        if host in topology.sender_domains:
            return "client"
        return "exchange" if any(e.host == host for e in topology.exchanges) else "relay"

    def _notes(self, host: str, kind: Kind) -> list[str]:
        topology = self._topology
        if kind == "dns":
            return self._zone_notes(host)
        notes = [
            f"IPv{family} in DNS, where nobody is"
            for exchange in topology.exchanges
            if exchange.host == host
            for family in exchange.unreachable
        ]
        if host == topology.client and topology.submission:
            notes.append(f"{_count(len(topology.submission.users), 'user')} may submit here")
        for relay in topology.relays:
            if relay.host == host:
                notes.append(f"from {' and '.join(relay.takes_from)} only")
        return notes

    def _zone_notes(self, host: str) -> list[str]:
        """Of what it is the primary, of what a secondary; nothing where it is the only one."""
        if len(self._topology.dns_hosts) == 1:
            return []
        own = [_zone(o) for o in self._shown if self._served[o][0] == host]
        copied = [_zone(o) for o in self._shown if host in self._served[o][1:]]
        notes = [f"primary of {', '.join(own)}"] if own else []
        return [*notes, f"secondary of {', '.join(copied)}"] if copied else notes

    def copies(self) -> tuple[Copying, ...]:
        found: dict[tuple[str, str], list[str]] = {}
        for origin in self._shown:
            primary, *others = self._served[origin]
            for other in others:
                found.setdefault((primary, other), []).append(_zone(origin))
        return tuple(Copying(*pair, tuple(zones)) for pair, zones in found.items())


def _zone(origin: str) -> str:
    return "the root" if origin == ROOT_ZONE else shown_domain(origin)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'s' * (number != 1)}"
