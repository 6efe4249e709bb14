"""Whether senders walked the MX hosts as RFC 5321 §5.1 asks. Pure.

A walk is one delivery attempt: the hosts that were tried, against the MX records that the sender
had last seen for the domain and the hosts that it said it discarded.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mxlab.history.trace import Trace
from mxlab_services import events
from mxlab_services.domain import fold_domain


@dataclass(slots=True)
class Walk:
    """`records`: host -> preference by the MX lookup on its behalf; `targets`: its route, best
    first; `tried`: host and preference, in order. `own`: the sender's own preference."""

    node: str
    message: str
    domain: str
    attempt: int
    records: dict[str, int] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)
    tried: list[tuple[str, int]] = field(default_factory=list)
    own: int | None = None


@dataclass(slots=True)
class _Knowledge:
    """What one node has found out by now."""

    records: dict[tuple[str, str | None], dict[str, int]] = field(default_factory=dict)
    routes: dict[str, events.Routed] = field(default_factory=dict)  # by domain
    own_routes: dict[tuple[str, str | None], events.Routed] = field(default_factory=dict)


def walks(trace: Trace) -> list[Walk]:
    """Every attempt that reached for a host, node by node."""
    found: list[Walk] = []
    for node, stream in trace.by_node.items():
        known = _Knowledge()
        running: dict[tuple[str, str], Walk] = {}
        for event in stream:
            match event.body:
                case events.Lookup(name=name, type="MX", status="ok", answers=answers):
                    known.records[name, event.message] = preferences(answers)
                case events.Lookup(name=name, type="MX"):
                    known.records.pop((name, event.message), None)
                case events.Routed(domain=domain) as route:
                    known.own_routes[domain, event.message] = route
                    known.routes[domain] = route
                case events.AttemptStarted(queue_id=queue_id, domain=domain, attempt=attempt):
                    walk = Walk(node, event.message or "", domain, attempt)
                    running[queue_id, domain] = walk
                case events.Tried(queue_id=queue_id, host=host, preference=preference):
                    for key, walk in _walks_of(running, queue_id, host, known, event.message):
                        if not walk.tried:
                            _inform(walk, known, key[1])
                            found.append(walk)
                        walk.tried.append((host, preference))
                case _:
                    pass
    return found


def faults_of(walk: Walk) -> Iterator[str]:
    """What was wrong with a walk, in words."""
    who = f"{walk.node}, attempt {walk.attempt} of {walk.message} to {walk.domain}"
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


def _walks_of(
    running: dict[tuple[str, str], Walk],
    queue_id: str,
    host: str,
    known: _Knowledge,
    message: str | None,
) -> list[tuple[tuple[str, str], Walk]]:
    """The attempt that a try belongs to. One message may be tried at two domains at a time: then
    the one whose route names the host."""
    own = [(key, walk) for key, walk in running.items() if key[0] == queue_id]
    if len(own) > 1:
        own = [
            (key, walk)
            for key, walk in own
            if (route := _route(known, key[1], message)) and host in route.targets
        ]
    return own[-1:]


def _inform(walk: Walk, known: _Knowledge, domain: str) -> None:
    walk.records = dict(known.records.get((domain, walk.message), {}))
    route = _route(known, domain, walk.message)
    walk.targets = list(route.targets) if route else []
    own = [host for host in walk.records if host.partition(".")[0] == walk.node]
    walk.own = walk.records[own[0]] if own else None


def _route(known: _Knowledge, domain: str, message: str | None) -> events.Routed | None:
    return known.own_routes.get((domain, message)) or known.routes.get(domain)


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
