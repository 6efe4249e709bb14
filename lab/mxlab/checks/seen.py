"""Conditions on what was seen: a reply, an attempt, a notification, a question to a name server.

Guarantee: each event is looked at once, however often it is asked; what is about another batch, or
was before a `never` began, is not counted. That there was none says something only where there was
something to look at: else UNKNOWN.

Long: one base, and a rule for each thing that is seen.
"""

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Generic, NamedTuple, TypeVar

from mxlab.checks.replies import last_of, replies_in
from mxlab.checks.result import Case, CheckResult
from mxlab.checks.rule import Rule
from mxlab.history.ledger import Unit
from mxlab.history.trace import Trace
from mxlab.model.condition import Attempted, Notified, Observed, Queried, Replied
from mxlab.model.replycode import code_fits, code_of
from mxlab.model.topology import Topology
from mxlab_services import events
from mxlab_services.address import canonical
from mxlab_services.domain import fold_domain
from mxlab_services.events import Event

SHOWN = 3  # of what was seen instead
C = TypeVar("C", bound=Observed)


class Sight(NamedTuple):
    """One thing that was looked at: whether it is one of those that are meant, and its words.
    `about`: the message that it is about, where the batch matters."""

    meant: bool
    words: str
    about: str | None = None


class SeenRule(Rule, Generic[C]):
    """Base of the rules that count in the events."""

    def __init__(self, condition: C, batch: str | None = None) -> None:
        self.condition = condition
        self._batch = batch
        self._read: Counter[str] = Counter()  # node -> how many of its events were looked at
        self._since = 0.0
        self._unplaced: list[Sight] = []  # about messages that are in no batch so far
        self._found = 0
        self._others: Counter[str] = Counter()  # the words of what is not meant
        self._members: set[str] | None = None  # the batch, where all of it is known

    @abstractmethod
    def sights(self, event: Event, trace: Trace) -> Iterator[Sight]:
        """What an event has to look at."""

    def found(self, trace: Trace) -> int:
        """How many were seen so far of those that are meant."""
        for node, stream in trace.by_node.items():
            for number in range(self._read[node], len(stream)):
                if stream[number].at >= self._since:
                    self._unplaced += self.sights(stream[number], trace)
            self._read[node] = len(stream)
        waiting, self._unplaced = self._unplaced, []
        for sight in waiting:
            self._place(sight, trace)
        return self._found

    def _place(self, sight: Sight, trace: Trace) -> None:
        if self._batch is not None:
            if self._members is not None:
                if sight.about not in self._members:
                    return
            elif (batch := _batch(trace, sight.about or "")) is None:
                self._unplaced.append(sight)
                return
            elif batch != self._batch:
                return
        if sight.meant:
            self._found += 1
        else:
            self._others[sight.words] += 1

    def begin(self, trace: Trace, now: float) -> None:
        self._since = now
        self._read.update({node: len(stream) for node, stream in trace.by_node.items()})

    def seems(self, trace: Trace) -> bool:
        return self.condition.fits(self.found(trace))

    def observed(self, trace: Trace) -> str:
        found = self.found(trace)
        most = [f"{words} ({count})" for words, count in self._others.most_common(SHOWN)]
        rest = len(self._others) - len(most)
        more = f", and {rest} others" if rest > 0 else ""
        times = "once" if found == 1 else f"{found} times" if found else "never"
        return f"seen {times}" + (f"; else {', '.join(most)}{more}" if most else "")

    def reasons(self, trace: Trace, now: float) -> list[str]:
        return [f"wanted: {self.condition}"]

    def in_the_end(self, case: Case) -> CheckResult:
        if self._batch is not None:
            sent = case.evidence.submissions
            self._members = {one.message for one in sent if one.batch == self._batch}
            fates = case.trace.fates.items()  # of what was refused, the events tell alone
            self._members |= {name for name, one in fates if one.handed_in == self._batch}
        found = self.found(case.trace)
        return self.judged(found, case.trace)

    def judged(self, found: int, trace: Trace) -> CheckResult:
        """What follows from so many. A gap in the evidence may hide one, but makes none."""
        text = self.observed(trace)
        fits, limit = self.condition.fits(found), self.condition.count
        too_many = limit is not None and found > limit
        looked_at = self._others.total() if not found and fits else 1
        wrong = () if fits else (f"{text}: {self.condition}",)
        return CheckResult(looked_at, wrong, text, text, whole=not too_many, certain=self.certain)

    @property
    def certain(self) -> bool:
        """More of what is not told makes it no less true."""
        return self.condition.count is None

    def rests_on_in_the_end(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return self.rests_on(topology)


def _batch(trace: Trace, message: str) -> str | None:
    """The batch of a message, also of one that was refused when it was handed in."""
    fate = trace.fates.get(message)
    return None if fate is None else fate.batch or fate.handed_in


def seen_rule(condition: Replied | Attempted | Notified | Queried) -> Rule:
    """How a condition on what was seen is judged."""
    match condition:
        case Replied():
            return _RepliedRule(condition, condition.batch)
        case Attempted():
            return _AttemptedRule(condition, condition.batch)
        case Notified():
            return _NotifiedRule(condition, condition.batch)
        case Queried():
            return _QueriedRule(condition)


def host_of(trace: Trace, name: str, address: str) -> str:
    """The node that was meant: the one with that address, else the one of that name."""
    return trace.hosts.get(address) or name.partition(".")[0]


class _AttemptedRule(SeenRule[Attempted]):
    """By what senders tell of each host that they tried. A host that was passed over was not."""

    def sights(self, event: Event, trace: Trace) -> Iterator[Sight]:
        body, by = event.body, self.condition.by
        if isinstance(body, events.Tried) and body.stage != "skipped" and by in (None, event.node):
            host = host_of(trace, body.host, body.address)
            meant = host == self.condition.host
            yield Sight(meant, f"{event.node} tried {host}", event.message)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        by = self.condition.by
        return [(host, "relay.tried") for host in _senders(topology, self.condition.host, by)]


def _senders(topology: Topology, to: str, by: str | None) -> list[str]:
    """Who may have spoken to a host: `by`, or any other that sends mail."""
    return [by] if by is not None else [host for host in topology.software if host != to]


class _RepliedRule(SeenRule[Replied]):
    """By the conversations that senders tell of. What senders outside the lab heard, and those
    whose software tells of no conversations, only the server tells: its refusals count where no
    sender in the lab has heard as many."""

    def __init__(self, condition: Replied, batch: str | None) -> None:
        super().__init__(condition, batch)
        self._told = _RefusedRule(condition) if batch is None else None
        # What a product's log told by a try: node, queue id, host, reply
        self._heard: set[tuple[str, str, str, str]] = set()

    def sights(self, event: Event, trace: Trace) -> Iterator[Sight]:
        body, wanted = event.body, self.condition
        match body:
            case (
                events.Tried(host=name, address=address)
                | events.HandedIn(host=name, address=address)
            ):
                host = host_of(trace, name, address)
            case events.Outcome(host=name) if event.source and name:
                if host_of(trace, name, "") == wanted.host and wanted.by in (None, event.node):
                    yield from self._in_the_log(event, body, trace)
                return
            case events.EtrnSent(host=name):
                host = host_of(trace, name, "")
            case _:
                return
        if host == wanted.host and wanted.by in (None, event.node):
            heard = replies_in(body.dialog)
            if isinstance(body, events.Tried) and not body.dialog:
                heard = last_of(body)
                self._heard.add((event.node, body.queue_id, name, body.reply))
            for verb, reply in heard:
                if wanted.verb in (None, verb):
                    meant = code_fits(wanted.code, reply)
                    yield Sight(meant, f"{host} to {verb}: {code_of(reply)}", event.message)

    def _in_the_log(self, event: Event, said: events.Outcome, trace: Trace) -> Iterator[Sight]:
        """What a product's log has of a refusal; to which verb, the server tells."""
        wanted = self.condition
        by_the_try = (event.node, said.queue_id, said.host, said.reply) in self._heard
        if by_the_try or said.outcome == "delivered" or not said.reply[:3].isdecimal():
            return
        verbs = {
            one.body.verb
            for one in trace.by_node.get(wanted.host, ())
            if isinstance(one.body, events.Refused)
            and trace.hosts.get(one.body.peer) == event.node
            and one.body.recipient in (None, said.recipient)
            and code_of(one.body.reply) == code_of(said.reply)
        }
        meant = code_fits(wanted.code, said.reply) and wanted.verb in (None, *verbs)
        verb = "/".join(sorted(verbs)) or "some verb"
        yield Sight(meant, f"{wanted.host} to {verb}: {code_of(said.reply)}", event.message)

    def found(self, trace: Trace) -> int:
        heard = super().found(trace)
        return heard if self._told is None else max(heard, self._told.found(trace))

    def observed(self, trace: Trace) -> str:
        told = self._told
        if told is not None and told.found(trace) > super().found(trace):
            return told.observed(trace)
        return super().observed(trace)

    def begin(self, trace: Trace, now: float) -> None:
        super().begin(trace, now)
        if self._told is not None:
            self._told.begin(trace, now)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        wanted = self.condition
        if wanted.verb == "AUTH":  # only a program that hands mail in says it
            return ()
        hosts = _senders(topology, wanted.host, wanted.by)
        if str(wanted.code)[0] not in "45":
            return [(host, "relay.tried.dialog") for host in hosts]
        return [(wanted.host, "smtp.refused"), *((host, "relay.outcome") for host in hosts)]


class _RefusedRule(SeenRule[Replied]):
    """What the server itself tells of the replies with which it refused."""

    def sights(self, event: Event, trace: Trace) -> Iterator[Sight]:
        body, wanted = event.body, self.condition
        if isinstance(body, events.Refused) and event.node == wanted.host:
            if wanted.by is not None and trace.hosts.get(body.peer) != wanted.by:
                return
            meant = wanted.verb in (None, body.verb) and code_fits(wanted.code, body.reply)
            yield Sight(meant, f"{wanted.host} to {body.verb}: {code_of(body.reply)}")


class _NotifiedRule(SeenRule[Notified]):
    """By the notifications that were sent, of which each counts once it lies in the mailbox: the
    one node says that it sent it, the other that it has it."""

    def __init__(self, condition: Notified, batch: str | None) -> None:
        super().__init__(condition, batch)
        self._address = canonical(condition.address)
        self._sent: list[tuple[str, str]] = []  # those that are meant: message, whom it is about

    def sights(self, event: Event, trace: Trace) -> Iterator[Sight]:
        body, wanted = event.body, self.condition
        if not isinstance(body, events.Bounced) or canonical(body.to) != self._address:
            return
        texts = (*body.status, *body.replies)
        code = wanted.code is None or code_fits(wanted.code, *texts)
        if meant := body.action == wanted.kind and code:
            self._sent.append((event.message or "", body.about))
        why = f" with {', '.join(dict.fromkeys(body.status))}" if body.status else ""
        yield Sight(meant, f"{body.to} is told {body.action}{why}", body.about)

    def found(self, trace: Trace) -> int:
        super().found(trace)
        return sum(
            self._address in fate.delivered
            for message in self._of_batch(trace)
            if (fate := trace.fates.get(message)) is not None
        )

    def in_the_end(self, case: Case) -> CheckResult:
        super().in_the_end(case)
        units = case.ledger.units
        found = sum(
            units.get((message, self._address), Unit(message, "")).deliveries > 0
            for message in self._of_batch(case.trace)
        )
        result = self.judged(found, case.trace)
        if found or result.wrong:
            return result
        # That nobody was notified says something where something was sent.
        asked = self._members if self._members is not None else case.evidence.submissions
        return CheckResult(len(asked), (), result.good, result.bad)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return [(host, "bounce.sent") for host in topology.software]

    def _of_batch(self, trace: Trace) -> Iterator[str]:
        """The notifications that are meant, about messages of the batch."""
        for message, about in self._sent:
            if self._members is not None:
                placed = about in self._members
            else:
                fate = trace.fates.get(about)
                placed = self._batch is None or (fate is not None and fate.batch == self._batch)
            if placed:
                yield trace.name_of(message)


class _QueriedRule(SeenRule[Queried]):
    """By what the name servers tell. Who asked is known by the address."""

    def __init__(self, condition: Queried) -> None:
        super().__init__(condition)
        self._name = fold_domain(condition.name.rstrip("."))

    def sights(self, event: Event, trace: Trace) -> Iterator[Sight]:
        body, wanted = event.body, self.condition
        if not isinstance(body, events.DnsQuery) or wanted.server not in (None, event.node):
            return
        who = trace.hosts.get(body.peer)
        if wanted.by is not None and who != wanted.by:
            return
        name = fold_domain(body.name.rstrip("."))
        meant = name == self._name and wanted.type in (None, body.type)
        yield Sight(meant, f"{who or body.peer} asked {event.node} for {name} {body.type}")
