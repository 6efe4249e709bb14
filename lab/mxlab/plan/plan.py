"""Topology -> each node's configuration. Pure but for TLS keys, so that every world and compose get
the same lab."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec

from mxlab.model.takes import takes
from mxlab.model.topology import Topology
from mxlab.plan.checked import checked_topology
from mxlab.plan.clients import as_wished
from mxlab.plan.limits import limits_of, timeouts_of
from mxlab.plan.mail import (
    relay_mail,
    smarthost_name,
)
from mxlab.plan.retries import retry_config
from mxlab.plan.space import Space
from mxlab.plan.zones import all_zones, own_domains, root_servers, zone_servers
from mxlab_services.config import (
    AnyConfig,
    ClientConfig,
    DnsConfig,
    MxConfig,
    PeerConfig,
    SubmissionConfig,
    TimeConfig,
    TlsConfig,
)

if TYPE_CHECKING:
    from mxlab.plan.tls import Authority


@dataclass(frozen=True, slots=True)
class AddressPlan:
    """What a backend decides about where nodes live.

    `subnet` holds all addresses (see `space`). `control` and `data` are path patterns in which
    `{node}` stands for the node's name. `listen` is what every node binds its ports to; None: its
    own addresses. `submitters` are networks, beside the client itself, from which the client takes
    mail for any address.
    """

    subnet: str
    smtp_port: int = 25
    submission_ports: tuple[int, int] = (587, 465)  # STARTTLS, implicit TLS
    dns_port: int = 53
    control: str = "/run/mxlab/control.sock"
    data: str = "/var/lib/mxlab"
    time: TimeConfig = field(default_factory=TimeConfig)
    seed: int = 0
    listen: str | None = None
    submitters: tuple[str, ...] = ("127.0.0.1/32",)


@dataclass(frozen=True, slots=True)
class ImapPlan:
    """An IMAP server beside the nodes, which shows the mailboxes of `primary`. `domain` is that of
    who logs in without one; `tls`: its certificate, by the lab's own CA."""

    name: str
    primary: str
    address: str
    hostname: str
    domain: str
    tls: TlsConfig | None


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that a backend needs to bring up a lab; `nodes` in the topology's order."""

    lab: str
    run: str
    topology: Topology
    subnet: str
    nodes: tuple[AnyConfig, ...]
    imap: tuple[ImapPlan, ...] = ()

    @property
    def addresses(self) -> list[str]:
        """All addresses that DNS lists for the nodes; at some of them nobody may be."""
        space = self._space
        return [a for host in space.hosts for a in space.listed(host)]

    def endpoint(self, host: str) -> tuple[str, str | None]:
        """The addresses of IPv4 and IPv6 that an engine is to give a container (see `space`)."""
        return self._space.endpoint(host)

    @property
    def engine_subnets(self) -> list[str]:
        """What an engine's network for the lab has to hold: IPv4, and IPv6 where a node has it."""
        return [self.subnet, *(network for network in self.networks if ":" in network)]

    @property
    def networks(self) -> list[str]:
        """Those in which the nodes have their addresses (CIDR), IPv4 first."""
        return self._space.networks

    @property
    def _space(self) -> Space:
        return Space(self.topology, self.subnet)

    def node(self, name: str) -> AnyConfig:
        """The configuration of one node. Raises KeyError."""
        for config in self.nodes:
            if config.node == name:
                return config
        raise KeyError(name)


def make_plan(
    lab: str, run: str, topology: Topology, where: AddressPlan, peers: Collection[str] = ()
) -> Plan:
    """Give every node of `topology` an address and its configuration. Of the exchanges, `peers` are
    scripted servers.

    Raises UsageError when hosts repeat, when the domains clash, or when the subnet is too small.
    """
    topology = checked_topology(topology)
    making = _Making(lab, topology, where, frozenset(peers))
    nodes: list[AnyConfig] = [*making.name_servers(), *making.exchanges(), *making.clients()]
    return Plan(lab, run, topology, where.subnet, tuple(nodes), tuple(making.imap_servers()))


class _Making:
    """Makes the configurations of one lab, in the topology's order."""

    def __init__(
        self, lab: str, topology: Topology, where: AddressPlan, peers: Collection[str]
    ) -> None:
        self._topology, self._where, self._peers = topology, where, peers
        self._space = Space(topology, where.subnet)
        self._signs = _authority(lab) if topology.tls or topology.submission else None
        self._authority = self._signs if topology.tls else None
        self._roots = [a for host in root_servers(topology) for a in self._space.own(host)]

    def name_servers(self) -> Iterator[DnsConfig]:
        texts, served = all_zones(self._topology, self._space), zone_servers(self._topology)
        for host in self._topology.dns_hosts:
            zones = _name_server(host, self._topology, self._space, texts, served)
            yield DnsConfig(**self._common(host), port=self._where.dns_port, **zones)

    def exchanges(self) -> Iterator[MxConfig | PeerConfig]:
        """And the relays after them."""
        topology = self._topology
        for exchange in topology.exchanges:
            host = exchange.host
            if host in self._peers:
                name = f"{host}.{topology.home(host)}"
                port = self._where.smtp_port
                yield PeerConfig(**self._common(host), hostname=name, smtp_port=port)
                continue
            yield MxConfig(**self._mta(host), **msgspec.structs.asdict(takes(topology, host)))
        for relay in topology.relays:
            yield MxConfig(**self._mta(relay.host), **relay_mail(topology, relay, self._space))

    def clients(self) -> Iterator[ClientConfig]:
        """The first of them takes submissions, if anybody may submit."""
        for sender in self._topology.senders:
            own, first = self._space.own(sender.host), sender.host == self._topology.client
            config = ClientConfig(
                **self._mta(sender.host),
                smarthost=smarthost_name(self._topology, sender.host),
                local_domains=[sender.domain],
                submission_networks=[*self._space.only(sender.host), *self._where.submitters],
                submission=_submission(self._topology, own, self._where, self._signs)
                if first
                else None,
            )
            yield as_wished(config, sender)

    def imap_servers(self) -> Iterator[ImapPlan]:
        for name, primary in self._topology.imap_servers.items():
            own, hostname = self._space.own(name), f"{name}.{self._topology.domain}"
            domains = (d.domain for d in self._topology.mail_domains if primary in d.primaries)
            names = [hostname, "localhost"]  # it may be published there, too
            tls = self._authority.issue(names, *own, "127.0.0.1") if self._authority else None
            yield ImapPlan(name, primary, own[0], hostname, next(domains), tls)

    def _common(self, host: str) -> dict[str, Any]:
        return {
            "node": host,
            **dict(zip(("address", "also"), self._space.own(host), strict=False)),
            "listen": self._where.listen,
            "control": self._where.control.format(node=host),
            "time": self._where.time,
            "seed": self._where.seed,
        }

    def _mta(self, host: str) -> dict[str, Any]:
        topology, space = self._topology, self._space
        name = f"{host}.{topology.home(host)}"
        return self._common(host) | {
            "hostname": name,
            "software": topology.software[host],
            "product_settings": topology.product_settings.get(host, {}),
            "tls": self._authority.issue([name], *space.own(host)) if self._authority else None,
            "dns": space.reached(topology.dns_host, host),
            "dns_port": self._where.dns_port,
            "roots": self._roots,
            "smtp_port": self._where.smtp_port,
            "data": self._where.data.format(node=host),
            "networks": space.networks,
            "timeouts": timeouts_of(topology, host),
            "limits": limits_of(topology, host),
            "retry": retry_config(topology, host),
        }


def _name_server(
    host: str,
    topology: Topology,
    space: Space,
    texts: Mapping[str, str],
    served: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    """What a name server has, gives away and takes from elsewhere, of the zones' `texts`."""
    first = topology.name_servers[0].host
    has = {
        origin: text for origin, text in texts.items() if served.get(origin, (first,))[0] == host
    }
    return {
        "zones": has,
        "secondaries": {
            origin: [space.own(other)[0] for other in served[origin][1:]]
            for origin in has
            if len(served.get(origin, ())) > 1
        },
        "primaries": {
            origin: [space.own(hosts[0])[0]]
            for origin, hosts in served.items()
            if host in hosts[1:]
        },
    }


def _submission(
    topology: Topology, addresses: list[str], where: AddressPlan, signs: "Authority | None"
) -> SubmissionConfig | None:
    """What the client at `addresses` needs to take submissions. Its certificate is good for where
    it may be published, too."""
    if topology.submission is None or signs is None:
        return None
    names = [f"{topology.client}.{topology.client_domain}", "localhost"]
    start_tls, implicit = where.submission_ports
    own = topology.submission.senders.items()
    return SubmissionConfig(
        topology.submission.users,
        signs.issue(names, *addresses, "127.0.0.1"),
        start_tls,
        implicit,
        {user: [given] if isinstance(given, str) else list(given) for user, given in own},
    )


def _authority(lab: str) -> "Authority":
    from mxlab.plan.tls import Authority  # heavy, and seldom wanted

    return Authority(lab)


def search_list(topology: Topology, host: str) -> tuple[str, ...]:
    """The domains in which a short name is looked for on a host: its own, then the others."""
    own = topology.home(host)
    return (own, *(domain for domain in own_domains(topology) if domain != own))
