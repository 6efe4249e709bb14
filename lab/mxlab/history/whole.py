"""A trace in which stands what products do not tell and what follows from what others tell. Pure.

What a product asks the DNS, the lab's name servers tell (its lookups, without a message); that it
told nobody of a failure follows from the null reverse-path of what failed, or from its envelope;
a message that it did not read has its name from the host that took it.
"""

import copy
from collections.abc import Iterator
from dataclasses import dataclass, field
from heapq import merge

import msgspec

from mxlab.history.trace import Trace
from mxlab.model.software import OURS
from mxlab.model.topology import Topology
from mxlab_services import events
from mxlab_services.domain import fold_domain
from mxlab_services.events import Event

_STATUS = {"NXDOMAIN": "nxdomain", "REFUSED": "refused"}  # rcode -> the status of a lookup


def made_whole(trace: Trace, topology: Topology) -> Trace:
    """The trace, where each node tells all by itself; else one like it, to be read only."""
    by_node = dict(trace.by_node)
    for node in topology.software:
        stream = trace.by_node.get(node, [])
        if topology.software[node] != OURS:
            by_node[node] = stream = [_named(event, trace) for event in stream]
        if not topology.tells(node, "bounce.suppressed"):
            by_node[node] = stream = list(_suppressed(stream))
        if not topology.tells(node, "lookup"):
            asked = _lookups(trace, topology, node)
            by_node[node] = list(_numbered(merge(stream, asked, key=lambda event: event.at)))
    if by_node == trace.by_node:
        return trace
    whole = copy.copy(trace)
    whole.by_node = by_node
    return whole


def _named(event: Event, trace: Trace) -> Event:
    if event.message is None or (name := trace.name_of(event.message)) == event.message:
        return event
    return msgspec.structs.replace(event, message=name)


def _lookups(trace: Trace, topology: Topology, node: str) -> list[Event]:
    """What the name servers answered to a node."""
    found = []
    for server in topology.dns_hosts:
        for event in trace.by_node.get(server, ()):
            match event.body:
                case events.DnsQuery(type="MX" | "A" | "AAAA" as kind) as query:
                    if trace.hosts.get(query.peer) == node:
                        body = _lookup(kind, query)
                        found.append(Event(event.at, 0, node, None, body))
                case _:
                    pass
    return sorted(found, key=lambda event: event.at)


def _lookup(kind: str, query: events.DnsQuery) -> events.Lookup:
    name, answers = fold_domain(query.name.removesuffix(".")), []
    for record in query.answers:  # example.test. 60 IN MX 10 mx1.example.test.
        words = record.split(maxsplit=4)
        if len(words) == 5 and words[3] == kind:
            answers.append(words[4].removesuffix("."))
    status = "ok" if answers else "nodata"
    if query.rcode != "NOERROR":
        status = _STATUS.get(query.rcode, "servfail")
    return events.Lookup(name, kind, status, answers, cached=False)


def _numbered(stream: Iterator[Event]) -> Iterator[Event]:
    """Each of the added events with the number of the one before it, and never that of a first."""
    last = 1
    for event in stream:
        if isinstance(event.body, events.Lookup):
            yield msgspec.structs.replace(event, seq=last)
        else:
            last = max(1, event.seq)
            yield event


@dataclass(slots=True)
class _Held:
    sender: str
    silent: list[str]
    failed: dict[str, str] = field(default_factory=dict)  # recipient -> the last reply


def _suppressed(stream: list[Event]) -> Iterator[Event]:
    """A product's events, and before each message's end of whose failure nobody was to be told."""
    held: dict[str, _Held] = {}
    for event in stream:
        match event.body:
            case events.Accepted(queue_id=queue_id) as taken:
                held[queue_id] = _Held(taken.sender, taken.silent)
            case events.Outcome(queue_id=queue_id, outcome="failed") as said if queue_id in held:
                held[queue_id].failed[said.recipient] = said.reply
            case events.Removed(queue_id=queue_id) if queue_id in held:
                one = held.pop(queue_id)
                untold = [who for who in one.failed if not one.sender or who in one.silent]
                if untold:
                    why = "its sender asked for none" if one.sender else "null reverse-path"
                    body = events.BounceSuppressed(queue_id, untold, why)
                    yield Event(event.at, max(1, event.seq), event.node, event.message, body)
            case _:
                pass
        yield event
