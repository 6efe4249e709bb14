"""Whether mail was given up for good reason, and whether its sender was told (RFC 5321 §6.1). Pure.

Mail is given up for a permanent reason only: a host's 5yz, what DNS says for certain, or the end of
the message's lifetime. Each failure is told to the sender, unless it asked for silence (RFC 3461
§4.1); nobody is told for a null sender.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from mxlab.checks.mx_order import preferences
from mxlab.checks.retrying import Retrying
from mxlab.history.trace import Trace
from mxlab.model.topology import Topology
from mxlab.plan.retries import retry_config
from mxlab_services import events
from mxlab_services.address import domain_of
from mxlab_services.events import Event

_TEMPORARY = ("servfail", "refused", "timeout")  # RFC 5321 §5.1: queue, never bounce
# Events bear the time at which they are told, and a clock that runs fast makes much of a moment.
_SLACK, _SLACK_SHARE = 1.0, 0.01  # lab seconds; of a lifetime


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
    silent: list[str]  # recipients of whom the sender wants to hear nothing
    said: dict[str, events.Outcome] = field(default_factory=dict)
    told: set[str] = field(default_factory=set)
    expired: bool = False  # by an operator, who needs no reason


class _Judge:
    """One node's stream, event by event. By message: when the last attempt at each domain was
    `begun` (the number of the event), `unsure`, the names whose lookup failed for now, and when it
    did, and `listed`, the exchanges of each domain and their preferences. Of a product, whose
    lookups are known from the name servers, it is only known what they last said: `answers`."""

    def __init__(
        self, name: str, senders: dict[str, str], retrying: Retrying, found: Failures
    ) -> None:
        self._name, self._senders, self._retrying = name, senders, retrying
        self._found = found
        self._items: dict[str, _Item] = {}
        self._begun: dict[str, dict[str, int]] = {}
        self._unsure: dict[str, dict[str, int]] = {}
        self._listed: dict[str, dict[str, dict[str, int]]] = {}
        self._answers: dict[tuple[str, str], str] = {}  # name and type -> status
        self._gone: dict[str, tuple[str, _Item]] = {}  # message and item: of its end we may hear

    def take(self, event: Event) -> None:
        message, items = event.message or "", self._items
        self._retrying.take(event)
        match event.body:
            case events.Accepted(queue_id=queue_id) as accepted:
                items[queue_id] = _Item(accepted.recipients, event.at, accepted.silent)
            case events.AttemptStarted(domain=domain):
                self._begun.setdefault(message, {})[domain] = event.seq
                self._listed.get(message, {}).pop(domain, None)
            case events.Lookup() as lookup if event.message is None:
                self._answered(lookup)
            case events.Lookup(name=name, status=status) if status in _TEMPORARY:
                self._unsure.setdefault(message, {})[name] = event.seq
            case events.Lookup(name=name, type="MX", answers=answers):
                self._listed.setdefault(message, {})[name] = preferences(answers)
            case events.NodeReady():
                self._answers.clear()
                self._begun.clear()
                self._unsure.clear()
                self._listed.clear()
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
                self._unwanted(bounce)
            case events.BounceSuppressed(queue_id=queue_id, recipients=recipients):
                self._given_up(event, queue_id, recipients)
                silent = items[queue_id].silent if queue_id in items else []
                if self._senders.get(message) and not set(recipients) <= set(silent):
                    self._untold(f"{message} failed, and its sender was not told")
            case events.Removed(queue_id=queue_id) if queue_id in items:
                item = items.pop(queue_id)
                if event.source == "log":  # whose lines may tell of the notification after that
                    self._gone[queue_id] = message, item
                elif event.source != "queue":  # else it went while its node was down, unseen
                    self._removed(message, item)
            case _:
                pass

    def end(self) -> None:
        """There are no more events."""
        for message, item in self._gone.values():
            self._removed(message, item)

    def _item(self, queue_id: str) -> _Item | None:
        """What is known of a message in the queue, or lately there."""
        return self._items.get(queue_id) or self._gone.get(queue_id, ("", None))[1]

    def _answered(self, lookup: events.Lookup) -> None:
        """A name server's last word to a product."""
        self._answers[lookup.name, lookup.type] = lookup.status
        if lookup.type == "MX" and lookup.status not in _TEMPORARY:
            self._listed.setdefault("", {})[lookup.name] = preferences(lookup.answers)

    def _given_up(self, event: Event, queue_id: str, recipients: list[str]) -> None:
        item = self._item(queue_id)
        for recipient in recipients:
            self._found.given_up += 1
            if item is not None:
                item.told.add(recipient)
                for why in self._unjustified(event, item, recipient):
                    text = f"{self._name}: {queue_id} for {recipient} was given up {why}"
                    self._found.unjustified.append(text)

    def _unjustified(self, event: Event, item: _Item, recipient: str) -> Iterator[str]:
        said = item.said.get(recipient)
        lifetime = min(one.lifetime for one in self._retrying.schedules(event.at - _SLACK))
        slack = max(_SLACK, lifetime * _SLACK_SHARE)
        if item.expired or event.at >= item.at + lifetime - slack:
            return
        permanent = said is not None and said.outcome == "failed"
        if said is None or not (permanent and self._is_final(said, domain_of(recipient))):
            last = f"{said.outcome}, {said.reply}" if said else "nothing"
            yield f"after {event.at - item.at:.0f} s; last was heard: {last}"
        elif not said.host:
            about = event.body.about if isinstance(event.body, events.Bounced) else event.message
            for name in self._might_change_it(about or "", domain_of(recipient)):
                yield f"although the lookup of {name} had only failed for now: {said.reply}"
                return

    def _is_final(self, said: events.Outcome, domain: str) -> bool:
        """Whether that is a permanent reason: a 5yz; or, of a product that gives no code to what it
        found out by itself, what the name servers told it for certain: there is no such domain, no
        address of any of its exchanges, or no better exchange than this host."""
        if said.host or said.reply[:1].isdigit() or not self._answers:
            return said.reply.startswith("5")
        listed = self._listed.get("", {}).get(domain, {})
        if any(
            host.partition(".")[0] == self._name and rank == min(listed.values())
            for host, rank in listed.items()
        ):
            return True
        sure = ("nodata", "nxdomain")
        if not listed and self._answers.get((domain, "MX")) not in sure:
            return False
        return all(
            self._answers.get((name, kind), sure[0]) in sure
            for name in listed or (domain,)
            for kind in ("A", "AAAA")
        )

    def _might_change_it(self, message: str, domain: str) -> Iterator[str]:
        """Names whose answer could have led elsewhere: none that an attempt at another of the
        message's domains asked for, and no exchange that this node, being one itself, must discard
        whatever its address (RFC 5321 §5.1)."""
        names = {domain, *self._listed.get("", {}).get(domain, ())}
        yield from sorted(
            {
                name
                for (name, _), status in self._answers.items()
                if status in _TEMPORARY and name in names
            }
        )
        of_domains, begun = self._listed.get(message, {}), self._begun.get(message, {})
        listed = of_domains.get(domain, {})
        others = begun.keys() - {domain}
        others |= {host for one in others for host in of_domains.get(one, ())}
        own = [rank for host, rank in listed.items() if host.partition(".")[0] == self._name]
        for name, seq in self._unsure.get(message, {}).items():
            foreign = name in others and name not in (domain, *listed)
            late = seq >= begun.get(domain, 0)
            if late and not foreign and (not own or listed.get(name, -1) < min(own)):
                yield name

    def _addressed(self, bounce: events.Bounced) -> None:
        sender = self._senders.get(bounce.about)
        if sender == "":
            self._untold(f"{bounce.about} has the null sender, yet {bounce.to} was notified")
        elif sender is not None and sender != bounce.to:
            self._untold(f"{bounce.about} is from {sender}, but {bounce.to} was notified")

    def _unwanted(self, bounce: events.Bounced) -> None:
        item = self._item(bounce.about_queue_id)
        silent = [] if item is None else item.silent
        for recipient in bounce.recipients:
            if recipient in silent:
                text = f"{bounce.about} for {recipient} failed, and its sender was told unasked"
                self._untold(f"{text} (NOTIFY)")

    def _removed(self, message: str, item: _Item) -> None:
        self._found.left += len(item.recipients)
        for recipient in item.recipients:
            if recipient not in item.told:
                said = item.said.get(recipient)
                last = f"{said.outcome}, {said.reply}" if said else "nothing"
                self._untold(f"{message} for {recipient} left the queue untold; last: {last}")

    def _untold(self, text: str) -> None:
        self._found.untold.append(f"{self._name}: {text}")


def failures(trace: Trace, topology: Topology) -> Failures:
    """All failures of all nodes, each by the lifetime that it gives its mail."""
    found = Failures()
    senders = {
        event.message: event.body.sender
        for stream in trace.by_node.values()
        for event in stream
        if event.message is not None and isinstance(event.body, events.Accepted)
    }
    for name, stream in trace.by_node.items():
        judge = _Judge(name, senders, Retrying(retry_config(topology, name)), found)
        for event in stream:
            judge.take(event)
        judge.end()
    return found
