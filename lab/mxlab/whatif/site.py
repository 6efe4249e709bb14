"""A set-up of the user's own, as a lab that stands for it: from a zone file, or from a topology.

Nothing is asked of the real DNS, and no real name comes into the lab: the domain becomes
`example.test`, its exchanges `mx1`, `mx2`, ..., its name servers `ns1`, `ns2`, .... What counts is
kept: preferences, TTLs, the times in the SOA.
"""

from dataclasses import dataclass

import msgspec

from mxlab.errors import UsageError
from mxlab.model.topology import ROOT_ZONE, Exchange, NameServer, Topology
from mxlab.scenario.zones import read_zone
from mxlab_services.dns.names import Name, fold, name_text, parse_name
from mxlab_services.dns.records import Record
from mxlab_services.dns.zone import Zone

DOMAIN = "example.test"
MOST_EXCHANGES, MOST_SERVERS = 16, 8
_ROOT_HOST = "root"  # the lab's own server, for the names above the domain
_TTL = 3600  # seconds, of addresses that lie outside the zone


@dataclass(frozen=True, slots=True)
class Site:
    """The lab that stands for a set-up. `names`: host of the lab -> what it stands for; `servers`:
    the name servers that can fail; `zone`: the zone's text in the lab, empty where the lab makes
    its own; `warnings`: what was found on the way that is seldom meant."""

    topology: Topology
    names: dict[str, str]
    servers: tuple[str, ...]
    zone: str = ""
    warnings: tuple[str, ...] = ()

    def called(self, host: str) -> str:
        """What a host stands for."""
        return self.names.get(host, host)


def site_of_topology(topology: Topology) -> Site:
    """The lab as it is given; each of its name servers can fail."""
    return Site(topology, {}, topology.dns_hosts)


def site_of_zone(text: str, origin: str, file: str) -> Site:
    """The lab that stands for the domain of a zone file. Raises ScenarioError with every wrong
    line, UsageError for a domain that takes no mail, or is too large for a lab."""
    zone = read_zone(origin, text, file, strict=False)
    apex = zone.nodes[zone.origin]
    exchanges = _exchanges(zone, file)
    servers = [fold(parse_name(_last(record))) for record in apex.get("NS", ())]
    for found, most, what in (
        (exchanges, MOST_EXCHANGES, "exchanges"), (servers, MOST_SERVERS, "name servers"),
    ):  # fmt: skip
        if len(found) > most:
            raise UsageError(f"{file}: {len(found)} {what}; a lab has {most} at most")
    mx = {f"mx{n}": target for n, target in enumerate(exchanges, 1)}
    ns = {f"ns{n}": name for n, name in enumerate(servers, 1)}
    topology = Topology(
        domain=DOMAIN,
        mx=tuple(Exchange(host, exchanges[target]) for host, target in mx.items()),
        dns=_name_servers(tuple(ns)),
        recipients=(f"bob@{DOMAIN}",),
    )
    names = {host: name_text(name).rstrip(".") for host, name in (mx | ns).items()}
    lines = _lines(zone, mx, ns, exchanges)
    return Site(topology, names, tuple(ns), "\n".join(lines) + "\n", _warnings(zone, mx))


def _exchanges(zone: Zone, file: str) -> dict[Name, int]:
    """Exchange -> preference, best first; the domain itself where it has no MX (RFC 5321 §5.1)."""
    apex = zone.nodes[zone.origin]
    found: dict[Name, int] = {}
    for record in apex.get("MX", ()):
        preference, target = str(record).split()[-2:]
        name = fold(parse_name(target))
        found[name] = min(int(preference), found.get(name, 65535))
    if () in found:
        raise UsageError(f"{file}: the domain takes no mail (a null MX, RFC 7505): nothing to try")
    if not found and not {"A", "AAAA"} & apex.keys():
        raise UsageError(f"{file}: the domain has neither an MX nor an address: it takes no mail")
    return dict(sorted(found.items(), key=lambda item: item[1])) or {zone.origin: 0}


def _name_servers(hosts: tuple[str, ...]) -> str | tuple[NameServer, ...]:
    if len(hosts) < 2:
        return hosts[0] if hosts else "dns"
    first, *others = hosts
    above = NameServer(_ROOT_HOST, primary=(ROOT_ZONE,))
    copies = (NameServer(host, secondary=(DOMAIN,)) for host in others)
    return (above, NameServer(first, primary=(DOMAIN,)), *copies)


def _lines(
    zone: Zone, mx: dict[str, Name], ns: dict[str, Name], exchanges: dict[Name, int]
) -> list[str]:
    """The zone in the lab's names: its SOA's times, its MX and NS, and the addresses of these."""
    times = " ".join(map(str, zone.soa.data.times))
    apex = zone.nodes[zone.origin]
    first = next(iter(ns), "dns")
    lines = [f"$ORIGIN {DOMAIN}.", f"@ {zone.soa.ttl} IN SOA {first} hostmaster {times}"]
    lines += [f"@ {_ttl(apex.get('NS', ()))} IN NS {host}" for host in ns or ("dns",)]
    if "MX" in apex:
        lines += [f"@ {_ttl(apex['MX'])} IN MX {exchanges[mx[host]]} {host}" for host in mx]
    else:
        lines += [f"@ {_ttl(_addresses(zone, zone.origin))} IN A {{mx1}}"]
    hosts = mx | (ns or {"dns": ()})
    return [
        *lines,
        *(f"{host} {_ttl(_addresses(zone, name))} IN A {{{host}}}" for host, name in hosts.items()),
    ]


def _addresses(zone: Zone, name: Name) -> tuple[Record, ...]:
    node = zone.nodes.get(name, {})
    return (*node.get("A", ()), *node.get("AAAA", ()))


def _ttl(records: tuple[Record, ...]) -> int:
    return min((record.ttl for record in records), default=_TTL)


def _last(record: Record) -> str:
    return str(record).split()[-1]


def _warnings(zone: Zone, mx: dict[str, Name]) -> tuple[str, ...]:
    """What the zone says that senders cannot follow; in the lab it is as if it were mended."""
    found = [*zone.problems, *zone.warnings]
    for name in mx.values():
        inside = name[len(name) - len(zone.origin) :] == zone.origin
        if inside and not _addresses(zone, name) and zone.node(name) is None:
            found.append(f"the exchange {name_text(name)} has no address in this zone")
    return tuple(dict.fromkeys(found))


def with_schedule(site: Site, schedule: str) -> Topology:
    """The lab with all its mail hosts and its sender on one retry schedule, by chance no later."""
    return msgspec.structs.replace(site.topology, schedule=schedule, jitter=0.0)
