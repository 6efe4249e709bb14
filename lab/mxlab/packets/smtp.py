"""The conversations of a record: who talked with whom, when, and what was said."""

import re
from typing import NamedTuple

from mxlab.history.trace import Trace
from mxlab.packets.addresses import LabAddresses
from mxlab_services import events
from mxlab_services.events import Event, OpenedConnection

TLS = re.compile(r"C: <(TLSv[\d.]+) with (.+), certificate verified>")
_SUBMISSION, _SUBMISSIONS = 587, 465


class ToldConversation(NamedTuple):
    """One that a sender told of. Times are of the lab, in seconds."""

    node: str
    begin: float
    end: float
    address: str
    who: str
    dialog: list[str]
    times: list[float]
    connections: list[OpenedConnection]
    port: int


def conversations(trace: Trace, scale: float, addresses: LabAddresses) -> list[ToldConversation]:
    """All of them, by their beginning. `scale`: lab seconds in a real one."""
    found = [
        told
        for event in trace.events()
        if (told := _told(event, scale, addresses)) is not None and told.dialog
    ]
    return sorted(found, key=lambda told: told.begin)


def untold(trace: Trace) -> int:
    """How many tries are known only from a product's log: who was tried, and not what was said."""
    return sum(
        isinstance(event.body, events.Tried)
        and not event.body.dialog
        and event.body.stage != "skipped"
        for event in trace.events()
    )


def _told(event: Event, scale: float, addresses: LabAddresses) -> ToldConversation | None:
    body, message = event.body, event.message or ""
    match body:
        case events.Tried(address=address, queue_id=queue_id):
            who = f"message {message}, queue id {queue_id}, to {body.host}"
            seconds, port = body.seconds, addresses.mail_port(address)
        case events.HandedIn(address=address, user=user):
            who = f"message {message}, handed in by {user or 'nobody'}, try {body.attempt}"
            at_once = bool(body.dialog and TLS.fullmatch(body.dialog[0]))
            seconds, port = body.seconds, _SUBMISSIONS if at_once else _SUBMISSION
        case events.EtrnSent(address=address, domain=domain) if address:
            who = f"asks {body.host} for what waits for {domain}"
            seconds = body.times[-1] if body.times else 0.0
            port = addresses.mail_port(address)
        case _:
            return None
    begin, times = event.at - seconds * scale, [one * scale for one in body.times]
    if len(times) != len(body.dialog):  # an old recording: between begin and end, evenly
        count = len(body.dialog) + 1
        times = [seconds * scale * number / count for number in range(1, count)]
    return ToldConversation(
        event.node, begin, event.at, address, who, body.dialog, times, body.connections, port
    )
