"""A schedule of sends, faults, zone changes and waits, and the scenario that it stands for. Pure.

Every list of actions makes a valid scenario: what cannot be done when its turn comes (a send while
the client is down, a second fault on a host) is left out. That is what lets a search cut schedules
down without leaving what is valid. A zone that was changed is put back in the end.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import combinations

import msgspec

from mxlab.model.inner import DnsMechanism, InnerFault, MailboxFull
from mxlab.model.mechanism import Mechanism
from mxlab.model.outer import Partition
from mxlab.model.scenario import Scenario
from mxlab.model.step import AnyStep, Dns, Fault, Heal, Send, Wait
from mxlab.model.topology import Exchange, Topology

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
    "queues-empty",
)
ASTRAY = "astray"  # a host that has no address
OWN_ADDRESS = "10.53.25.3"  # the first exchange's in the simulation; elsewhere nobody's


@dataclass(frozen=True, slots=True)
class Mail:
    """Send `count` messages of at least `size` bytes."""

    sender: str
    recipients: tuple[str, ...]
    count: int = 1
    size: int = 0


@dataclass(frozen=True, slots=True)
class Break:
    """Inject `fault`, whatever host it names, at host number `host`: the client is 0, then come the
    exchanges, last to first, then DNS, then the client again. A fault that only some hosts can have
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
class Zone:
    """Change the domain's MX records: one of `ZONES`, as to one exchange."""

    change: str
    exchange: int


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


Action = Mail | Break | Mend | Pass | Zone | Clog | Free


@dataclass(frozen=True, slots=True)
class Schedule:
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
    """The way from actions to steps; knows what is broken at each point."""

    topology: Topology
    cut: Break | None = None
    batches: int = 0
    faults: int = 0
    broken: dict[str, str] = field(default_factory=dict)  # host -> id of its fault
    clogged: dict[tuple[str, str], str] = field(default_factory=dict)  # pair of hosts -> fault
    changed: bool = False

    def steps(self, actions: tuple[Action, ...]) -> Iterator[AnyStep]:
        if self.cut is not None:
            fault, host = self.cut.fault, self._befallen(self.cut.fault, self.cut.host)
            yield Fault("cut", msgspec.structs.replace(fault, host=host))
        for action in actions:
            if isinstance(action, Clog | Free):
                yield from self._swizzle(action)
            elif (step := self._step(action)) is not None:
                yield step
        if self.changed:
            if self.topology.dns in self.broken:
                yield Heal(self.broken[self.topology.dns])
            yield _records(self.topology.mx)

    def _step(self, action: Action) -> AnyStep | None:
        topology = self.topology
        match action:
            case Mail(sender, recipients, count, size) if topology.client not in self.broken:
                self.batches += 1
                return Send(f"b{self.batches}", sender, recipients, count=count, size=size)
            case Break(fault, number):
                host = self._befallen(fault, number)
                if host not in self.broken:
                    self.faults += 1
                    self.broken[host] = f"f{self.faults}"
                    return Fault(self.broken[host], msgspec.structs.replace(fault, host=host))
            case Mend(number) if self.broken:
                host = list(self.broken)[number % len(self.broken)]
                return Heal(self.broken.pop(host))
            case Pass(seconds):
                return Wait(seconds)
            case Zone(change, number) if topology.dns not in self.broken:
                self.changed = change != "restored"
                return ZONES[change](topology.mx, number % len(topology.mx))
            case _:
                pass
        return None

    def _swizzle(self, action: Clog | Free) -> Iterator[AnyStep]:
        """Links are stopped and let go one by one, beside whatever befalls their hosts."""
        if isinstance(action, Clog):
            mail = (self.topology.client, *(e.host for e in self.topology.mx))
            pairs = [*combinations(mail, 2), *((host, self.topology.dns) for host in mail)]
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
            yield Wait(action.seconds)

    def _befallen(self, fault: Mechanism, number: int) -> str:
        """The host for a fault: DNS faults need the DNS server, those of an MTA any other."""
        dns, hosts = self.topology.dns, self.topology.hosts[::-1]
        if isinstance(fault, DnsMechanism):
            return dns
        if isinstance(fault, MailboxFull):
            hosts = self.topology.primaries
        elif isinstance(fault, Partition):
            hosts = tuple(host for host in hosts if host not in fault.peers)
        elif isinstance(fault, InnerFault):
            hosts = tuple(host for host in hosts if host != dns)
        return hosts[number % len(hosts)]


# --- changes of the zone: they name MX records only, so that they fit every world -----------------


def _records(exchanges: tuple[Exchange, ...], *others: str) -> Dns:
    """These MX records of the domain, and no others."""
    listed = [f"@ MX {e.preference} {e.host}" for e in exchanges]
    return Dns(remove=("@ MX", "@ A"), add=(*listed, *others))


def _restored(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records(mx)


def _swapped(mx: tuple[Exchange, ...], number: int) -> Dns:
    turned = zip(mx, reversed(mx), strict=True)
    return _records(tuple(Exchange(one.host, other.preference) for one, other in turned))


def _equal(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records(tuple(Exchange(e.host, 10) for e in mx))


def _without(mx: tuple[Exchange, ...], number: int) -> Dns:
    rest = tuple(e for n, e in enumerate(mx) if n != number)
    return _records(rest or mx)


def _astray(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records(
        tuple(Exchange(ASTRAY, e.preference) if n == number else e for n, e in enumerate(mx))
    )


def _none_usable(mx: tuple[Exchange, ...], number: int) -> Dns:
    """All exchanges lead nowhere, but the domain itself has an address (never to be used)."""
    return _records((Exchange(ASTRAY, 10),), f"@ A {OWN_ADDRESS}")


def _null(mx: tuple[Exchange, ...], number: int) -> Dns:
    return _records((), "@ MX 0 .")


ZONES: Mapping[str, Callable[[tuple[Exchange, ...], int], Dns]] = {
    "restored": _restored,
    "swapped": _swapped,
    "without": _without,
    "astray": _astray,
    "equal": _equal,
    "none usable": _none_usable,
    "null": _null,
}
