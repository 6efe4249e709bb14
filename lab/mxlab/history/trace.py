"""The nodes' event streams, merged as they arrive, with what conditions and checks count by.

`add` costs the same however long the trace is, and so does every question about a batch. A line
that a stream lost shows as a gap: `seq` counts from 0 at each start of a node.
"""

from bisect import insort
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from heapq import merge
from itertools import zip_longest

from mxlab_services import events
from mxlab_services.address import canonical
from mxlab_services.events import Bounced, Event
from mxlab_services.message import NO_MESSAGE_ID

LAB = "lab"  # the name under which the runner's own events stand


@dataclass(frozen=True, slots=True)
class Gap:
    """Events of `node` between `after` and `before` (sequence numbers) never arrived."""

    node: str
    after: int
    before: int

    def __str__(self) -> str:
        return f"{self.node}: events {self.after + 1} to {self.before - 1} are missing"


@dataclass(slots=True)
class MessageFate:
    """What is known of one message so far. `queued`: node -> the queue ids it has there;
    `reasons`: recipient that bounced -> the status code and the reply in the notification;
    `members`: of each alias that was expanded. `handed_in`: the batch with which a program tried to
    hand it in, whether or not it was taken."""

    recipients: tuple[str, ...] = ()
    batch: str | None = None
    queued: dict[str, set[str]] = field(default_factory=dict)
    delivered: set[str] = field(default_factory=set)
    bounced: set[str] = field(default_factory=set)
    reasons: dict[str, tuple[str, str]] = field(default_factory=dict)
    deferred: bool = False
    retries: list[float] = field(default_factory=list)
    members: dict[str, frozenset[str]] = field(default_factory=dict)
    handed_in: str | None = None

    def final(self) -> set[str]:
        """For whom it is to be delivered: the members in the place of their aliases."""
        found: set[str] = set()
        left = list(self.recipients)
        while left:
            name = left.pop()
            if name not in found:
                found.add(name)
                left += self.members.get(name, ())
        return {n for n in found if n not in self.members or n in self.members[n]}


@dataclass(slots=True)
class Batch:
    """Counters of one batch. `queued`: node -> how many of its messages wait there; `waiting`: how
    many wait anywhere; `deferred`: for how many an attempt was made in vain; `untried`: node -> how
    many of the others wait there; `delivered` and `bounced` count pairs of message and recipient.
    `retries`: when each attempt after the first of a message began, in order."""

    messages: int = 0
    units: int = 0
    queued: Counter[str] = field(default_factory=Counter)
    waiting: int = 0
    deferred: int = 0
    untried: Counter[str] = field(default_factory=Counter)
    delivered: int = 0
    bounced: int = 0
    retries: list[float] = field(default_factory=list)


class Trace:
    """All events of a run, by node in the order written."""

    def __init__(self) -> None:
        self.by_node: dict[str, list[Event]] = {}
        self.gaps: list[Gap] = []
        self.damage: dict[str, str] = {}  # node -> why its stream could not be read to the end
        self.batches: dict[str, Batch] = {}
        self.fates: dict[str, MessageFate] = defaultdict(MessageFate)
        self.queued: Counter[str] = Counter()  # node -> messages in its queue
        self.mailboxes: dict[str, Counter[str]] = defaultdict(
            Counter
        )  # address -> node -> messages
        self.struck: Counter[str] = Counter()  # fault's id -> how often it struck
        self.dead: dict[str, set[str]] = defaultdict(set)  # node -> destinations dead to it
        self.changes: list[Event] = []  # of settings
        self.hosts: dict[str, str] = {}  # address -> the node whose own it is
        self._taken: dict[str, str] = {}  # queue id -> the message that was accepted as that
        self._nameless: dict[str, str] = {}  # such a message -> its queue id at the next host
        self._last: dict[str, int] = {}
        self._by_message: dict[str, list[Event]] = defaultdict(list)

    def __len__(self) -> int:
        return sum(len(stream) for stream in self.by_node.values())

    def add(self, event: Event) -> None:
        """Take the next event of its node."""
        self.by_node.setdefault(event.node, []).append(event)
        last = self._last.get(event.node, -1)
        if event.seq not in (0, last + 1):
            self.gaps.append(Gap(event.node, last, event.seq))
        self._last[event.node] = event.seq
        if event.message is not None:
            self._by_message[event.message].append(event)
        self._count(event)

    def add_batch(self, name: str, messages: Iterable[tuple[str, Iterable[str]]]) -> None:
        """Count from now on, and as of now, by this batch of (message, its recipients)."""
        batch = self.batches.setdefault(name, Batch())
        for message, recipients in messages:
            fate = self.fates[message]
            fate.recipients, fate.batch = tuple(dict.fromkeys(map(canonical, recipients))), name
            batch.messages += 1
            batch.units += len(fate.recipients)
            batch.queued.update(fate.queued.keys())
            batch.waiting += bool(fate.queued)
            batch.deferred += fate.deferred
            batch.untried.update(() if fate.deferred else fate.queued.keys())
            batch.delivered += len(fate.delivered & set(fate.recipients))
            batch.bounced += len(fate.bounced & set(fate.recipients))
            batch.retries = sorted(batch.retries + fate.retries)

    def events(self) -> list[Event]:
        """All events by lab time; each node's stay in the order written."""
        return list(merge(*self.by_node.values(), key=lambda event: event.at))

    def of_message(self, message: str) -> list[Event]:
        """The events that name the message, and those of notifications about it, by time."""
        return sorted(self._by_message.get(message, ()), key=lambda event: event.at)

    def name_of(self, message: str) -> str:
        """The message's name, by the host that took it where the one that told of it first had not
        read it: a product's notification may leave before it is looked at."""
        return self._taken.get(self._nameless.get(message, ""), message)

    def messages(self) -> list[str]:
        """Every message that any event names, in order of appearance."""
        return list(self._by_message)

    def emitted(self, node: str) -> int:
        """How many events the node's present life has written, by its last sequence number."""
        return self._last.get(node, -1) + 1

    def waiting(self) -> dict[str, int]:
        """Node -> how many messages its queue holds, where it holds any."""
        return {name: count for name, count in self.queued.items() if count}

    def _count(self, event: Event) -> None:
        message, node = event.message, event.node
        match event.body:
            case events.Accepted(queue_id=queue_id, digest=digest) if message is not None:
                self._entered(self.fates[message], node, queue_id)
                self._taken[queue_id] = message
                if not digest and message.endswith(NO_MESSAGE_ID):
                    self._nameless[message] = ""
            case events.Outcome(remote_id=remote_id) if message in self._nameless and remote_id:
                self._nameless[message] = remote_id
            case events.Removed(queue_id=queue_id) if message is not None:
                self._left(self.fates[message], node, queue_id)
            case events.Expanded(recipient=recipient, members=members) if message is not None:
                whole = frozenset(map(canonical, members))
                self.fates[message].members[canonical(recipient)] = whole
            case events.MailboxDelivered(recipient=recipient) if message is not None:
                self.mailboxes[event.body.mailbox or canonical(recipient)][node] += 1
                self._reached(self.fates[message], recipient)
            case events.Bounced(about=about, action="failed") as bounce:
                self._by_message[about].append(event)
                self._failed(self.fates[about], bounce)
            case events.Bounced(about=about):
                self._by_message[about].append(event)
            case events.AttemptStarted(attempt=attempt) if message is not None and attempt > 1:
                self._again(self.fates[message], event.at)
            case events.HandedIn(batch=batch) if message is not None:
                self.fates[message].handed_in = batch or None
            case events.Deferred() if message is not None:
                self._in_vain(self.fates[message])
            case events.FaultStruck(fault=fault):
                self.struck[fault] += 1
            case events.DestinationDead(domain=domain):
                self.dead[node].add(domain)
            case events.DestinationAlive(domain=domain):
                self.dead[node].discard(domain)
            case events.NodeReady(queued=queued, addresses=addresses):
                self.hosts.update(dict.fromkeys(addresses, node))
                self.dead[node].clear()  # what is dead is remembered in memory only
                if not queued:  # a crash may have taken the last words of the life before
                    self._emptied(node)
            case events.NodeErased():
                self._begun_anew(event)
            case events.ConfigChanged():
                self.changes.append(event)
            case events.SpoolDamaged(lost=lost):
                for queue_id in lost:
                    self._lost(node, queue_id)
            case _:
                pass

    def _entered(self, fate: MessageFate, node: str, queue_id: str) -> None:
        here = fate.queued.get(node)
        if here is None:
            if batch := self._batch(fate):
                batch.waiting += not fate.queued
                batch.queued[node] += 1
                batch.untried[node] += not fate.deferred
            here = fate.queued[node] = set()
        if queue_id not in here:
            here.add(queue_id)
            self.queued[node] += 1

    def _left(self, fate: MessageFate, node: str, queue_id: str) -> None:
        here = fate.queued.get(node, set())
        if queue_id not in here:
            return
        here.remove(queue_id)
        self.queued[node] -= 1
        if not here:
            del fate.queued[node]
            if batch := self._batch(fate):
                batch.queued[node] -= 1
                batch.untried[node] -= not fate.deferred
                batch.waiting -= not fate.queued

    def _emptied(self, node: str) -> None:
        for fate in self.fates.values():
            for queue_id in list(fate.queued.get(node, ())):
                self._left(fate, node, queue_id)

    def _begun_anew(self, erased: Event) -> None:
        """Forget what the node told before its data were erased, but for the fates of messages."""
        told, node = self.by_node[erased.node], erased.node
        self.struck.subtract(e.body.fault for e in told if isinstance(e.body, events.FaultStruck))
        self.by_node[node] = [erased]
        self.changes = [event for event in self.changes if event.node != node]
        self._emptied(node)
        for counts in self.mailboxes.values():
            counts.pop(node, None)

    def _lost(self, node: str, queue_id: str) -> None:
        for fate in self.fates.values():
            if queue_id in fate.queued.get(node, ()):
                self._left(fate, node, queue_id)
                return

    def _reached(self, fate: MessageFate, recipient: str) -> None:
        for name in _and_aliases(canonical(recipient), fate.delivered, fate.members):
            fate.delivered.add(name)
            if (batch := self._batch(fate)) and name in fate.recipients:
                batch.delivered += 1

    def _failed(self, fate: MessageFate, bounce: Bounced) -> None:
        reasons = zip_longest(bounce.recipients, bounce.status, bounce.replies, fillvalue="")
        for recipient, status, reply in reasons:
            name = canonical(recipient)
            if status or reply:
                fate.reasons[name] = status, reply
            for done in _and_aliases(name, fate.bounced, fate.members):
                fate.bounced.add(done)
                if name in fate.reasons:
                    fate.reasons.setdefault(done, fate.reasons[name])
                if (batch := self._batch(fate)) and done in fate.recipients:
                    batch.bounced += 1

    def _again(self, fate: MessageFate, at: float) -> None:
        fate.retries.append(at)
        if fate.batch is not None:
            insort(self.batches[fate.batch].retries, at)

    def _in_vain(self, fate: MessageFate) -> None:
        if not fate.deferred:
            fate.deferred = True
            if batch := self._batch(fate):
                batch.deferred += 1
                batch.untried.subtract(fate.queued.keys())

    def _batch(self, fate: MessageFate) -> Batch | None:
        return self.batches.get(fate.batch) if fate.batch is not None else None


def _and_aliases(
    name: str, done: Collection[str], members: Mapping[str, frozenset[str]]
) -> Iterator[str]:
    """`name`, if it is not `done` yet, and the aliases all of whose members are done with it. Each
    is to be added to `done` before the next is asked for."""
    if name in done:
        return
    yield name
    for alias, whole in members.items():
        if name in whole and all(member in done for member in whole):
            yield from _and_aliases(alias, done, members)
