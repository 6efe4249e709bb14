"""What a product had done already when it died, and had not told yet. Pure.

It tells of an attempt once that has ended. One that it died in shows at the other end: a host took
the message from it, or it lies in the mailbox, more often than the product tells. A further copy,
after its next start, is explained by that.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from mxlab.history.evidence import Evidence
from mxlab.history.trace import Trace
from mxlab_services import events
from mxlab_services.address import canonical
from mxlab_services.events import Event

Unit = tuple[str, str]  # message, canonical recipient


@dataclass(frozen=True, slots=True)
class CutOff:
    """A copy of which its node told nothing, in words."""

    message: str
    recipient: str
    text: str


def cut_off(trace: Trace, evidence: Evidence) -> Iterator[CutOff]:
    """Those of every node that does not tell when an attempt begins."""
    for node, stream in trace.by_node.items():
        if not evidence.topology.tells(node, "attempt.started.at"):
            taken = sorted(_taken_from(trace, node))
            yield from _of_node(node, stream, taken, _unnamed(evidence, node, stream))


def _of_node(
    node: str, stream: list[Event], taken: list[tuple[float, Unit, str]], unnamed: Counter[Unit]
) -> Iterator[CutOff]:
    held: dict[str, list[Unit]] = {}
    told: Counter[Unit] = Counter()  # copies that the node told of, or that it died over
    for event in stream:
        match event.body:
            case events.NodeReady():
                here = {unit for units in held.values() for unit in units}
                for unit in sorted(here):
                    hosts = [by for at, one, by in taken if one == unit and at <= event.at]
                    for host in hosts[told[unit] :]:
                        told[unit] += 1
                        yield CutOff(*unit, f"{node} died before it told that {host} took it")
                    for _ in range(unnamed.pop(unit, 0)):
                        text = f"{node} died before it told that it lies in the mailbox"
                        yield CutOff(*unit, text)
            case events.Accepted(queue_id=queue_id, recipients=recipients):
                held[queue_id] = [(event.message or "", canonical(one)) for one in recipients]
            case events.Outcome(recipient=recipient, outcome="delivered" | "unknown"):
                told[event.message or "", canonical(recipient)] += 1
            case events.Removed(queue_id=queue_id):
                held.pop(queue_id, None)
            case _:
                pass


def _taken_from(trace: Trace, node: str) -> Iterator[tuple[float, Unit, str]]:
    """What other hosts took from a node: when, what, and who."""
    for other, stream in trace.by_node.items():
        for event in stream:
            body = event.body
            if not isinstance(body, events.Accepted) or other == node:
                continue
            for recipient in body.recipients if trace.hosts.get(body.peer) == node else ():
                yield event.at, (event.message or "", canonical(recipient)), other


def _unnamed(evidence: Evidence, node: str, stream: list[Event]) -> Counter[Unit]:
    """What lies in a node's mailboxes and is named by none of its events."""
    named = {e.body.name for e in stream if isinstance(e.body, events.MailboxDelivered)}
    return Counter(
        (entry.message, canonical(entry.addressee))
        for entry in evidence.mailboxes.get(node, ())
        if entry.name not in named
    )
