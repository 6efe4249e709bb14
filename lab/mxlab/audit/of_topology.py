"""A topology as it is judged: by the configurations and zones that a lab of it would have. Pure."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mxlab.audit.reading import SeenDns, mail_names, seen_domain
from mxlab.audit.setup import AuditSetup, SeenDomain, SeenHost
from mxlab.model.topology import Topology
from mxlab.plan.plan import AddressPlan, make_plan
from mxlab.plan.zones import own_domains
from mxlab.scenario.yaml import Tree
from mxlab_services.config import DnsConfig, MtaConfig, NodeConfig
from mxlab_services.dns.names import fold, parse_name
from mxlab_services.dns.records import Record
from mxlab_services.dns.zone import load_zone

SOMEWHERE = "198.18.0.0/15"  # where a lab lies is a backend's choice (RFC 2544)
Path = tuple[str | int, ...]
Place = Callable[[Path], str]  # a path in a topology -> where that stands


@dataclass(frozen=True, slots=True)
class _Keys:
    """Where in a topology stands what a host is told, and what a zone says."""

    topology: Topology
    place: Place

    def setting(self, host: str) -> Callable[[str], str]:
        """Of one host: the dotted key of a setting -> its place."""

        def place(key: str) -> str:
            part, _, name = key.partition(".")
            path: Path = (name,) if part == "retry" else (part, name) if name else (part,)
            for number, exchange in enumerate(self.topology.mx):
                if exchange.host == host:
                    own = getattr(exchange, str(path[0]), None) not in (None, {}, ())
                    return self.place(("mx", number, *path) if own else ("mx", number))
            for which, domain in enumerate(self.topology.domains):
                for number, exchange in enumerate(domain.mx):
                    if exchange.host == host:
                        return self.place(("domains", which, "mx", number))
            return self.place(())

        return place

    def record(self, record: Record) -> str:
        """Of an MX record, its exchange; of any other, the record itself."""
        for which, domain in enumerate(self.topology.mail_domains):
            if record.type != "MX" or parse_name(f"{domain.domain}.") != record.owner:
                continue
            for number, exchange in enumerate(domain.mx):
                name = f"{exchange.host}.{self.topology.home(exchange.host)}."
                if fold(parse_name(name)) == fold(record.data.label.label):
                    above: Path = ("domains", which - 1) if which else ()
                    return self.place((*above, "mx", number))
        if record.type in ("NS", "SOA"):
            return self.place(("dns",))
        return f"{self.place(())} ({record})"


def setup_of_topology(topology: Topology, what: str, place: Place) -> AuditSetup:
    """Its mail domains. `place`: where a path of the topology stands in its file."""
    plan = make_plan("audit", "audit", topology, AddressPlan(SOMEWHERE))
    keys = _Keys(plan.topology, place)
    hosts = {
        config.node: SeenHost(config.node, config, keys.setting(config.node))
        for config in plan.nodes
        if isinstance(config, MtaConfig)
    }
    zones = {
        zone.origin: zone
        for config in plan.nodes
        if isinstance(config, DnsConfig)
        for zone in map(load_zone, config.zones.keys(), config.zones.values())
    }
    known = SeenDns(zones, keys.record, hosts=at_addresses(plan.nodes, hosts))
    return AuditSetup("topology", what, domains_of(plan.topology, known), tuple(hosts.values()))


def at_addresses(
    nodes: Iterable[NodeConfig], hosts: Mapping[str, SeenHost]
) -> dict[str, SeenHost | None]:
    """Each node's addresses -> the mail host there, None where the node is none."""
    return {address: hosts.get(node.node) for node in nodes for address in node.addresses}


def domains_of(topology: Topology, known: SeenDns) -> tuple[SeenDomain, ...]:
    """The mail domains of a lab: its own, and others that lead to its hosts; not those of its
    senders and relays, whose own mail is nobody's example."""
    senders = {parse_name(f"{one}.") for one in own_domains(topology)}
    own = [parse_name(f"{one.domain}.") for one in topology.mail_domains]
    names = dict.fromkeys(own)
    for zone in known.zones.values():
        names |= dict.fromkeys(
            name for name in mail_names(zone) if name not in senders and known.records(name, "MX")
        )
    zones = {name: known.zones.get(name) or known.holding(name) for name in names}
    return tuple(seen_domain(name, zone, known) for name, zone in zones.items() if zone is not None)


def place_in(tree: Tree | None, file: str) -> Place:
    """Where a path stands in a file, as far as it is written there, with its key. `tree`: the
    topology's; None: the file has none."""

    def place(path: Path) -> str:
        key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
        named = f" ({key[1:]})" if key else ""
        if tree is None:
            return file + named
        at = tree.at(path).node.start_mark
        return f"{file}:{at.line + 1}:{at.column + 1}{named}"

    return place
