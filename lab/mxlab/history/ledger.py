"""What became of every message and recipient, from evidence on both sides. Pure.

The unit is (message, recipient). A unit is owed once anybody said 250 to it: an MTA's durable
acceptance, or the client's own record. Owed and found nowhere is lost; found and never sent is
forged; each copy beyond the first needs an acknowledgement that is on record as lost.
"""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Literal

from mxlab.history.evidence import Evidence
from mxlab.history.trace import Trace
from mxlab_services import events
from mxlab_services.address import canonical
from mxlab_services.control.replies import MailboxEntry, QueueEntry
from mxlab_services.events import Event

State = Literal["delivered", "queued", "bounced", "deleted", "refused", "lost"]
Key = tuple[str, str]  # message, canonical recipient


@dataclass(slots=True)
class Unit:
    """One message for one recipient, with all that bears on it.

    `owed`: who said 250, and when. `copies`: what lies in mailboxes (node, entry). `queued`: the
    nodes in whose queue it is. `bounced`: how its sender was told, or why not; `notices`: the
    notifications, which are messages themselves. `unknowns`: lost acknowledgements, in words, each
    of which may explain one extra copy.
    """

    message: str
    recipient: str
    owed: list[str] = field(default_factory=list)
    copies: list[tuple[str, MailboxEntry]] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    bounced: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    deleted: bool = False
    unknowns: list[str] = field(default_factory=list)

    @property
    def state(self) -> State:
        """The one thing that became of it; a delivered copy counts before all else."""
        if self.copies:
            return "delivered"
        if self.queued:
            return "queued"
        if self.bounced:
            return "bounced"
        if self.deleted:
            return "deleted"
        return "lost" if self.owed else "refused"

    def __str__(self) -> str:
        return f"{self.message} for {self.recipient}"


@dataclass(frozen=True, slots=True)
class Alteration:
    """A message whose content below the trace fields is not what its sender gave."""

    message: str
    node: str
    where: str


@dataclass(frozen=True, slots=True)
class Ledger:
    """The accounts. `gaps` says in words what is missing from the evidence: with any of it, what
    was not found may exist nevertheless."""

    units: dict[Key, Unit]
    forged: tuple[str, ...]
    altered: tuple[Alteration, ...]
    compared: int  # digests that were compared with their origin's
    gaps: tuple[str, ...]


def make_ledger(trace: Trace, evidence: Evidence) -> Ledger:
    """Account for everything that the trace or the evidence names."""
    return _Maker(trace, evidence).ledger()


class _Maker:
    def __init__(self, trace: Trace, evidence: Evidence) -> None:
        self._trace, self._evidence = trace, evidence
        self._units: dict[Key, Unit] = {}
        self._digests: dict[str, str] = {}  # message -> digest at its origin
        self._envelopes: dict[str, set[str]] = defaultdict(set)  # message -> recipients at origin
        self._queue_ids: dict[tuple[str, str], list[Key]] = {}  # (node, queue id) -> units
        self._events = trace.events()

    def ledger(self) -> Ledger:
        self._origins()
        for event in self._events:
            self._event(event)
        for node, stream in self._trace.by_node.items():
            self._interrupted(node, stream)
        self._record()
        forged = self._mailboxes()
        self._queues()
        altered, compared = self._alterations()
        return Ledger(self._units, tuple(forged), tuple(altered), compared, self._gaps())

    def _unit(self, message: str, recipient: str) -> Unit:
        key = (message, canonical(recipient))
        if key not in self._units:
            self._units[key] = Unit(*key)
        return self._units[key]

    def _origins(self) -> None:
        """The envelope and digest of each message where it came into being: at the client, or,
        for what did not come from there, at the first MTA that accepted it."""
        client = self._evidence.topology.client
        accepted: dict[str, list[tuple[str, events.Accepted]]] = defaultdict(list)
        for event in self._events:
            if isinstance(event.body, events.Accepted) and event.message is not None:
                accepted[event.message].append((event.node, event.body))
        for message, found in accepted.items():
            here = [body for node, body in found if node == client and not body.peer]
            first = here[0] if here else found[0][1]
            self._digests[message] = first.digest
            self._envelopes[message] = {canonical(r) for r in first.recipients}
        for sent in self._evidence.submissions:
            self._digests[sent.message] = sent.digest
            self._envelopes[sent.message] = {canonical(r) for r in sent.recipients}
            for recipient in sent.recipients:
                self._unit(sent.message, recipient).owed.append("the client's submission")

    def _event(self, event: Event) -> None:
        message, node = event.message, event.node
        if message is None:
            return
        match event.body:
            case events.Accepted(queue_id=queue_id, recipients=recipients):
                keys = []
                for recipient in recipients:
                    self._unit(message, recipient).owed.append(f"{node} as {queue_id}")
                    keys.append((message, canonical(recipient)))
                self._queue_ids[node, queue_id] = keys
            case events.Outcome(recipient=recipient, outcome="unknown", host=host):
                text = f"{node} sent it to {host} and never read the reply to the final dot"
                self._unit(message, recipient).unknowns.append(text)
            case events.Bounced(about=about, recipients=recipients, action="failed"):
                for recipient in recipients:
                    self._unit(about, recipient).bounced.append(f"notification {message}")
                    self._unit(about, recipient).notices.append(message)
            case events.BounceSuppressed(recipients=recipients, reason=reason):
                for recipient in recipients:
                    self._unit(message, recipient).bounced.append(f"no notification: {reason}")
            case events.Edited(queue_id=queue_id, action="delete"):
                for key in self._queue_ids.get((node, queue_id), ()):
                    self._units[key].deleted = True
            case _:
                pass

    def _interrupted(self, node: str, stream: list[Event]) -> None:
        """A node that died within an attempt may have handed a copy on and forgotten it."""
        attempts: dict[str, tuple[str, list[str]]] = {}  # queue id -> message, recipients
        for event in stream:
            if event.seq == 0:
                self._cut_short(node, attempts)
            match event.body:
                case events.AttemptStarted(queue_id=queue_id, recipients=recipients):
                    attempts[queue_id] = (event.message or "", recipients)
                case events.Deferred(queue_id=queue_id) | events.Removed(queue_id=queue_id):
                    attempts.pop(queue_id, None)
                case _:
                    pass

    def _cut_short(self, node: str, attempts: dict[str, tuple[str, list[str]]]) -> None:
        for queue_id, (message, recipients) in attempts.items():
            text = f"{node} died while it tried {queue_id}, before it recorded the outcome"
            for recipient in recipients:
                self._unit(message, recipient).unknowns.append(text)
        attempts.clear()

    def _record(self) -> None:
        """The client's own record. Its unknowns also stand in the trace, unless that lost them:
        they explain what the trace's do not."""
        client = self._evidence.topology.client
        unknown: dict[Key, list[str]] = defaultdict(list)
        for entry in self._evidence.record:
            unit = self._unit(entry.message, entry.recipient)
            if entry.outcome == "acked":
                unit.owed.append(f"{entry.host}: {entry.reply}")
            elif entry.outcome in ("unknown", "invoked"):
                text = f"the client's record of {entry.host} ends without a reply"
                unknown[entry.message, canonical(entry.recipient)].append(text)
        for key, texts in unknown.items():
            known = sum(text.startswith(f"{client} ") for text in self._units[key].unknowns)
            self._units[key].unknowns += texts[known:]

    def _mailboxes(self) -> list[str]:
        forged = []
        for node, entries in self._evidence.mailboxes.items():
            for entry in entries:
                envelope = self._envelopes.get(entry.message)
                if envelope is None:
                    forged.append(f"{entry.message} in {entry.address} at {node}: nobody sent it")
                elif canonical(entry.address) not in envelope:
                    text = f"{entry.message} in {entry.address} at {node}: not to that recipient"
                    forged.append(text)
                else:
                    self._unit(entry.message, entry.address).copies.append((node, entry))
        return forged

    def _queues(self) -> None:
        for node, entries in self._evidence.queues.items():
            for entry in entries:
                for recipient in entry.recipients:
                    self._unit(entry.message, recipient.address).queued.append(node)

    def _alterations(self) -> tuple[list[Alteration], int]:
        seen: list[tuple[str, str, str, str]] = []  # message, digest, node, where
        for event in self._events:
            if isinstance(event.body, events.Accepted) and event.message is not None:
                seen.append((event.message, event.body.digest, event.node, "when accepted"))
        held: list[tuple[str, MailboxEntry | QueueEntry, str]] = [
            (node, entry, f"in the mailbox of {entry.address}")
            for node, entries in self._evidence.mailboxes.items()
            for entry in entries
        ]
        held += [
            (node, entry, f"in the queue as {entry.queue_id}")
            for node, waiting in self._evidence.queues.items()
            for entry in waiting
        ]
        seen += [(entry.message, entry.digest, node, where) for node, entry, where in held]
        known = [item for item in seen if item[0] in self._digests]
        altered = [
            Alteration(message, node, where)
            for message, digest, node, where in known
            if digest != self._digests[message]
        ]
        return altered, len(known)

    def _gaps(self) -> tuple[str, ...]:
        trace, evidence = self._trace, self._evidence
        damage = [f"{node}: {problem}" for node, problem in trace.damage.items()]
        missing = [f"{node} could not be asked: {why}" for node, why in evidence.missing.items()]
        return (*map(str, trace.gaps), *damage, *missing)
