"""Whether mail was given up for good reason, and whether its sender was told (RFC 5321 §6.1). Pure.

Mail is given up for a permanent reason only: a host's 5yz, what DNS says for certain, or the end of
the message's lifetime. Each failure is told to the sender; nobody is told for a null sender.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mxlab.checks.mx_order import preferences
from mxlab.history.trace import Trace
from mxlab_services import events
from mxlab_services.events import Event
from mxlab_services.queue.retry import SCHEDULES

_TEMPORARY = ("servfail", "refused", "timeout")  # RFC 5321 §5.1: queue, never bounce
_SLACK = 1.0  # lab seconds: events bear the time at which they are told


@dataclass(slots=True)
class Failures:
    """`given_up`: recipients of whom a sender was told, or ought to be; `left`: recipients that
    left a queue. What was wrong, in words: `unjustified` failures, `untold` ones."""

    given_up: int = 0
    left: int = 0
    unjustified: list[str] = field(default_factory=list)
    untold: list[str] = field(default_factory=list)


@dataclass(slots=True)
class _Item:
    """One message in one queue: what was last said of each recipient, and whose end was told."""

    recipients: list[str]
    at: float
    said: dict[str, events.Outcome] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    expired: bool = False  # by an operator, who needs no reason


class _Judge:
    """One node's stream, event by event. Of the present attempt, by message: `unsure`, the names
    whose lookup failed for now, and `listed`, the exchanges and their preferences."""

    def __init__(
        self, name: str, senders: dict[str, str], lifetime: float, found: Failures
    ) -> None:
        self._name, self._senders, self._lifetime = name, senders, lifetime
        self._found = found
        self._items: dict[str, _Item] = {}
        self._unsure: dict[str, list[str]] = {}
        self._listed: dict[str, dict[str, int]] = {}

    def take(self, event: Event) -> None:
        message, items = event.message or "", self._items
        match event.body:
            case events.Accepted(queue_id=queue_id, recipients=recipients):
                items[queue_id] = _Item(recipients, event.at)
            case events.AttemptStarted():
                self._unsure.pop(message, None)
                self._listed.pop(message, None)
            case events.Lookup(name=name, status=status) if status in _TEMPORARY:
                self._unsure.setdefault(message, []).append(name)
            case events.Lookup(type="MX", answers=answers):
                self._listed[message] = preferences(answers)
            case events.Outcome(queue_id=queue_id) as outcome if queue_id in items:
                items[queue_id].said[outcome.recipient] = outcome
                if outcome.outcome == "delivered":
                    items[queue_id].told.add(outcome.recipient)
            case events.MailboxDelivered(queue_id=queue_id) as stored if queue_id in items:
                items[queue_id].told.add(stored.recipient)
            case events.Edited(queue_id=queue_id, action=action) if queue_id in items:
                items[queue_id].expired |= action == "expire"
                if action == "delete":
                    items.pop(queue_id)
            case events.Bounced(about_queue_id=queue_id, action="failed") as bounce:
                self._given_up(event, queue_id, bounce.recipients)
                self._addressed(bounce)
            case events.BounceSuppressed(queue_id=queue_id, recipients=recipients):
                self._given_up(event, queue_id, recipients)
                if self._senders.get(message):
                    self._untold(f"{message} failed, and its sender was not told")
            case events.Removed(queue_id=queue_id) if queue_id in items:
                self._removed(message, items.pop(queue_id))
            case _:
                pass

    def _given_up(self, event: Event, queue_id: str, recipients: list[str]) -> None:
        item = self._items.get(queue_id)
        for recipient in recipients:
            self._found.given_up += 1
            if item is not None:
                item.told.add(recipient)
                for why in self._unjustified(event, item, recipient):
                    text = f"{self._name}: {queue_id} for {recipient} was given up {why}"
                    self._found.unjustified.append(text)

    def _unjustified(self, event: Event, item: _Item, recipient: str) -> Iterator[str]:
        said = item.said.get(recipient)
        if item.expired or event.at >= item.at + self._lifetime - _SLACK:
            return
        if said is None or said.outcome != "failed" or not said.reply.startswith("5"):
            last = f"{said.outcome}, {said.reply}" if said else "nothing"
            yield f"after {event.at - item.at:.0f} s; last was heard: {last}"
        elif not said.host:
            about = event.body.about if isinstance(event.body, events.Bounced) else event.message
            for name in self._might_change_it(about or ""):
                yield f"although the lookup of {name} had only failed for now: {said.reply}"
                return

    def _might_change_it(self, message: str) -> Iterator[str]:
        """Names whose answer could have led elsewhere: not an exchange that this node, being one
        itself, must discard whatever its address (RFC 5321 §5.1)."""
        listed = self._listed.get(message, {})
        own = [rank for host, rank in listed.items() if host.partition(".")[0] == self._name]
        for name in self._unsure.get(message, ()):
            if not own or listed.get(name, -1) < min(own):
                yield name

    def _addressed(self, bounce: events.Bounced) -> None:
        sender = self._senders.get(bounce.about)
        if sender == "":
            self._untold(f"{bounce.about} has the null sender, yet {bounce.to} was notified")
        elif sender is not None and sender != bounce.to:
            self._untold(f"{bounce.about} is from {sender}, but {bounce.to} was notified")

    def _removed(self, message: str, item: _Item) -> None:
        self._found.left += len(item.recipients)
        for recipient in item.recipients:
            if recipient not in item.told:
                said = item.said.get(recipient)
                last = f"{said.outcome}, {said.reply}" if said else "nothing"
                self._untold(f"{message} for {recipient} left the queue untold; last: {last}")

    def _untold(self, text: str) -> None:
        self._found.untold.append(f"{self._name}: {text}")


def failures(trace: Trace, schedule_name: str) -> Failures:
    """All failures of all nodes; `schedule_name` gives the lifetime."""
    found, lifetime = Failures(), SCHEDULES[schedule_name].lifetime
    senders = {
        event.message: event.body.sender
        for stream in trace.by_node.values()
        for event in stream
        if event.message is not None and isinstance(event.body, events.Accepted)
    }
    for name, stream in trace.by_node.items():
        judge = _Judge(name, senders, lifetime, found)
        for event in stream:
            judge.take(event)
    return found
