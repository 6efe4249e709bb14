"""Topology -> who serves which zone, and what stands in it: domains, the names above, addresses.

The lab keeps the top-level domains that can never be real as a whole (RFC 2606, RFC 6761), so a
name in them that nobody has does not exist. What lies elsewhere is not the lab's to deny, unless it
has a root of its own.
"""

import functools
import ipaddress
from collections.abc import Mapping, Sequence

from mxlab.model.topology import ROOT_ZONE, Topology
from mxlab.plan.space import Space

ZONE_TTL = 60  # lab seconds
KEPT = ("test", "example", "invalid", "localhost")  # top-level domains that can never be real
_ALONE = "3600 600 86400"  # refresh, retry, expire (lab seconds), where nobody takes the zone
_COPIED = "20 5 60"  # where somebody does: as the lab's other times, short enough to be watched


def own_domains(topology: Topology) -> tuple[str, ...]:
    """The domains in which the lab has hosts or mailboxes, each once; the first one first."""
    mail = (domain.domain for domain in topology.mail_domains)
    relays = (relay.domain for relay in topology.relays)
    return tuple(dict.fromkeys((*mail, *topology.sender_domains.values(), *relays)))


def zone_servers(topology: Topology) -> dict[str, tuple[str, ...]]:
    """Origin -> the hosts that serve the zone, its primary first. The primary of what no server is
    named for is the first server; one that is named for nothing has a copy of everything."""
    servers = topology.name_servers
    origins = dict.fromkeys((*own_domains(topology), *KEPT))
    if topology.has_root:
        origins[ROOT_ZONE] = None
    found: dict[str, tuple[str, ...]] = {}
    for origin in origins:
        primary = next((one.host for one in servers if origin in one.primary), servers[0].host)
        copies = (
            one.host
            for one in servers
            if one.host != primary
            and (origin in one.secondary or not (one.primary or one.secondary))
        )
        found[origin] = (primary, *copies)
    return found


def zone_primary(topology: Topology, origin: str) -> str:
    """The host that has the data of a zone; of one that is none of the lab's, of the zone nearest
    above."""
    served = zone_servers(topology)
    above = [zone for zone in served if origin == zone or _is_below(origin, zone)]
    return served[max(above, key=len)][0] if above else topology.dns_host


def root_servers(topology: Topology) -> tuple[str, ...]:
    """The hosts at which senders begin; none where they ask one server."""
    return zone_servers(topology)[ROOT_ZONE] if topology.walks_from_root else ()


def all_zones(topology: Topology, space: Space) -> dict[str, str]:
    """Origin -> zone text, of names and of addresses."""
    listed = {host: space.listed(host) for host in space.hosts}
    servers = _Servers(topology, listed)
    zones = _zones(topology, servers)
    reverse = _reverse_zones(topology, space, servers)
    if ROOT_ZONE in zones:
        for origin in reverse:
            servers.delegate(zones[ROOT_ZONE], ROOT_ZONE, origin)
    return _texts(zones | reverse)


def name_zones(topology: Topology, listed: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Origin -> zone text: the domains of the lab, and the tree of names above them. `listed`: each
    host's addresses."""
    return _texts(_zones(topology, _Servers(topology, listed)))


class _Servers:
    """Who serves which zone, as zones say it. `listed`: each host's addresses."""

    def __init__(self, topology: Topology, listed: Mapping[str, Sequence[str]]) -> None:
        self.listed = listed
        self.served = zone_servers(topology)
        self._domain = topology.domain
        self._first = topology.name_servers[0].host

    def of(self, origin: str) -> tuple[str, ...]:
        """Who serves a zone; those of the addresses, the first server."""
        return self.served.get(origin, (self._first,))

    def head(self, origin: str) -> list[str]:
        """The lines with which a zone begins."""
        servers = [f"{host}.{self._domain}." for host in self.of(origin)]
        top = "" if origin == ROOT_ZONE else f"{origin}."
        times = _COPIED if len(servers) > 1 else _ALONE
        return [
            f"$ORIGIN {top or ROOT_ZONE}",
            f"$TTL {ZONE_TTL}",
            f"@ IN SOA {servers[0]} hostmaster.{top} 1 {times} {ZONE_TTL}",
            *(f"@ IN NS {server}" for server in servers),
        ]

    def delegate(self, zone: list[str], above: str, name: str) -> None:
        """Add to `zone`, which begins at `above`, the servers of the zone `name`, and their
        addresses where nobody could find them otherwise (RFC 1034 §4.2.1)."""
        for host in self.of(name):
            server = f"{host}.{self._domain}."
            zone.append(f"{name}. IN NS {server}")
            if _is_below(self._domain, above):
                glue = [f"{server} IN {_type(address)} {address}" for address in self.listed[host]]
                zone += [line for line in glue if line not in zone]


def _texts(zones: dict[str, list[str]]) -> dict[str, str]:
    return {origin: "\n".join(lines) + "\n" for origin, lines in zones.items()}


def _zones(topology: Topology, servers: _Servers) -> dict[str, list[str]]:
    homes = {host: topology.home(host) for host in (*topology.hosts, *topology.imap_servers)}
    zones = {
        origin: [
            *servers.head(origin),
            *_mx(origin, topology),
            *(
                f"{host} IN {_type(address)} {address}"
                for host, home in homes.items()
                if home == origin
                for address in servers.listed[host]
            ),
        ]
        for origin in own_domains(topology)
    }
    others = [origin for origin in servers.served if origin not in zones]
    zones |= {origin: servers.head(origin) for origin in others}
    zones["localhost"] += ["@ IN A 127.0.0.1", "@ IN AAAA ::1"]  # RFC 6761 §6.3
    for name in zones:
        above = max((top for top in zones if _is_below(name, top)), key=len, default=None)
        if above is not None:
            servers.delegate(zones[above], above, name)
    return zones


def _mx(origin: str, topology: Topology) -> list[str]:
    """The MX records of a domain; a client's and a relay's own mail goes to itself."""
    for domain in topology.mail_domains:
        if domain.domain == origin:
            places = ((e, topology.home(e.host)) for e in domain.mx)
            return [
                f"@ IN MX {e.preference} {e.host}" + (f".{home}." if home != origin else "")
                for e, home in places
            ]
    senders = (*topology.sender_domains, *(relay.host for relay in topology.relays))
    return [f"@ IN MX 10 {host}" for host in senders if topology.home(host) == origin]


@functools.lru_cache(maxsize=1024)
def reverse_pointer(address: str) -> str:
    """The name under which the reverse zone has an address, without its final dot."""
    return ipaddress.ip_address(address).reverse_pointer


def _is_below(name: str, origin: str) -> bool:
    return name != ROOT_ZONE if origin == ROOT_ZONE else name.endswith(f".{origin}")


def _type(address: str) -> str:
    return "AAAA" if ":" in address else "A"


def _reverse_zones(topology: Topology, space: Space, servers: _Servers) -> dict[str, list[str]]:
    """For each family one zone, of the /24 or the /64 that holds the nodes (RFC 1035 §3.5, RFC 3596
    §2.5)."""
    zones: dict[str, list[str]] = {}
    for host in space.hosts:
        domain = topology.home(host)
        for address in space.own(host):
            name = reverse_pointer(address)
            labels = 16 if ":" in address else 1
            parts = name.split(".")
            owner, origin = ".".join(parts[:labels]), ".".join(parts[labels:])
            lines = zones.get(origin) or zones.setdefault(origin, servers.head(origin))
            lines.append(f"{owner} IN PTR {host}.{domain}.")
    return zones
