"""A lab that is up, as it is judged: what its nodes are told now, and what they answer.

What senders hear is asked from the first client, so a name server that is broken for them is seen
so. Nothing is changed, and no mail is sent.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, field

from mxlab.audit.of_topology import at_addresses, domains_of
from mxlab.audit.reading import Key, SeenDns, address_text, mail_names
from mxlab.audit.setup import AuditSetup, SeenDomain, SeenHost, ServerAnswer
from mxlab.backends.base import Lab, Node
from mxlab.errors import EnvironmentProblem, LabError
from mxlab_services.config import DnsConfig, MtaConfig
from mxlab_services.control.replies import DigReport
from mxlab_services.control.requests import ConfigList, Dig, QueueList, ZoneList
from mxlab_services.dns.names import ROOT, Name, fold, name_text, parse_name
from mxlab_services.dns.records import Record, parse_records
from mxlab_services.dns.zone import Zone, load_zone
from mxlab_services.errors import ZoneError
from mxlab_services.faults.requests import FaultList
from mxlab_services.settings import changed, settings

_DEFINITE = ("NOERROR", "NXDOMAIN")
_PAGE = 1000  # messages of a queue that are looked at, the first that came


async def setup_of_lab(lab: Lab) -> AuditSetup:
    """Everything that can be seen of it now; `notes` of it say what is down."""
    notes: list[str] = []
    hosts = {host.name: host for host in await _hosts(lab, notes)}
    zones = await _zones(lab, notes)

    def place(record: Record) -> str:
        return f"zone {name_text(_origin(record.owner, zones))}: {record}"

    asking = _AskingClient(lab)
    nodes = at_addresses([node.config for node in lab.nodes.values()], hosts)
    known = SeenDns(zones, place, asking.answered, nodes, asking.answers)
    if await asking.can():
        servers = asking.ask_servers(domains_of(lab.topology, known))
        await asyncio.gather(asking.ask_exchanges(known), servers)
    else:
        notes.append(f"{lab.topology.client} does not run: nobody asks the name servers")
        known = SeenDns(zones, place, hosts=nodes)
    domains = domains_of(lab.topology, known)
    return AuditSetup("lab", "the lab", domains, tuple(hosts.values()), tuple(notes))


async def _hosts(lab: Lab, notes: list[str]) -> list[SeenHost]:
    nodes = [node for node in lab.nodes.values() if isinstance(node.config, MtaConfig)]
    found = await asyncio.gather(*(_host(lab, node) for node in nodes))
    notes += [
        f"{host.name} does not answer: this is how it came up" for host in found if not host.seen
    ]
    return found


async def _host(lab: Lab, node: Node) -> SeenHost:
    config = node.config
    assert isinstance(config, MtaConfig)

    def place(key: str) -> str:
        return f"{config.node}: {key}"

    try:
        now, faults, queue = await asyncio.gather(
            node.request(ConfigList()),
            node.request(FaultList()),
            node.request(QueueList("", _PAGE)),
        )
    except EnvironmentProblem:
        return SeenHost(config.node, config, place, seen=False)
    first = {one.key: one.value for one in settings(config)}
    values = {s.key: s.value for s in now if not s.fixed and s.value != first.get(s.key)}
    oldest = min((entry.arrival_time for entry in queue), default=None)
    age = None if oldest is None else max(0.0, lab.clock.time() - oldest)
    return SeenHost(
        config.node, changed(config, values), place, tuple(one.fault for one in faults), age
    )


async def _zones(lab: Lab, notes: list[str]) -> dict[Name, Zone]:
    """Each zone as its primary has it; where that is down, as a copy does, or as it came up."""
    found: dict[Name, Zone] = {}
    copies: dict[Name, Zone] = {}
    began: dict[Name, Zone] = {}
    for host in lab.topology.dns_hosts:
        node = lab.nodes[host]
        assert isinstance(node.config, DnsConfig)
        try:
            reports = await node.request(ZoneList())
        except EnvironmentProblem:
            notes.append(
                f"{host} does not answer: its zones are seen as copies, or as they came up"
            )
            zones = (load_zone(origin, text) for origin, text in node.config.zones.items())
            began |= {zone.origin: zone for zone in zones}
            continue
        for report in reports:
            if report.records:
                zone = load_zone(report.origin, "\n".join(report.records), strict=False)
                (copies if report.copy_of else found)[zone.origin] = zone
    return began | copies | found


def _origin(name: Name, zones: Iterable[Name]) -> Name:
    holding = [origin for origin in zones if name[len(name) - len(origin) :] == origin]
    return max(holding, key=len, default=ROOT)


@dataclass(slots=True)
class _AskingClient:
    """What the first client hears when it asks."""

    lab: Lab
    answered: dict[Key, tuple[Record, ...] | None] = field(default_factory=dict)
    answers: dict[tuple[str, Name], ServerAnswer] = field(default_factory=dict)

    @property
    def _client(self) -> Node:
        return self.lab.nodes[self.lab.topology.client]

    async def can(self) -> bool:
        """Whether the client is there to ask."""
        return await self._client.state() == "running"

    async def ask_exchanges(self, known: SeenDns) -> None:
        """Where mail for each domain goes, and at which addresses."""
        names = [parse_name(f"{d.domain}.") for d in self.lab.topology.mail_domains]
        names += [name for zone in known.zones.values() for name in mail_names(zone)]
        wanted = list(dict.fromkeys(names))
        await asyncio.gather(*(self._ask(name, "MX") for name in wanted))
        targets = {
            fold(record.data.label.label)
            for name in wanted
            for record in self.answered.get((name, "MX")) or ()
        }
        targets |= {name for name in wanted if not self.answered.get((name, "MX"))}
        kinds = ("A", "AAAA")
        await asyncio.gather(*(self._ask(name, kind) for name in targets if name for kind in kinds))

    async def _ask(self, name: Name, kind: str) -> None:
        report = await self._dig(name, kind, "")
        if report is None or report.rcode not in _DEFINITE:
            self.answered[name, kind] = None
            return
        found: dict[Key, list[Record]] = {(name, kind): [], (name, "CNAME"): []}
        for record in _records(report):
            found.setdefault((record.owner, record.type), []).append(record)
        self.answered |= {key: tuple(rrset) for key, rrset in found.items()}

    async def ask_servers(self, domains: Iterable[SeenDomain]) -> None:
        """Each name server of each domain, for the zone, where the client can reach it."""
        own = {":" in address for address in self._client.config.addresses}
        wanted = {
            (address_text(record), domain.name)
            for domain in domains
            for server in domain.servers
            for record in (*(server.addresses or ()), *server.glue)
            if (record.type == "AAAA") in own
        }
        await asyncio.gather(*(self._ask_server(*one) for one in wanted))

    async def _ask_server(self, address: str, origin: Name) -> None:
        report = await self._dig(origin, "SOA", address)
        self.answers[address, origin] = _answer(report, origin)

    async def _dig(self, name: Name, kind: str, server: str) -> DigReport | None:
        try:
            return await self._client.request(Dig(name_text(name), kind, server=server))
        except LabError:
            return None  # as an address that is none of the lab's


def _records(report: DigReport) -> list[Record]:
    try:
        return [one for line in report.answers for one in parse_records(line, ROOT)]
    except ZoneError:
        return []  # of types that no zone has


def _answer(report: DigReport | None, origin: Name) -> ServerAnswer:
    if report is None or report.rcode == "TIMEOUT":
        return ServerAnswer(None, "nobody answers there")
    if report.rcode != "NOERROR":
        return ServerAnswer(None, f"it answers {report.rcode}")
    for record in _records(report):
        if record.type == "SOA" and record.owner == origin:
            return ServerAnswer(int(record.data.times[0]))
    return ServerAnswer(None, "it knows nothing of the zone")
