"""A schedule of sends, faults, zone changes and waits, and the scenario that it stands for. Pure.

Every list of actions makes a valid scenario: what cannot be done when its turn comes (a send while
the client is down, a second fault on a host) is left out. That is what lets a search cut schedules
down without leaving what is valid. A zone that was changed is put back in the end.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations, product

from msgspec.structs import replace

from mxlab.chaos.zones import ZONES
from mxlab.model.mechanism import Partition, Segments
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Config, Dns, Fault, Heal, Send, SettingValue, Wait
from mxlab.model.topology import Exchange, MailDomain, Topology
from mxlab.plan.zones import zone_servers
from mxlab_services.faults.base import Mechanism, NodeFault
from mxlab_services.faults.kinds import DnsFault, DnsMxWithoutAddress, MailboxFull

INVARIANTS = (
    "nothing-lost",
    "nothing-forged",
    "nothing-altered",
    "duplicates-explained",
    "mx-order",
    "retry-spacing",
    "bounces-justified",
    "failures-notified",
    "silence-explained",
    "no-expired-answers",
    "queues-empty",
)
ALIASES = ("team@", "sales@")  # names that are nobody's own
OUTWARD = frozenset((  # settings of a client that hinder nobody from handing mail in
    "retry.schedule", "retry.lifetime", "retry.warning", "retry.jitter", "timeouts.dot",
    "timeouts.mail", "limits.destination_concurrency",
))  # fmt: skip
SHORT = 300.0  # lab seconds that pass at most at a time where copies of zones are kept fresh
FINE = 50  # bytes: streams come in pieces smaller than that
HOURS = 21600.0  # and where streams are cut into small pieces, each of which takes a turn


@dataclass(frozen=True, slots=True)
class Mail:
    """Send `count` messages of at least `size` bytes, through the client whose domain the sender
    has, or else the first. A recipient at a domain that the lab does not have, or with an alias
    that it does not have, is left out; where nobody is left, it goes to the first of the lab."""

    sender: str
    recipients: tuple[str, ...]
    count: int = 1
    size: int = 0


@dataclass(frozen=True, slots=True)
class Break:
    """Inject `fault`, whatever host it names, at host number `host`: the client is 0 (the last of
    several), then come relays and exchanges, last to first, then the name servers, last to first,
    then the client again; -1 is the first name server. A fault that only some hosts can have
    befalls one that can."""

    fault: Mechanism
    host: int


@dataclass(frozen=True, slots=True)
class Mend:
    """Heal an open fault, by number; nothing where all is well."""

    number: int


@dataclass(frozen=True, slots=True)
class Pass:
    """Let lab seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class ZoneChange:
    """Change a domain's MX records: one of `ZONES`, as to one exchange, counted over all domains
    of the lab."""

    change: str
    exchange: int


@dataclass(frozen=True, slots=True)
class Configure:
    """Change settings of a host, numbered as in `Break`, while it runs; nothing where something
    befalls it just then. A client takes what is handed in whatever its size, and knows its own."""

    settings: Mapping[str, SettingValue]
    host: int


@dataclass(frozen=True, slots=True)
class Clog:
    """Stop the packets between two hosts, pair number `link`, then let seconds pass. Connections
    stand still where they are."""

    link: int
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Free:
    """Let one of the stopped pairs go again, by number, then let seconds pass."""

    number: int
    seconds: float = 0.0


Action = Mail | Break | Mend | Pass | ZoneChange | Configure | Clog | Free


@dataclass(frozen=True, slots=True)
class ChaosSchedule:
    """What one run does. `seed` decides the chances of the simulated world. `cut`: where TCP cuts
    its streams anywhere, all the time, whatever else befalls that host."""

    topology: Topology
    actions: tuple[Action, ...]
    seed: int = 0
    cut: Break | None = None

    def scenario(self, title: str = "Found by chaos", summary: str = "") -> Scenario:
        """The scenario, with all invariants expected."""
        return Scenario(
            title=title,
            summary=summary,
            topology=self.topology,
            steps=tuple(_Script(self.topology, self.cut).steps(self.actions)),
            expect=INVARIANTS,
            seed=self.seed,
            backend="sim",
            idle_passes=True,
            id="chaos",
        )


@dataclass(slots=True)
class _Script:
    """The way from actions to steps; knows what is broken at each point. A lab with secondaries has
    no long waits: these ask for their zones every few seconds, and days of that tell nothing. Nor
    has one with streams in small pieces, where each try of days is as long as a hundred others."""

    topology: Topology
    cut: Break | None = None
    batches: int = 0
    faults: int = 0
    broken: dict[str, str] = field(default_factory=dict)  # host -> id of its fault
    clogged: dict[tuple[str, str], str] = field(default_factory=dict)  # pair of hosts -> fault
    changed: dict[str, MailDomain] = field(default_factory=dict)  # domains, by name

    def steps(self, actions: tuple[Action, ...]) -> Iterator[AnyStep]:
        if self.cut is not None:
            yield Fault("cut", self._befalling(self.cut.fault, self.cut.host))
        for action in actions:
            if isinstance(action, Clog | Free):
                yield from self._swizzle(action)
            elif (step := self._step(action)) is not None:
                yield step
        if self.changed:
            if self.topology.dns_host in self.broken:
                yield Heal(self.broken[self.topology.dns_host])
            for domain in self.changed.values():
                yield self._zone("restored", domain, 0)

    def _step(self, action: Action) -> AnyStep | None:
        topology = self.topology
        match action:
            case Mail():
                return self._send(action)
            case Break(fault, number):
                placed = self._befalling(fault, number)
                if placed.host not in self.broken:
                    self.faults += 1
                    self.broken[placed.host] = f"f{self.faults}"
                    return Fault(self.broken[placed.host], placed)
            case Mend(number) if self.broken:
                host = list(self.broken)[number % len(self.broken)]
                return Heal(self.broken.pop(host))
            case Pass(seconds):
                return Wait(self._bounded(seconds))
            case ZoneChange(change, number) if topology.dns_host not in self.broken:
                places = [(d, n) for d in topology.mail_domains for n in range(len(d.mx))]
                domain, number = places[number % len(places)]
                self.changed.pop(domain.domain, None)
                if change != "restored":
                    self.changed[domain.domain] = domain
                return self._zone(change, domain, number)
            case Configure(settings, number):
                return self._configured(settings, number)
            case _:
                pass
        return None

    def _send(self, mail: Mail) -> Send | None:
        topology = self.topology
        domains = {domain.domain: domain for domain in topology.mail_domains}
        clients = {domain: host for host, domain in topology.sender_domains.items()}
        name, _, home = mail.sender.partition("@")
        host = clients.get(home, topology.client)
        if host in self.broken:
            return None
        recipients = tuple(
            address
            for address in mail.recipients
            if (domain := domains.get(address.partition("@")[2])) is not None
            and (not address.startswith(ALIASES) or address in domain.alias_members)
        )
        self.batches += 1
        return Send(
            f"b{self.batches}",
            mail.sender if home in {**domains, **clients} else f"{name}@{topology.client_domain}",
            recipients or (f"bob@{topology.domain}",),
            count=mail.count,
            size=mail.size,
            via=host if host != topology.client else None,
        )

    def _configured(self, settings: Mapping[str, SettingValue], number: int) -> Config | None:
        topology = self.topology
        hosts = [host for host in topology.hosts[::-1] if host not in topology.dns_hosts]
        host = hosts[number % len(hosts)]
        if host in topology.sender_domains and not OUTWARD.issuperset(settings):
            host = topology.primaries[0]
        return None if host in self.broken else Config(host, dict(settings))

    def _zone(self, change: str, domain: MailDomain, number: int) -> Dns:
        """A change of the domain's zone, in which hosts that have their names elsewhere stand with
        their whole names."""
        home = self.topology.home
        placed = tuple(
            e
            if home(e.host) == domain.domain
            else Exchange(f"{e.host}.{home(e.host)}.", e.preference)
            for e in domain.mx
        )
        step = ZONES[change](placed, number)
        return (
            step if domain.domain == self.topology.domain else replace(step, origin=domain.domain)
        )

    def _swizzle(self, action: Clog | Free) -> Iterator[AnyStep]:
        """Links are stopped and let go one by one, beside whatever befalls their hosts."""
        if isinstance(action, Clog):
            dns = self.topology.dns_hosts
            mx = [e.host for e in self.topology.mx]
            others = (host for host in self.topology.hosts if host not in (*dns, *mx))
            mail = list(dict.fromkeys((self.topology.client, *mx, *others)))
            pairs = [*combinations(mail, 2), *product(mail, dns), *combinations(dns, 2)]
            host, peer = pair = pairs[action.link % len(pairs)]
            if pair in self.clogged:
                return
            self.faults += 1
            self.clogged[pair] = f"f{self.faults}"
            yield Fault(self.clogged[pair], Partition(host, peers=(peer,)))
        elif self.clogged:
            pair = list(self.clogged)[action.number % len(self.clogged)]
            yield Heal(self.clogged.pop(pair))
        else:
            return
        if action.seconds:
            yield Wait(self._bounded(action.seconds))

    def _bounded(self, seconds: float) -> float:
        if seconds <= SHORT:
            return seconds
        if any(len(hosts) > 1 for hosts in zone_servers(self.topology).values()):
            return SHORT
        return min(seconds, HOURS) if self.cut and _is_fine(self.cut.fault) else seconds

    def _befalling(self, fault: Mechanism, number: int) -> Mechanism:
        """The fault at its host: DNS faults need a name server, those of an MTA any other."""
        topology, hosts = self.topology, self.topology.hosts[::-1]
        if isinstance(fault, Partition) and not set(fault.peers) & set(hosts):
            fault = Partition(fault.host, peers=topology.dns_hosts[:1])
        if isinstance(fault, DnsMxWithoutAddress):
            hosts = (topology.dns_host,)  # the one that has it to lose
        elif isinstance(fault, DnsFault):
            hosts = (topology.dns_host, *(h for h in topology.dns_hosts if h != topology.dns_host))
        elif isinstance(fault, MailboxFull):
            hosts = topology.primaries
        elif isinstance(fault, Partition):
            hosts = tuple(host for host in hosts if host not in fault.peers)
        elif isinstance(fault, NodeFault):
            hosts = tuple(host for host in hosts if host not in topology.dns_hosts)
        return replace(fault, host=hosts[number % len(hosts)])


def _is_fine(fault: Mechanism) -> bool:
    return isinstance(fault, Segments) and fault.most < FINE
