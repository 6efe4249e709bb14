"""The addresses of a lab: one of each family for each host that has it, in the topology's order.

IPv4 is in the subnet that the backend found free. IPv6 is in a network of its own for each such
subnet, in the block that is kept for examples (RFC 3849), which never is anybody's; as an address
of global scope it comes before IPv4 (RFC 6724 §2.1), as it does in the world.
"""

import functools
import ipaddress
from collections.abc import Iterator, Mapping

from mxlab.errors import UsageError
from mxlab.model.scenario import Problem
from mxlab.model.topology import Family, Topology, families

FIRST = 2  # the number of the first host's address in each network: the engine's gateway has 1
MOST_HOSTS = 253  # addresses for hosts in a network of 256
EXAMPLES = ipaddress.IPv6Network("2001:db8::/32")
_WIDTHS = {4: 32, 6: 128}


class Space:
    """Who has which address."""

    def __init__(self, topology: Topology, subnet: str) -> None:
        """Raises UsageError when the subnet is too small."""
        self._topology, self._subnet = topology, subnet
        self._networks = _networks(subnet)
        four = self._networks[4]
        self.hosts = (*topology.hosts, *topology.imap_servers)
        self._numbers = {host: number for number, host in enumerate(self.hosts)}
        self._families = {host: families(topology, host) for host in self.hosts}
        wanted = len(self.hosts) * (2 if any(e.unreachable for e in topology.exchanges) else 1)
        if four.num_addresses < FIRST + wanted + 1:
            raise UsageError(f"subnet {four} is too small for {len(self.hosts)} nodes")

    @property
    def networks(self) -> list[str]:
        """Those in which a host of the lab has an address, IPv4 first (CIDR)."""
        used = {version for own in self._families.values() for version in own}
        return [str(self._networks[version]) for version in sorted(used)]

    def own(self, host: str) -> list[str]:
        """The host's own addresses, IPv4 first."""
        return [self._at(version, self._numbers[host]) for version in self._families[host]]

    def reached(self, host: str, by: str) -> str:
        """The host's address at which `by` can reach it, IPv4 first; any one where it cannot."""
        versions, own = families(self._topology, host), families(self._topology, by)
        common = next((version for version in versions if version in own), versions[0])
        return self._at(common, self.hosts.index(host))

    def endpoint(self, host: str) -> tuple[str, str | None]:
        """An address of IPv4 for the host, and one of IPv6 where the lab has any, whether the host
        uses them or not: an engine would choose one itself, perhaps another host's."""
        number = self._numbers[host]
        six = any(":" in network for network in self.networks)
        return self._at(4, number), self._at(6, number) if six else None

    def only(self, host: str) -> list[str]:
        """The networks that hold the host's own addresses and no other (CIDR)."""
        return [f"{a}/{_WIDTHS[6 if ':' in a else 4]}" for a in self.own(host)]

    def listed(self, host: str) -> list[str]:
        """The addresses that DNS has for the host: its own, and those at which nobody is."""
        dead = next((e.unreachable for e in self._topology.exchanges if e.host == host), ())
        number, alive = self._numbers[host], self._families[host]
        return [
            self._at(version, number + (0 if version in alive else len(self.hosts)))
            for version in sorted({*alive, *dead})
        ]

    def _at(self, version: Family, number: int) -> str:
        return _address(self._subnet, version, number)


def family_problems(topology: Topology) -> Iterator[Problem]:
    """Hosts that could ask no DNS server: these have addresses in the lab's families. Paths begin
    in the topology."""
    places: list[tuple[tuple[str | int, ...], str]] = [(("client_ip",), topology.client)]
    places += [(("clients", number, "ip"), c.host) for number, c in enumerate(topology.clients)]
    places += [(("mx", number, "ip"), e.host) for number, e in enumerate(topology.mx)]
    places += [
        (("domains", which, "mx", number, "ip"), e.host)
        for which, domain in enumerate(topology.domains)
        for number, e in enumerate(domain.mx)
    ]
    for path, host in places:
        own = families(topology, host)
        if not set(own) & set(topology.ip):
            text = f"{host} has IPv{own[0]} alone, and the DNS server IPv{topology.ip[0]} alone"
            yield Problem(path, text, hint="give the lab both: ip: [4, 6]")


@functools.lru_cache(maxsize=64)
def _networks(subnet: str) -> Mapping[Family, ipaddress.IPv4Network | ipaddress.IPv6Network]:
    four = ipaddress.ip_network(subnet)
    assert isinstance(four, ipaddress.IPv4Network)
    return {4: four, 6: six_of(four)}


@functools.lru_cache(maxsize=1024)
def _address(subnet: str, version: Family, number: int) -> str:
    return str(_networks(subnet)[version][FIRST + number])


def six_of(four: ipaddress.IPv4Network) -> ipaddress.IPv6Network:
    """The /64 for IPv6 beside a subnet of IPv4: no two subnets of 24 bits have the same."""
    prefix = int(EXAMPLES.network_address) | int(four.network_address) << 64
    return ipaddress.IPv6Network((prefix, 64))


def four_of(network: str) -> str:
    """The subnet of IPv4 that `network` is, or that it is beside (see `six_of`): then its addresses
    begin where they did, though it may have had another width."""
    known = ipaddress.ip_network(network)
    if isinstance(known, ipaddress.IPv4Network):
        return network
    base = int(known.network_address) >> 64 & 0xFFFFFFFF
    zeros = (base & -base).bit_length() - 1
    return str(ipaddress.IPv4Network((base, max(24, 32 - zeros))))
