"""Topology -> each node's configuration. Pure but for TLS keys, so that every world and compose get
the same lab."""

import ipaddress
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mxlab.errors import UsageError, nearest
from mxlab.model.scenario import Problem
from mxlab.model.topology import LONGEST_NAME, Topology, is_reserved
from mxlab.typed import misfit
from mxlab_services.address import problem_of
from mxlab_services.config import (
    AnyConfig,
    ClientConfig,
    DnsConfig,
    MxConfig,
    RetryConfig,
    TimeConfig,
)
from mxlab_services.domain import DomainError, checked, fold_domain
from mxlab_services.queue.retry import SCHEDULES

if TYPE_CHECKING:
    from mxlab.plan.tls import Authority

ZONE_TTL = 60  # lab seconds
KEPT = ("test", "example", "invalid", "localhost")  # top-level domains that can never be real


@dataclass(frozen=True, slots=True)
class World:
    """What a backend decides about where nodes live.

    `subnet` holds all addresses; node number n gets its address n + `first`. `control` and `data`
    are path patterns in which `{node}` stands for the node's name. `listen` is what every node
    binds its ports to; None: its own address. `submitters` are networks, beside the client itself,
    from which the client takes mail for any address.
    """

    subnet: str
    first: int = 2
    smtp_port: int = 25
    dns_port: int = 53
    control: str = "/run/mxlab/control.sock"
    data: str = "/var/lib/mxlab"
    time: TimeConfig = field(default_factory=TimeConfig)
    seed: int = 0
    listen: str | None = None
    submitters: tuple[str, ...] = ("127.0.0.1/32",)


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a backend needs to bring up a lab; `nodes` in the topology's order."""

    lab: str
    run: str
    topology: Topology
    subnet: str
    nodes: tuple[AnyConfig, ...]

    def node(self, name: str) -> AnyConfig:
        """The configuration of one node. Raises KeyError."""
        for config in self.nodes:
            if config.node == name:
                return config
        raise KeyError(name)


def make_plan(lab: str, run: str, topology: Topology, world: World) -> Plan:
    """Give every node of `topology` an address and its configuration.

    Raises UsageError when hosts repeat, when the domains clash, or when the subnet is too small.
    """
    topology = checked_topology(topology)
    network = ipaddress.ip_network(world.subnet)
    if network.num_addresses < world.first + len(topology.hosts) + 1:
        raise UsageError(f"subnet {network} is too small for {len(topology.hosts)} nodes")
    addresses = {
        host: str(network[world.first + number]) for number, host in enumerate(topology.hosts)
    }

    def common(host: str) -> dict[str, Any]:
        return {
            "node": host,
            "address": addresses[host],
            "listen": world.listen,
            "control": world.control.format(node=host),
            "time": world.time,
            "seed": world.seed,
        }

    def mta(host: str, domain: str) -> dict[str, Any]:
        name = f"{host}.{domain}"
        return common(host) | {
            "hostname": name,
            "tls": authority.issue([name], addresses[host]) if authority else None,
            "dns": addresses[topology.dns],
            "dns_port": world.dns_port,
            "smtp_port": world.smtp_port,
            "data": world.data.format(node=host),
            "networks": [str(network)],
            "retry": RetryConfig(schedule=topology.schedule, jitter=topology.jitter),
        }

    authority = _authority(lab) if topology.tls else None

    nodes: list[AnyConfig] = [
        DnsConfig(
            **common(topology.dns), port=world.dns_port, zones=_zones(topology, addresses, network)
        )
    ]
    for exchange in topology.mx:
        local = exchange.host in topology.primaries
        knows = topology.recipients is not None and (local or topology.backup_knows_recipients)
        nodes.append(
            MxConfig(
                **mta(exchange.host, topology.domain),
                local_domains=[topology.domain] if local else [],
                relay_domains=[] if local else [topology.domain],
                recipients=list(topology.recipients or ()) if knows else None,
            )
        )
    nodes.append(
        ClientConfig(
            **mta(topology.client, topology.client_domain),
            local_domains=[topology.client_domain],
            submission_networks=[f"{addresses[topology.client]}/32", *world.submitters],
        )
    )
    return Plan(lab, run, topology, str(network), tuple(nodes))


def _authority(lab: str) -> "Authority":
    from mxlab.plan.tls import Authority  # heavy, and seldom wanted

    return Authority(lab)


def checked_topology(topology: Topology) -> Topology:
    """The topology with its domains as A-labels. Raises UsageError for a name that cannot be, as
    one made in Python may be, and for the first of `topology_problems`."""
    if wrong := misfit(topology):
        key, text, hint = wrong
        raise UsageError(f"{key}: {text}", hint)
    for problem in topology_problems(topology):
        raise UsageError(problem.text, problem.hint)
    return plain_topology(topology)


def plain_topology(topology: Topology) -> Topology:
    """The topology with its domains in the form in which they are compared."""
    return msgspec.structs.replace(
        topology,
        domain=fold_domain(topology.domain),
        client_domain=fold_domain(topology.client_domain),
    )


def topology_problems(topology: Topology) -> Iterator[Problem]:
    """Hosts that repeat; domains that are none, cannot be told apart or are real; names that are
    too long; recipients that are no addresses; a schedule that there is not. Paths begin in the
    topology."""
    hosts, schedule = topology.hosts, topology.schedule
    for host in sorted({host for host in hosts if hosts.count(host) > 1}):
        text = f"two nodes are called {host!r}"
        yield Problem((), text, hint="give each host its own name")
    own = [host for host in hosts if host != topology.client]
    yield from _domain_problems("domain", topology.domain, own)
    yield from _domain_problems("client_domain", topology.client_domain, [topology.client])
    plain = plain_topology(topology)
    if plain.domain == plain.client_domain:
        yield Problem((), f"the client cannot have the domain {topology.domain!r} too")
    for number, address in enumerate(topology.recipients or ()):
        # Control characters are told where the file is read.
        if address.isprintable() and (wrong := problem_of(address)):
            text = f"{address[:80]!r} is no mail address: {wrong.text}"
            yield Problem(("recipients", number), text)
    if schedule not in SCHEDULES:
        near = nearest(schedule, SCHEDULES)
        hint = (f"did you mean {near!r}? " if near else "") + f"known: {', '.join(SCHEDULES)}"
        yield Problem(("schedule",), f"no retry schedule is called {schedule!r}", hint=hint)


def search_list(topology: Topology, host: str) -> tuple[str, ...]:
    """The domains in which a short name is looked for on a host: its own, then the others."""
    own, other = topology.domain, topology.client_domain
    return (other, own) if host == topology.client else (own, other)


def _domain_problems(key: str, domain: str, hosts: list[str]) -> Iterator[Problem]:
    """What is wrong with a domain in which these hosts are to be."""
    try:
        folded = checked(domain.removesuffix("."), genuine=True)
    except DomainError as error:
        yield Problem((key,), f"no domain for mail: {error}")
        return
    if not is_reserved(folded):
        hint = "use a reserved name: one under .test or .example, or example.com/net/org"
        yield Problem((key,), f"{domain!r} may belong to somebody", hint=hint)
    for name in (f"{host}.{folded}" for host in hosts):
        if len(name) > LONGEST_NAME:
            text = f"with it a host is called {name[:40]}..., {len(name)} characters long"
            hint = f"a name has at most {LONGEST_NAME} (RFC 1035 §2.3.4)"
            yield Problem((key,), text, hint=hint)


def _zones(
    topology: Topology,
    addresses: dict[str, str],
    network: ipaddress.IPv4Network | ipaddress.IPv6Network,
) -> dict[str, str]:
    zones = name_zones(topology, addresses)
    if isinstance(network, ipaddress.IPv4Network):
        zones |= _reverse_zone(topology, addresses, network)
    return zones


def name_zones(topology: Topology, addresses: Mapping[str, str]) -> dict[str, str]:
    """Origin -> zone text: the domains of the lab, and the tree of names above them.

    The lab keeps the top-level domains that can never be real as a whole (RFC 2606, RFC 6761), so
    a name in them that nobody has does not exist. What lies elsewhere is not the lab's to deny.
    """
    domain, client = topology.domain, topology.client_domain
    server = f"{topology.dns}.{domain}."
    zones = {
        domain: [
            *_head(domain, server),
            *(f"@ IN MX {e.preference} {e.host}" for e in topology.mx),
            *(
                f"{host} IN A {addresses[host]}"
                for host in topology.hosts
                if host != topology.client
            ),
        ],
        client: [
            *_head(client, server),
            f"@ IN MX 10 {topology.client}",
            f"{topology.client} IN A {addresses[topology.client]}",
        ],
    }
    zones |= {top: _head(top, server) for top in KEPT if top not in zones}
    zones["localhost"] += ["@ IN A 127.0.0.1", "@ IN AAAA ::1"]  # RFC 6761 §6.3
    for name in (domain, client):
        above = max((top for top in zones if name.endswith(f".{top}")), key=len, default=None)
        if above is not None:  # it delegates the name (RFC 1034 §4.2.1)
            glue = f"{server} IN A {addresses[topology.dns]}"
            zones[above] += [f"{name}. IN NS {server}"]
            if domain.endswith(f".{above}") and glue not in zones[above]:
                zones[above].append(glue)
    return {origin: "\n".join(lines) + "\n" for origin, lines in zones.items()}


def _head(origin: str, server: str) -> list[str]:
    name = server if server.endswith(".") else f"{server}."
    return [
        f"$ORIGIN {origin}.",
        f"$TTL {ZONE_TTL}",
        f"@ IN SOA {name} hostmaster.{origin}. 1 3600 600 86400 {ZONE_TTL}",
        f"@ IN NS {name}",
    ]


def _reverse_zone(
    topology: Topology, addresses: dict[str, str], network: ipaddress.IPv4Network
) -> dict[str, str]:
    """One zone for the /24 that holds the nodes (RFC 1035 §3.5)."""
    octets = str(network.network_address).split(".")[:3]
    origin = ".".join(reversed(octets)) + ".in-addr.arpa"
    lines = _head(origin, f"{topology.dns}.{topology.domain}.")
    for host in topology.hosts:
        domain = topology.client_domain if host == topology.client else topology.domain
        lines.append(f"{addresses[host].rsplit('.', 1)[1]} IN PTR {host}.{domain}.")
    return {origin: "\n".join(lines) + "\n"}
