"""States that a run seldom comes to, by name, as the events show them. Pure.

Chaos says which of them its runs never reached: what was never reached was not tested.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from mxlab.history.trace import LAB, Trace
from mxlab_services import events
from mxlab_services.address import domain_of
from mxlab_services.events import Event

RARE: Mapping[str, str] = {
    "died-after-commit": "a host died between the commit of a message and its 250",
    "died-in-attempt": "a host died in the midst of an attempt",
    "stored-untold": "a host died with a message or a bounce in its spool of which it had not told",
    "ack-lost": "a message was stored, and its sender never read the 250",
    "second-copy": "a mailbox got a second copy",
    "dead-flushed": "somebody asked for an attempt at a destination that was dead",
    "given-up-dead": "mail was given up while its destination was dead",
    "delay-told": "a sender was told that his mail is late",
    "null-sender-failed": "mail of the null sender failed, and nobody was told",
    "host-passed-over": "a host was passed over, for it had been silent a moment ago",
    "connection-stale": "a kept connection had been closed when it was to be used again",
    "mail-loops": "a host found that it would send mail to itself",
    "disk-refused": "a disk refused to write",
    "dns-over-tcp": "an answer of DNS did not fit, and came over TCP",
    "copy-expired": "a secondary heard nothing of its primary until its copy of a zone expired",
    "family-fell-back": "a host did not answer by IPv6, and was tried by IPv4",
}


@dataclass(slots=True)
class _Life:
    """What one node has in hand: `known` queue ids, `trying` the domains at which each is tried.
    `six`: the queue id and host of which IPv6 led nowhere just now."""

    known: set[str] = field(default_factory=set)
    trying: dict[str, set[str]] = field(default_factory=dict)
    dead: set[str] = field(default_factory=set)
    six: tuple[str, str] | None = None
    last: Event | None = None


def reached(trace: Trace) -> frozenset[str]:
    """The names of those that a run reached."""
    found: set[str] = set()
    copies: Counter[tuple[str | None, str]] = Counter()
    unread: set[tuple[str | None, str]] = set()  # message, host's node
    stored: dict[str | None, set[str]] = defaultdict(set)  # message -> nodes
    for node, stream in trace.by_node.items():
        if node != LAB:
            found.update(_of_node(stream))
        for event in stream:
            match event.body:
                case events.MailboxDelivered(recipient=recipient):
                    copies[event.message, recipient] += 1
                case events.Outcome(outcome="unknown", host=host):
                    unread.add((event.message, host.partition(".")[0]))
                case events.Accepted(peer=peer) if peer:
                    stored[event.message].add(node)
                case _:
                    pass
    if any(count > 1 for count in copies.values()):
        found.add("second-copy")
    if any(host in stored[message] for message, host in unread):
        found.add("ack-lost")
    return frozenset(found)


def _of_node(stream: Iterable[Event]) -> Iterator[str]:
    now = _Life()
    for event in stream:
        if event.seq == 0 and now.last is not None:
            yield from _ended(now, now.last)
            now.trying.clear()
            now.dead.clear()
        now.last = event
        yield from _step(now, event)


def _ended(now: _Life, last: Event) -> Iterator[str]:
    """A life is over: in good order, or not."""
    if not isinstance(last.body, events.NodeStopping):
        if isinstance(last.body, events.Accepted) and last.body.peer:
            yield "died-after-commit"
        if any(now.trying.values()):
            yield "died-in-attempt"


def _step(now: _Life, event: Event) -> Iterator[str]:
    match event.body:
        case events.Accepted(queue_id=queue_id) | events.Bounced(queue_id=queue_id):
            now.known.add(queue_id)
        case events.AttemptStarted(queue_id=queue_id, domain=domain):
            if queue_id not in now.known:
                yield "stored-untold"
            now.known.add(queue_id)
            now.trying.setdefault(queue_id, set()).add(domain)
        case events.Deferred(queue_id=queue_id, recipients=[recipient, *_]):
            now.trying.get(queue_id, set()).discard(domain_of(recipient))
        case events.Removed(queue_id=queue_id):
            now.trying.pop(queue_id, None)
        case events.DestinationDead(domain=domain):
            now.dead.add(domain)
        case events.DestinationAlive(domain=domain):
            now.dead.discard(domain)
        case events.Flushed() if now.dead:
            yield "dead-flushed"
        case _:
            pass
    yield from _seen(now, event)


def _seen(now: _Life, event: Event) -> Iterator[str]:
    """What one event shows by itself."""
    match event.body:
        case events.Bounced(action="delayed"):
            yield "delay-told"
        case events.Bounced(action="failed", recipients=recipients):
            if any(address.rpartition("@")[2] in now.dead for address in recipients):
                yield "given-up-dead"
        case events.BounceSuppressed():
            yield "null-sender-failed"
        case events.Tried(stage="skipped"):
            yield "host-passed-over"
        case events.Tried(queue_id=queue_id, host=host, address=address, stage="connect"):
            if ":" in address:
                now.six = queue_id, host
            elif now.six == (queue_id, host):
                yield "family-fell-back"
        case events.Tried(queue_id=queue_id, host=host) if now.six == (queue_id, host):
            yield "family-fell-back"
        case events.Tried(dialog=dialog) if any("closed meanwhile" in line for line in dialog):
            yield "connection-stale"
        case events.Outcome(outcome="failed", reply=reply) if "5.4.6" in reply:
            yield "mail-loops"
        case events.FaultStruck(place="disk"):
            yield "disk-refused"
        case events.DnsExpired():
            yield "copy-expired"
        case events.DnsQuery(transport="tcp", type=kind) if kind != "AXFR":
            yield "dns-over-tcp"
        case _:
            pass
