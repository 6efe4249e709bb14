"""Mail domains as `setup` has them, found in zones and in what name servers answer. Pure."""

# mypy: allow-untyped-calls
# (dnslib, which holds record data, has no types)

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from mxlab.audit.setup import (
    SeenDomain,
    SeenExchange,
    SeenHost,
    SeenServer,
    ServerAnswer,
)
from mxlab_services.dns.names import Name, fold, is_below
from mxlab_services.dns.records import Record
from mxlab_services.dns.zone import Zone

Key = tuple[Name, str]  # a name, and a type of records
_ADDRESSES = ("A", "AAAA")
_LONGEST_CHAIN = 8  # aliases that are followed


@dataclass(frozen=True, slots=True)
class SeenDns:
    """All that is seen of the DNS. `answered`: what was answered to a question, and goes before the
    zones; None: nothing of use. `hosts`: each node's address -> the mail host there, None if it is
    none; without it, who is where is not seen.
    `answers`: what each name server's address says of which zone; None: nobody asked."""

    zones: Mapping[Name, Zone]
    place: Callable[[Record], str]
    answered: Mapping[Key, tuple[Record, ...] | None] = field(default_factory=dict)
    hosts: Mapping[str, SeenHost | None] | None = None
    answers: Mapping[tuple[str, Name], ServerAnswer] | None = None

    def holding(self, name: Name) -> Zone | None:
        """The zone in which a name lies; None where that is not seen."""
        for depth in range(len(name) + 1):
            if (zone := self.zones.get(name[depth:])) is not None:
                return zone if zone.cut(name) is None else None
        return None

    def above(self, zone: Zone) -> Zone | None:
        """The zone that delegates this one."""
        names = (zone.origin[depth:] for depth in range(1, len(zone.origin) + 1))
        return next((self.zones[name] for name in names if name in self.zones), None)

    def records(self, name: Name, kind: str) -> tuple[Record, ...] | None:
        """The records of that name and type, as they are answered; where nothing of use is, as they
        stand in the zone. None where they are not seen."""
        if (found := self.answered.get((name, kind))) is not None:
            return found
        if (zone := self.holding(name)) is None:
            return None
        node = zone.node(name)
        return () if node is None else node.get(kind, ())

    def addresses(self, name: Name) -> tuple[Record, ...] | None:
        """Those of a name, aliases followed; None where they are not seen."""
        for _ in range(_LONGEST_CHAIN):
            aliases = self.records(name, "CNAME")
            if not aliases:
                break
            name = fold(aliases[0].data.label.label)
        found = [self.records(name, kind) for kind in _ADDRESSES]
        if None in found and not any(found):
            return None
        return tuple(record for rrset in found for record in rrset or ())


def mail_names(zone: Zone) -> Iterator[Name]:
    """The zone's own name, and all below it that have MX records in it."""
    yield zone.origin
    for name, node in zone.nodes.items():
        if "MX" in node and name != zone.origin and zone.cut(name) is None:
            yield name


def seen_domain(name: Name, zone: Zone, known: SeenDns) -> SeenDomain:
    """The mail domain of that name, whose records stand in `zone`."""
    records, aliases = known.records(name, "MX"), known.records(name, "CNAME")
    exchanges: list[SeenExchange] = []
    null = ""
    for record in records or ():
        target = fold(record.data.label.label)
        if not target:
            null = known.place(record)
            continue
        exchanges.append(_exchange(target, record.data.preference, known.place(record), known))
    own = known.addresses(name) if records == () and not aliases else None
    if own:
        exchanges.append(_exchange(name, 0, known.place(own[0]), known))
    return SeenDomain(
        name=name,
        exchanges=tuple(sorted(exchanges, key=lambda one: one.preference)),
        records=records or (),
        implicit=bool(own),
        null=null,
        alias=known.place(aliases[0]) if aliases else "",
        zone=zone,
        place=known.place,
        servers=tuple(_servers(zone, known)) if name == zone.origin else (),
        problem=_problem(name, known),
    )


def _problem(name: Name, known: SeenDns) -> str:
    """Why those who ask for the domain's exchanges hear nothing of use."""
    silent = known.answered.get((name, "MX"), ()) is None
    return "whoever asks for its exchanges hears nothing of use" if silent else ""


def _exchange(name: Name, preference: int, place: str, known: SeenDns) -> SeenExchange:
    addresses = known.addresses(name)
    hosts: tuple[SeenHost, ...] | None = None
    nobody: tuple[str, ...] = ()
    if known.hosts is not None and addresses is not None:
        texts = list(map(address_text, addresses))
        at = (known.hosts.get(text) for text in texts)
        hosts = tuple({host.name: host for host in at if host is not None}.values())
        nobody = tuple(text for text in texts if text not in known.hosts)
    alias = bool(known.records(name, "CNAME"))
    return SeenExchange(name, int(preference), place, addresses, alias, hosts, nobody)


def _servers(zone: Zone, known: SeenDns) -> Iterator[SeenServer]:
    """Those that the zone names, then those that only the zone above does."""
    above = known.above(zone)
    here = _targets(zone, zone.origin)
    there = _targets(above, zone.origin) if above is not None else {}
    for target, record in (there | here).items():
        addresses = _server_addresses(target, zone, known)
        glue: list[Record] = []
        if above is not None:
            node = above.nodes.get(target, {})
            glue = [one for kind in _ADDRESSES for one in node.get(kind, ())]
        yield SeenServer(
            name=target,
            place=known.place(record),
            addresses=addresses,
            named_here=target in here,
            named_above=None if above is None or not there else target in there,
            glue=tuple(glue) if above is not None and is_below(target, above.origin) else (),
            answers=_answers((*(addresses or ()), *glue), zone.origin, known),
        )


def _server_addresses(target: Name, zone: Zone, known: SeenDns) -> tuple[Record, ...] | None:
    """Those of a name server; below a cut of the zone, its glue."""
    if (found := known.addresses(target)) is not None:
        return found
    node = zone.nodes.get(target)
    return None if node is None else tuple(o for kind in _ADDRESSES for o in node.get(kind, ()))


def _targets(zone: Zone, name: Name) -> dict[Name, Record]:
    rrset = zone.nodes.get(name, {}).get("NS", ())
    return {fold(record.data.label.label): record for record in rrset}


def _answers(
    addresses: tuple[Record, ...], origin: Name, known: SeenDns
) -> Mapping[str, ServerAnswer] | None:
    if known.answers is None:
        return None
    texts = dict.fromkeys(map(address_text, addresses))
    return {a: known.answers[a, origin] for a in texts if (a, origin) in known.answers}


def address_text(record: Record) -> str:
    """The address that an A or AAAA record has."""
    import ipaddress

    return str(ipaddress.ip_address(str(record.data)))
