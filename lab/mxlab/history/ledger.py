"""What became of every message and recipient, from evidence on both sides. Pure.

The unit is (message, recipient). A unit is owed once anybody said 250 to it: an MTA's durable
acceptance, or a client's own record. Owed and found nowhere is lost; found and never sent is
forged; each copy beyond the first needs an acknowledgement that is on record as lost.

A message for an alias is owed to each of its members once a node has expanded it: that unit has
come to its end then, and its members are units of their own. Who they are says the topology, not
the node. An address with a tag is a recipient of its own, in somebody's mailbox.

Long: one account; each kind of loss, copy and forgery is told from the others by the same tables.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Literal

from mxlab.history.aliases import Aliases
from mxlab.history.cut_off import cut_off
from mxlab.history.evidence import Evidence
from mxlab.history.trace import Trace
from mxlab.history.whole import made_whole
from mxlab_services import events
from mxlab_services.address import canonical, domain_of
from mxlab_services.control.replies import MailboxEntry, QueueEntry, RecordEntry
from mxlab_services.events import Event
from mxlab_services.storage.maildir import is_own

State = Literal[
    "delivered", "expunged", "queued", "bounced", "deleted", "expanded", "refused", "lost"
]  # fmt: skip
Key = tuple[str, str]  # message, canonical recipient
# Those that run at a node: queue id -> domain -> message, recipients.
_Attempts = dict[str, dict[str, tuple[str, list[str]]]]


@dataclass(slots=True)
class Unit:
    """One message for one recipient, with all that bears on it.

    `owed`: who said 250, and when. `copies`: what lies in mailboxes (node, entry). `queued`: the
    nodes in whose queue it is. `expunged`: copies that were delivered, and that a mail program took
    away. `bounced`: how its sender was told, or why not; `notices`: the
    notifications, which are messages themselves. `unknowns`: lost acknowledgements, in words, each
    of which may explain one extra copy. `members`: of an alias that was expanded, who has it now;
    `ways`: how often it may have come by itself, since several of its recipients lead there.
    """

    message: str
    recipient: str
    owed: list[str] = field(default_factory=list)
    copies: list[tuple[str, MailboxEntry]] = field(default_factory=list)
    queued: list[str] = field(default_factory=list)
    expunged: list[str] = field(default_factory=list)
    bounced: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)
    deleted: bool = False
    unknowns: list[str] = field(default_factory=list)
    members: set[str] = field(default_factory=set)
    ways: int = 1

    @property
    def state(self) -> State:
        """The one thing that became of it; a delivered copy counts before all else."""
        if self.copies:
            return "delivered"
        if self.expunged:
            return "expunged"
        if self.queued:
            return "queued"
        if self.bounced:
            return "bounced"
        if self.deleted:
            return "deleted"
        if self.members and self.recipient not in self.members:
            return "expanded"
        return "lost" if self.owed else "refused"

    @property
    def deliveries(self) -> int:
        """How often it was delivered, wherever the copies are now."""
        return len(self.copies) + len(self.expunged)

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
    uncompared: int = 0  # those that were not told

    def final(self, message: str, recipient: str) -> Iterator[Unit]:
        """The unit, or in the place of an alias that was expanded those of its members."""
        seen: set[str] = set()
        left = [recipient]
        while left:
            if (name := left.pop()) in seen:
                continue
            seen.add(name)
            unit = self.units[message, name]
            left += sorted(unit.members, reverse=True)
            if not unit.members or name in unit.members:
                yield unit


def make_ledger(trace: Trace, evidence: Evidence) -> Ledger:
    """Account for everything that the trace or the evidence names."""
    return _Maker(made_whole(trace, evidence.topology), evidence).ledger()


class _Maker:
    def __init__(self, trace: Trace, evidence: Evidence) -> None:
        self._trace, self._evidence = trace, evidence
        self._units: dict[Key, Unit] = {}
        self._digests: dict[str, str] = {}  # message -> digest at its origin
        self._envelopes: dict[str, set[str]] = defaultdict(set)  # message -> recipients at origin
        self._queue_ids: dict[tuple[str, str], list[Key]] = {}  # (node, queue id) -> units
        self._aliases = Aliases(evidence.topology)
        self._events = trace.events()

    def ledger(self) -> Ledger:
        self._origins()
        self._untold()
        self._aliases.follow(self._events, self._envelopes)
        for event in self._events:
            self._event(event)
        for node, stream in self._trace.by_node.items():
            self._interrupted(node, stream)
        for copy in cut_off(self._trace, self._evidence):
            self._unit(copy.message, copy.recipient).unknowns.append(copy.text)
        self._record()
        forged = self._mailboxes()
        self._expunged()
        self._queues()
        self._inherit()
        altered, compared, untold = self._alterations()
        return Ledger(self._units, tuple(forged), tuple(altered), compared, self._gaps(), untold)

    def _unit(self, message: str, recipient: str) -> Unit:
        key = (message, canonical(recipient))
        if key not in self._units:
            self._units[key] = Unit(*key)
        return self._units[key]

    def _origins(self) -> None:
        """The envelope and digest of each message where it came into being: at a client, or,
        for what did not come from there, at the first MTA that accepted it."""
        clients = self._evidence.topology.sender_domains
        accepted: dict[str, list[tuple[str, events.Accepted]]] = defaultdict(list)
        for event in self._events:
            if isinstance(event.body, events.Accepted) and event.message is not None:
                accepted[event.message].append((event.node, event.body))
        for message, found in accepted.items():
            here = [body for node, body in found if node in clients and not body.peer]
            every = [*here, *(body for _, body in found)]
            first = every[0]
            self._digests[message] = next((one.digest for one in every if one.digest), "")
            self._envelopes[message] = {canonical(r) for r in first.recipients}
        # A program may not know whether the last recipients of a message were taken.
        handed_in: dict[str, set[str]] = defaultdict(set)
        own = f"{self._evidence.topology.client}.{self._evidence.topology.client_domain}"
        for entry in self._evidence.record:
            if entry.host == own:
                handed_in[entry.message].add(canonical(entry.recipient))
        for sent in self._evidence.submissions:
            self._digests[sent.message] = sent.digest or self._digests.get(sent.message, "")
            self._envelopes[sent.message] = {canonical(r) for r in sent.recipients}
            self._envelopes[sent.message] |= handed_in[sent.message]
            for recipient in sent.recipients:
                self._unit(sent.message, recipient).owed.append("the client's submission")

    def _untold(self) -> None:
        """Messages that a host had made and stored, and not told of, when it died: its attempts at
        them tell, after that."""
        known = set(self._envelopes)
        for node, stream in self._trace.by_node.items():
            last: events.Body | None = None
            died = False
            for event in stream:
                died |= event.seq == 0 and not isinstance(last, events.NodeStopping | None)
                last, message = event.body, event.message
                if not died or message is None or message in known:
                    continue
                if isinstance(last, events.AttemptStarted):
                    for recipient in last.recipients:
                        text = f"{node} as {last.queue_id}, which it told after it had died"
                        self._unit(message, recipient).owed.append(text)
                        self._envelopes[message].add(canonical(recipient))

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
            case events.Expanded(queue_id=queue_id, recipient=recipient):
                alias = self._unit(message, recipient)
                alias.owed.append(f"{node} as {queue_id}")
                for member in self._aliases.members(node, recipient):
                    alias.members.add(canonical(member))
                    text = f"{node} as {queue_id}, for {recipient}"
                    self._unit(message, member).owed.append(text)
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
        attempts: _Attempts = {}
        for event in stream:
            if event.seq == 0:
                self._cut_short(node, attempts)
            match event.body:
                case events.AttemptStarted(queue_id=queue_id, domain=domain) as begun:
                    running = attempts.setdefault(queue_id, {})
                    running[domain] = (event.message or "", begun.recipients)
                case events.Deferred(queue_id=queue_id, recipients=[recipient, *_]):
                    attempts.get(queue_id, {}).pop(domain_of(recipient), None)
                case events.Removed(queue_id=queue_id):
                    attempts.pop(queue_id, None)
                case _:
                    pass

    def _cut_short(self, node: str, attempts: _Attempts) -> None:
        for queue_id, running in attempts.items():
            text = f"{node} died while it tried {queue_id}, before it recorded the outcome"
            for message, recipients in running.values():
                for recipient in recipients:
                    self._unit(message, recipient).unknowns.append(text)
        attempts.clear()

    def _record(self) -> None:
        """The clients' own records. Their unknowns also stand in the trace, unless that lost them:
        they explain what the trace's do not."""
        for client, entries in self._evidence.every_record.items():
            self._record_of(client, entries)

    def _record_of(self, client: str, entries: Iterable[RecordEntry]) -> None:
        unknown: dict[Key, list[str]] = defaultdict(list)
        for entry in entries:
            unit = self._unit(entry.message, entry.recipient)
            if entry.outcome == "acked":
                unit.owed.append(f"{entry.host}: {entry.reply}")
            elif entry.outcome in ("unknown", "invoked"):
                text = f"{client}'s record of {entry.host} ends without a reply"
                unknown[entry.message, canonical(entry.recipient)].append(text)
        for key, texts in unknown.items():
            known = sum(text.startswith(f"{client} ") for text in self._units[key].unknowns)
            self._units[key].unknowns += texts[known:]

    def _mailboxes(self) -> list[str]:
        forged = []
        for node, entries in self._evidence.mailboxes.items():
            for entry in entries:
                if self._is_a_readers(entry):
                    continue
                envelope = self._envelopes.get(entry.message)
                if envelope is None:
                    forged.append(f"{entry.message} in {entry.address} at {node}: nobody sent it")
                elif canonical(entry.addressee) not in envelope or self._aliases.mailbox(
                    node, entry.addressee
                ) != canonical(entry.address):
                    text = f"{entry.message} in {entry.address} at {node}: not to that recipient"
                    forged.append(text)
                else:
                    self._unit(entry.message, entry.addressee).copies.append((node, entry))
        return forged

    def _inherit(self) -> None:
        """What a member has by its aliases: their lost acknowledgements, and further ways."""
        inherited: list[tuple[Unit, str]] = []
        for (message, recipient), unit in self._units.items():
            unit.ways = self._aliases.ways(message, recipient)
            for alias in self._aliases.leading_to(message, recipient):
                source = self._units[message, alias]
                inherited += [(unit, f"{text}, for {alias}") for text in source.unknowns]
        for unit, text in inherited:
            unit.unknowns.append(text)

    def _is_a_readers(self, entry: MailboxEntry) -> bool:
        """Whether a mail program put it there: a copy, a draft, what was moved back."""
        return self._evidence.topology.imap and not is_own(entry.name)

    def _expunged(self) -> None:
        """What readers took away: of a unit at most as many copies as its primary told that it
        delivered, and as do not lie there any more."""
        if not self._evidence.expunged:
            return
        told = Counter(
            (event.node, event.message, canonical(event.body.recipient))
            for event in self._events
            if isinstance(event.body, events.MailboxDelivered)
        )
        for unit in self._units.values():
            for node, _ in unit.copies:
                told[node, unit.message, unit.recipient] -= 1
        for taken in self._evidence.expunged:
            who = canonical(taken.mailbox)
            for (node, message, recipient), gone in told.items():
                at_home = (node, self._aliases.mailbox(node, recipient)) == (taken.node, who)
                if gone > 0 and at_home and message is not None and taken.is_of(message):
                    self._unit(message, recipient).expunged.append(str(taken))
                    told[node, message, recipient] -= 1
                    break

    def _queues(self) -> None:
        for node, entries in self._evidence.queues.items():
            for entry in entries:
                for recipient in entry.recipients:
                    self._unit(entry.message, recipient.address).queued.append(node)

    def _alterations(self) -> tuple[list[Alteration], int, int]:
        """What was altered, how many digests were compared, and how many not: not told."""
        seen: list[tuple[str, str, str, str]] = []  # message, digest, node, where
        for event in self._events:
            if isinstance(event.body, events.Accepted) and event.message is not None:
                seen.append((event.message, event.body.digest, event.node, "when accepted"))
        held: list[tuple[str, MailboxEntry | QueueEntry, str]] = [
            (node, entry, f"in the mailbox of {entry.address}")
            for node, entries in self._evidence.mailboxes.items()
            for entry in entries
            if not self._is_a_readers(entry)
        ]
        held += [
            (node, entry, f"in the queue as {entry.queue_id}")
            for node, waiting in self._evidence.queues.items()
            for entry in waiting
        ]
        seen += [(entry.message, entry.digest, node, where) for node, entry, where in held]
        known = [item for item in seen if item[0] in self._digests]
        told = [item for item in known if item[1] and self._digests[item[0]]]
        altered = [
            Alteration(message, node, where)
            for message, digest, node, where in told
            if digest != self._digests[message]
        ]
        return altered, len(told), len(known) - len(told)

    def _gaps(self) -> tuple[str, ...]:
        trace, evidence = self._trace, self._evidence
        damage = [f"{node}: {problem}" for node, problem in trace.damage.items()]
        missing = [f"{node} could not be asked: {why}" for node, why in evidence.missing.items()]
        return (*map(str, trace.gaps), *damage, *missing)
