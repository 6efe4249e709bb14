"""Whether senders that tell no routes walked the MX hosts as RFC 5321 §5.1 asks. Pure.

Of a product only the hosts are told that it tried. They are held against what the lab's name
servers last told it: no host is tried that is none of the exchanges, or no better than the sender
itself, none before a better one, and none in the place of a better one, unless that has no address
of the sender's family, or did not answer when the sender last tried it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mxlab.checks.mx_order import preferences
from mxlab.history.trace import Trace
from mxlab.model.topology import Topology, families
from mxlab.plan.mail import smarthost_name
from mxlab_services import events
from mxlab_services.domain import fold_domain
from mxlab_services.events import Event

_SLACK = 60.0  # lab seconds: for an attempt to end after its lookup
_UNANSWERED = ("connect", "greeting", "ehlo")  # stages that are no answer from the host


@dataclass(frozen=True, slots=True)
class _WayTold:
    """What the DNS had told: the exchanges and their preferences, and those with an address that
    answered, or were never tried."""

    records: dict[str, int]
    usable: frozenset[str]


@dataclass(slots=True)
class UnroutedWalk:
    """One attempt that tried a host. `ways`: what it may have gone by."""

    node: str
    domain: str
    told: str  # its attempt and message, in words
    ways: list[_WayTold] = field(default_factory=list)
    tried: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Unrouted:
    """What one of them knew by now."""

    node: str
    types: Sequence[str]  # of the addresses that it can use
    hosts: dict[str, str]  # address -> node
    records: dict[str, dict[str, int]] = field(default_factory=dict)  # by domain
    former: dict[str, tuple[float, dict[str, int]]] = field(default_factory=dict)
    addresses: dict[tuple[str, str], list[str]] = field(default_factory=dict)  # by host, type
    owners: dict[str, set[str]] = field(default_factory=dict)  # address -> hosts that ever had it
    silent: set[str] = field(default_factory=set)
    running: dict[tuple[str, str], UnroutedWalk] = field(default_factory=dict)  # queue id, domain

    def asked(self, event: Event, lookup: events.Lookup) -> None:
        """Take note of an answer of the DNS."""
        if lookup.type != "MX":
            self.addresses[lookup.name, lookup.type] = lookup.answers
            for address in lookup.answers:
                self.owners.setdefault(address, set()).add(lookup.name)
            return
        now = preferences(lookup.answers)
        before = self.records.get(lookup.name, now)
        if before != now:
            self.former[lookup.name] = event.at, before
        self.records[lookup.name] = now

    def ways(self, domain: str, at: float) -> list[_WayTold]:
        """What an attempt may have gone by that is told of now: the last answer, and one that was
        good a moment ago."""
        when, before = self.former.get(domain, (at, {}))
        known = [self.records.get(domain, {}), *([before] if at - when <= _SLACK else [])]
        return [_WayTold(records, self._usable(records)) for records in known if records]

    def _usable(self, records: dict[str, int]) -> frozenset[str]:
        return frozenset(
            host
            for host in records
            if host not in self.silent and any(self.addresses.get((host, t)) for t in self.types)
        )

    def called(self, tried: events.Tried) -> str:
        """The host by the name that the DNS has for it, where the log has another."""
        name, node = fold_domain(tried.host), self.hosts.get(tried.address)
        listed = self.records.get(tried.domain, {})
        owners = self.owners.get(tried.address, set())
        same = [host for host in listed if host.partition(".")[0] == node]
        same += [host for host in listed if host in owners]
        return name if name in listed else next(iter(same), name)


def unrouted_walks(trace: Trace, topology: Topology) -> list[UnroutedWalk]:
    """Every attempt that reached for a host, of every sender that tells no routes."""
    found: list[UnroutedWalk] = []
    for node, stream in trace.by_node.items():
        if topology.tells(node, "route"):
            continue
        types = ["AAAA" if family == 6 else "A" for family in families(topology, node)]
        sender = _Unrouted(node, types, trace.hosts)
        for event in stream:
            found += _take(sender, event)
    return found


def _take(sender: _Unrouted, event: Event) -> Iterator[UnroutedWalk]:
    match event.body:
        case events.Lookup() as lookup:
            sender.asked(event, lookup)
        case events.AttemptStarted(queue_id=queue_id, domain=domain, attempt=number):
            told = f"{sender.node}, attempt {number} of {event.message} to {domain}"
            sender.running[queue_id, domain] = UnroutedWalk(sender.node, domain, told)
        case events.Tried(queue_id=queue_id, domain=domain) as tried:
            if (walk := sender.running.get((queue_id, domain))) is None:
                return
            if not walk.tried:
                walk.ways = sender.ways(domain, event.at)
                yield walk
            host = sender.called(tried)
            walk.tried.append(host)
            (sender.silent.add if tried.stage in _UNANSWERED else sender.silent.discard)(host)
        case _:
            pass


def unrouted_faults(walk: UnroutedWalk, topology: Topology) -> list[str]:
    """What was wrong with it, in words: whatever it went by."""
    if smarthost := smarthost_name(topology, walk.node):
        others = [host for host in walk.tried if host != smarthost]
        return (
            [f"{walk.told}: tried {others[0]}, although all goes to {smarthost}"] if others else []
        )
    faults = [list(_faults(walk, way)) for way in walk.ways]
    return faults[0] if faults and all(faults) else []


def _faults(walk: UnroutedWalk, way: _WayTold) -> Iterator[str]:
    records = way.records
    own = [rank for host, rank in records.items() if host.partition(".")[0] == walk.node]
    shown = ", ".join(f"{host} ({records.get(host, '?')})" for host in walk.tried)
    worst = -1
    for host in walk.tried:
        if host not in records:
            yield f"{walk.told}: tried {host}, which is none of its exchanges: {', '.join(records)}"
            return
        rank = records[host]
        better = [one for one in way.usable if records[one] < rank and one not in walk.tried]
        if rank < worst:
            yield f"{walk.told}: went back to a better host: {shown}"
        elif better:
            first = min(better, key=lambda one: records[one])
            yield f"{walk.told}: tried {host} ({rank}) and never {first} ({records[first]})"
        elif own and rank >= min(own):
            yield f"{walk.told}: tried {host} ({rank}), no better than itself ({min(own)})"
        else:
            worst = rank
            continue
        return
