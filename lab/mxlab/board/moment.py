"""What a recorded lab was like at one moment: lives, queues and faults, from the events so far."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping

from msgspec.structs import replace

from mxlab.backends.base import State
from mxlab.faults.open import OpenFault
from mxlab_services import events
from mxlab_services.address import canonical
from mxlab_services.control.replies import MailboxEntry, QueueEntry, QueueRecipient
from mxlab_services.events import Event
from mxlab_services.faults.base import Mechanism

_STATES: dict[str, State] = {"kill": "stopped", "stop": "stopped", "pause": "paused"}
QueueChange = Callable[[QueueEntry], QueueEntry]


class Moment:
    """The lab after the events so far. `mechanisms`: the faults of its story, by id."""

    def __init__(self, told: Iterable[Event], mechanisms: Mapping[str, Mechanism]) -> None:
        """`told`: all events of the run, which say what nodes there are."""
        self._mechanisms = mechanisms
        self.seen: Counter[str] = Counter()  # node -> how many of its events have been
        self.states: dict[str, State] = {}
        self.software: dict[str, str] = {}
        for event in told:  # before it says that it is ready, a node is not there
            ready = isinstance(event.body, events.NodeReady)
            self.states.setdefault(event.node, "stopped" if ready else "running")
        self._queues: dict[str, dict[str, QueueEntry]] = {}
        self._boxes: dict[str, list[MailboxEntry]] = {}
        self._faults: dict[str, OpenFault] = {}
        self._struck: Counter[str] = Counter()

    def queue(self, node: str) -> list[QueueEntry]:
        """What waits there, by queue id."""
        return sorted(self._queues.get(node, {}).values(), key=lambda entry: entry.queue_id)

    def mailbox(self, node: str, address: str | None) -> list[MailboxEntry]:
        """What was delivered to a mailbox there, or to all, oldest first."""
        wanted = None if address is None else canonical(address)
        return [one for one in self._boxes.get(node, ()) if wanted in (None, one.address)]

    @property
    def faults(self) -> list[OpenFault]:
        """What is broken; of what strikes, how often it has so far."""
        return [
            OpenFault(one.name, one.host, one.kind, one.parameters, self._struck.get(one.name))
            for one in self._faults.values()
        ]

    def add(self, event: Event) -> None:
        """Take the next event."""
        node, body = event.node, event.body
        self.seen[node] += 1
        match body:
            case events.NodeReady(queued=queued, software=software):
                self.states[node] = "running"
                self.software[node] = software
                if not queued:
                    self._queues.pop(node, None)
            case events.NodeStopping():
                self.states[node] = "stopped"
            case events.NodeErased():
                self._queues.pop(node, None)
                self._boxes.pop(node, None)
            case events.LabFault():
                self._broke(body)
            case events.LabHealed(id=name):
                self._healed(name)
            case events.FaultStruck(fault=name):
                self._struck[name] += 1
            case events.SpoolDamaged(lost=lost):
                for queue_id in lost:
                    self._queues.get(node, {}).pop(queue_id, None)
            case events.Accepted():
                self._queues.setdefault(node, {})[body.queue_id] = _entry(event, body)
            case events.Removed(queue_id=queue_id):
                self._queues.get(node, {}).pop(queue_id, None)
            case events.MailboxDelivered():
                waiting = self._queues.get(node, {}).get(body.queue_id)
                self._boxes.setdefault(node, []).append(_delivered(event, body, waiting))
                self._changed(node, body)
            case _:
                self._changed(node, body)

    def _changed(self, node: str, body: events.Body) -> None:
        """What an event changes in an entry of a queue, if it does."""
        if (found := _change(body)) is None:
            return
        queue, (queue_id, change) = self._queues.get(node, {}), found
        if queue_id in queue:
            queue[queue_id] = change(queue[queue_id])

    def _broke(self, fault: events.LabFault) -> None:
        mechanism = self._mechanisms.get(fault.id)
        given = {} if mechanism is None else mechanism.given()
        self._faults[fault.id] = OpenFault(fault.id, fault.node, fault.fault, given)
        self._struck.pop(fault.id, None)
        if fault.fault in _STATES:
            self.states[fault.node] = _STATES[fault.fault]

    def _healed(self, name: str) -> None:
        fault = self._faults.pop(name, None)
        if fault is not None and fault.kind in _STATES:  # it said that it is ready, or was frozen
            self.states[fault.host] = "running"


def _entry(event: Event, body: events.Accepted) -> QueueEntry:
    return QueueEntry(
        queue_name="incoming",
        queue_id=body.queue_id,
        arrival_time=int(event.at),
        message_size=body.size,
        sender=body.sender,
        recipients=[QueueRecipient(address) for address in body.recipients],
        message=event.message or "",
        digest=body.digest,
        attempts=0,
    )


def _delivered(
    event: Event, body: events.MailboxDelivered, waiting: QueueEntry | None
) -> MailboxEntry:
    return MailboxEntry(
        address=canonical(body.mailbox or body.recipient),
        name=body.name,
        message=event.message or "",
        digest=body.digest,
        size=waiting.message_size if waiting else 0,
        reverse_path=waiting.sender if waiting else "",
        subject="",
        delivered_at=event.at,
        recipient=body.recipient if body.mailbox else "",
    )


def _change(body: events.Body) -> tuple[str, QueueChange] | None:
    """Which entry an event changes, and how."""
    match body:
        case events.AttemptStarted(queue_id=queue_id, attempt=attempt):
            return queue_id, lambda entry: replace(entry, queue_name="active", attempts=attempt)
        case events.Deferred(queue_id=queue_id):
            return queue_id, lambda entry: _deferred(entry, body)
        case events.Outcome(queue_id=queue_id, recipient=recipient, outcome="delivered" | "failed"):
            return queue_id, lambda entry: _without(entry, recipient)
        case events.MailboxDelivered(queue_id=queue_id, recipient=recipient):
            return queue_id, lambda entry: _without(entry, recipient)
        case events.Expanded(queue_id=queue_id, recipient=recipient, members=members):
            added = [QueueRecipient(member) for member in members]
            return queue_id, lambda entry: replace(
                entry, recipients=[*_without(entry, recipient).recipients, *added]
            )
        case events.Edited(queue_id=queue_id, action="hold"):
            return queue_id, lambda entry: replace(entry, queue_name="hold", next_attempt=None)
        case events.Edited(queue_id=queue_id, action="release" | "requeue"):
            return queue_id, lambda entry: replace(entry, queue_name="incoming")
        case _:
            return None


def _without(entry: QueueEntry, recipient: str) -> QueueEntry:
    left = [one for one in entry.recipients if one.address != recipient]
    return replace(entry, recipients=left)


def _deferred(entry: QueueEntry, body: events.Deferred) -> QueueEntry:
    late = set(body.recipients)
    return replace(
        entry,
        queue_name="deferred",
        attempts=body.attempt,
        next_attempt=body.next_attempt,
        recipients=[
            QueueRecipient(one.address, body.reason) if one.address in late else one
            for one in entry.recipients
        ],
    )
