"""Whether senders walked the MX hosts as RFC 5321 §5.1 asks, or kept to their smarthost. Pure.

A walk is one delivery attempt: the hosts that were tried, against the MX records that the sender
had last seen for the domain and the hosts that it said it discarded; and each host's addresses, by
the sender's own lookup of them.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from mxlab.history.trace import Trace
from mxlab_services import events
from mxlab_services.domain import fold_domain
from mxlab_services.relay.routing import ADDRESS_LIMIT


@dataclass(slots=True)
class Walk:
    """`records`: host -> preference by the MX lookup on its behalf; `targets`: its route, best
    first; `tried`: host and preference, in order, `at` the addresses. `own`: the sender's own
    preference. `listed`: host -> its addresses; `discarded`: those not to be tried, with reasons.
    `outcomes`: recipient -> the last; `given_up`: the attempt ended, and somebody's was a host's
    4yz or silence."""

    node: str
    message: str
    domain: str
    attempt: int
    recipients: list[str] = field(default_factory=list)
    records: dict[str, int] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    tried: list[tuple[str, int]] = field(default_factory=list)
    at: list[str] = field(default_factory=list)
    own: int | None = None
    listed: dict[str, list[str]] = field(default_factory=dict)
    discarded: list[str] = field(default_factory=list)
    outcomes: dict[str, str] = field(default_factory=dict)
    given_up: bool = False
    ways: list["_RouteFound"] = field(default_factory=list)  # its own is one of these


@dataclass(frozen=True, slots=True)
class _RouteFound:
    """A route, and what the lookups for it had found."""

    route: events.Routed
    records: dict[str, int]
    listed: dict[str, list[str]]


_Of = tuple[str, str | None]  # a name, and the message on whose behalf it was asked for


@dataclass(slots=True)
class _Knowledge:
    """What one node has found out by now. `running`: queue id -> domain -> its attempt;
    `setting_out`: those by domain and message that have tried no host yet. A queue may hold one
    message twice, where an acknowledgement was lost."""

    records: dict[_Of, dict[str, int]] = field(default_factory=dict)
    routes: dict[str, _RouteFound] = field(default_factory=dict)  # by domain, the last
    addresses: dict[_Of, list[str]] = field(default_factory=dict)  # by host
    running: dict[str, dict[str, Walk]] = field(default_factory=dict)
    setting_out: dict[_Of, list[Walk]] = field(default_factory=dict)

    def begin(self, queue_id: str, walk: Walk) -> None:
        """An attempt begins, and ends the one before it."""
        of_message = self.running.setdefault(queue_id, {})
        over = of_message.get(walk.domain)
        others = self.setting_out.get((walk.domain, walk.message), ())
        self.setting_out[walk.domain, walk.message] = [
            *(other for other in others if other is not over and not other.tried),
            walk,
        ]
        of_message[walk.domain] = walk

    def routed(self, route: events.Routed, message: str | None) -> None:
        """A route was found for one of those that set out."""
        listed = {
            host: self.addresses[host, message]
            for host in route.targets
            if (host, message) in self.addresses
        }
        way = _RouteFound(route, self.records.get((route.domain, message), {}), listed)
        self.routes[route.domain] = way
        for walk in self.setting_out.get((route.domain, message), ()):
            if not walk.tried:
                walk.ways.append(way)


def walks(trace: Trace) -> list[Walk]:
    """Every attempt that reached for a host, node by node."""
    found: list[Walk] = []
    for node, stream in trace.by_node.items():
        known = _Knowledge()
        for event in stream:
            match event.body:
                case events.Lookup(name=name, type="MX", status="ok", answers=answers):
                    known.records[name, event.message] = preferences(answers)
                case events.Lookup(name=name, type="MX"):
                    known.records.pop((name, event.message), None)
                case events.Lookup(name=name, answers=answers):
                    known.addresses[name, event.message] = answers
                case events.Routed() as route:
                    known.routed(route, event.message)
                case events.AttemptStarted(domain=domain, attempt=attempt) as start:
                    walk = Walk(node, event.message or "", domain, attempt, start.recipients)
                    known.begin(start.queue_id, walk)
                case events.Tried(queue_id=queue_id) as tried:
                    for walk in _walks_of(known.running.get(queue_id, {}), tried, known):
                        if not walk.tried:
                            found.append(walk)
                        walk.tried.append((tried.host, tried.preference))
                        walk.at.append(tried.address)
                        _inform(walk, known)
                case events.Outcome(queue_id=queue_id) | events.Deferred(queue_id=queue_id) as end:
                    _end(known.running.get(queue_id, {}), end)
                case _:
                    pass
    return found


def faults_of(walk: Walk, smarthost: str = "") -> Iterator[str]:
    """What was wrong with a walk, in words. `smarthost`: the one host to which its sender is told
    to hand everything; then the exchanges of the domain are not the sender's to choose from."""
    who = f"{walk.node}, attempt {walk.attempt} of {walk.message} to {walk.domain}"
    if smarthost:
        if others := [host for host, _ in walk.tried if host != smarthost]:
            yield f"{who}: tried {others[0]}, although all goes to {smarthost}: {_shown(walk)}"
        return
    hosts = list(dict.fromkeys(host for host, _ in walk.tried))
    preferences = [preference for _, preference in walk.tried]
    if preferences != sorted(preferences):
        yield f"{who}: went back to a better host: {_shown(walk)}"
        return
    listed = walk.targets
    for number, host in enumerate(hosts):
        if listed and (number >= len(listed) or listed[number] != host):
            wanted = listed[number] if number < len(listed) else "no further host"
            yield f"{who}: tried {host} where its route says {wanted}: {_shown(walk)}"
            return
    usable = [host for host in walk.records if host in walk.targets]
    for host, preference in walk.tried:
        if walk.records and host not in walk.records:
            yield f"{who}: tried {host}, which is none of its exchanges: {', '.join(walk.records)}"
            return
        real = walk.records.get(host, preference)
        better = [h for h in usable if walk.records[h] < real and h not in hosts]
        if better:
            yield f"{who}: tried {host} ({real}) and never {better[0]} ({walk.records[better[0]]})"
            return
        if walk.own is not None and real >= walk.own:
            yield f"{who}: tried {host} ({real}), which is no better than itself ({walk.own})"
            return


def address_faults_of(walk: Walk, own: Sequence[int]) -> Iterator[str]:
    """What was wrong with the addresses at which a walk tried its hosts, in words; `own`: the
    families in which the sender has an address. Each of a host is tried before another host is, and
    IPv6 before IPv4 (RFC 5321 §5.1, RFC 6724 §6)."""
    who = f"{walk.node}, attempt {walk.attempt} of {walk.message} to {walk.domain}"
    tried: dict[str, list[str]] = {}
    for (host, _), address in zip(walk.tried, walk.at, strict=True):
        tried.setdefault(host, []).append(address)
    last = walk.tried[-1][0]
    for host, at in tried.items():
        versions = [_version(address) for address in at]
        if foreign := [a for a, v in zip(at, versions, strict=True) if v not in own]:
            yield f"{who}: tried {host} at {foreign[0]}, and has no address of that family"
        elif versions != sorted(versions, reverse=True):
            yield f"{who}: tried {host} by IPv4 before IPv6: {', '.join(at)}"
        elif (host != last or walk.given_up) and len(at) < ADDRESS_LIMIT:
            left = [a for a in walk.listed.get(host, ()) if a not in at and _version(a) in own]
            if left := [a for a in left if not _discarded(walk, f"{host}[{a}]")]:
                yield f"{who}: tried {host} at {', '.join(at)} and never at {left[0]}"
    if walk.given_up and (never := [host for host in walk.targets if host not in tried]):
        yield f"{who}: never tried {never[0]}: {_shown(walk)}"


def _version(address: str) -> int:
    return 6 if ":" in address else 4


def _discarded(walk: Walk, place: str) -> bool:
    return any(text.startswith(f"{place}:") for text in walk.discarded)


def _end(running: dict[str, Walk], end: events.Outcome | events.Deferred) -> None:
    """Note what became of recipients, and that their attempt is over."""
    named = [end.recipient] if isinstance(end, events.Outcome) else end.recipients
    for walk in running.values():
        own = [recipient for recipient in named if recipient in walk.recipients]
        if isinstance(end, events.Outcome):
            walk.outcomes |= dict.fromkeys(own, end.outcome)
        else:
            walk.given_up |= any(walk.outcomes.get(one) == "deferred" for one in own)


def _walks_of(running: dict[str, Walk], tried: events.Tried, known: _Knowledge) -> list[Walk]:
    """The attempt that a try belongs to. One message may be tried at two domains at a time: where
    the try does not say at which (in an old recording), one whose route names the host."""
    if tried.domain:
        return [running[tried.domain]] if tried.domain in running else []
    own = list(running.values())
    if len(own) > 1:
        ways = ((walk, _ways(known, walk)) for walk in own)
        own = [walk for walk, of in ways if any(tried.host in way.route.targets for way in of)]
    return own[-1:]


def _inform(walk: Walk, known: _Knowledge) -> None:
    """What the attempt knew: by the route that it has kept to so far, where that could be one of
    several."""
    hosts = list(dict.fromkeys(host for host, _ in walk.tried))
    ways = _ways(known, walk)
    kept = [way for way in ways if way.route.targets[: len(hosts)] == hosts]
    for way in (kept or ways)[-1:]:
        walk.records, walk.listed = way.records, way.listed
        walk.targets, walk.discarded = way.route.targets, way.route.discarded
        own = [host for host in walk.records if host.partition(".")[0] == walk.node]
        walk.own = walk.records[own[0]] if own else None


def _ways(known: _Knowledge, walk: Walk) -> list[_RouteFound]:
    last = known.routes.get(walk.domain)
    return walk.ways or ([last] if last is not None else [])


def preferences(answers: list[str]) -> dict[str, int]:
    """Host -> its best preference, by the answers of an MX lookup (`10 mx1.example.test`)."""
    found: dict[str, int] = {}
    for answer in answers:
        preference, _, host = answer.partition(" ")
        name = fold_domain(host)
        found[name] = min(int(preference), found.get(name, 65536))
    return found


def _shown(walk: Walk) -> str:
    return ", ".join(f"{host} ({preference})" for host, preference in walk.tried)
