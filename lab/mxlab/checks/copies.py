"""Whether name servers answered from copies of zones that had expired. Pure.

A secondary may serve its copy for the SOA's expire after a primary last told it the zone's serial
(RFC 1034 §4.3.5). When that was, is told by the primary's own events, not by the secondary's.
"""

from bisect import bisect_right
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from mxlab.history.trace import Trace
from mxlab.model.topology import Topology
from mxlab.plan.zones import zone_servers
from mxlab_services import events
from mxlab_services.domain import fold_domain
from mxlab_services.events import Event

_SLACK = 45.0  # lab seconds: for a transfer, and what came late of an answer
_SERVED = ("NOERROR", "NXDOMAIN")  # what a server says of a zone that it has


@dataclass(slots=True)
class Copies:
    """`answers`: how many were looked at; `wrong`, in words."""

    answers: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Word:
    """A primary told its serial at this lab time; a copy is good for `expire` seconds from then."""

    at: float
    expire: float


def expired_answers(trace: Trace, topology: Topology) -> Copies:
    """Every answer of a secondary, against the last word of the zone's primary before it. What a
    fault put into a server's mouth does not count."""
    found, zones = Copies(), zone_servers(topology)
    for zone, (primary, *secondaries) in zones.items():
        for secondary in secondaries:
            if words := list(_words(trace, zone, primary, secondary)):
                for event in _answers(trace, zone, secondary, zones):
                    found.answers += 1
                    if wrong := _too_old(event.at, words):
                        found.wrong.append(
                            f"{_shown(event)} from a copy of {zone} that was {wrong}"
                        )
    return found


def _answers(
    trace: Trace, zone: str, secondary: str, zones: Mapping[str, object]
) -> Iterator[Event]:
    struck = False
    for event in trace.by_node.get(secondary, ()):
        match event.body:
            case events.DnsQuery(name=name, rcode=rcode, type=kind) if (
                rcode in _SERVED and kind != "NOTIFY" and _zone_of(name, zones) == zone
            ):
                if not struck:
                    yield event
            case _:
                pass
        struck = isinstance(event.body, events.FaultStruck)


def _too_old(at: float, words: list[_Word]) -> str:
    """How old a copy was that was served at this time; nothing where it was still good."""
    last = words[max(0, bisect_right(words, at, key=lambda word: word.at) - 1)]
    age = at - last.at
    if age <= last.expire + _SLACK:
        return ""
    return f"{age:.0f} s old, and good for {last.expire:.0f} s"


def _shown(event: Event) -> str:
    query = event.body
    assert isinstance(query, events.DnsQuery)
    return f"{event.node} answered {query.name} {query.type} with {query.rcode}"


def _words(trace: Trace, zone: str, primary: str, secondary: str) -> Iterator[_Word]:
    """When the primary answered the secondary's question for the SOA."""
    addresses = _addresses(trace, secondary)
    for event in trace.by_node.get(primary, ()):
        match event.body:
            case events.DnsQuery(name=name, type="SOA", answers=answers, peer=peer) if (
                peer in addresses and _plain(name) == zone
            ):
                for answer in answers:
                    yield _Word(event.at, float(answer.split()[-2]))
            case _:
                pass


def _addresses(trace: Trace, node: str) -> frozenset[str]:
    """Where a node listens, by its own word: `udp:10.53.25.2:53`, `tcp:[2001:db8::2]:53`."""
    return frozenset(
        place.partition(":")[2].rpartition(":")[0].strip("[]")
        for event in trace.by_node.get(node, ())
        if isinstance(event.body, events.NodeReady)
        for place in event.body.listening
    )


def _zone_of(name: str, zones: Mapping[str, object]) -> str:
    """The zone that holds a name."""
    plain = _plain(name)
    above = [zone for zone in zones if zone in (plain, ".") or plain.endswith(f".{zone}")]
    return max(above, key=lambda zone: 0 if zone == "." else len(zone), default="")


def _plain(name: str) -> str:
    return fold_domain(name.removesuffix(".")) or "."
