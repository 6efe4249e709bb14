"""The conditions on each message of a batch, and how they are judged."""

from abc import abstractmethod
from collections.abc import Collection, Iterable, Sequence

from mxlab.backends.base import Lab
from mxlab.checks.result import Case, CheckResult, submitted
from mxlab.checks.rule import Rule
from mxlab.errors import NodeUnreachable
from mxlab.history.evidence import queue_of
from mxlab.history.ledger import Unit
from mxlab.history.trace import Batch, MessageFate, Trace
from mxlab.model.condition import Bounced, Retries
from mxlab.model.replycode import code_fits
from mxlab.model.topology import Topology
from mxlab_services.address import canonical
from mxlab_services.control.requests import MailboxList
from mxlab_services.events import MailboxDelivered


class OfBatch(Rule):
    """Base of the rules for each message of a batch. `word`: what each is to be."""

    word = ""

    def __init__(self, batch: str) -> None:
        self.batch = batch

    def counts(self, trace: Trace) -> Batch:
        return trace.batches.get(self.batch) or Batch()

    def messages(self, trace: Trace) -> set[str]:
        return {message for message, fate in trace.fates.items() if fate.batch == self.batch}

    @abstractmethod
    def good(self, unit: Unit) -> bool:
        """Whether a message and recipient are as wanted in the end."""

    @abstractmethod
    def lacking(self, fate: MessageFate) -> Collection[str]:
        """As `missing`, of a message of the batch."""

    def in_the_end(self, case: Case) -> CheckResult:
        return submitted(case, self.word, self.good, self.batch)

    def missing(self, fate: MessageFate) -> Collection[str]:
        return self.lacking(fate) if fate.batch == self.batch else ()


class QueueHolds(OfBatch):
    def __init__(self, batch: str, host: str) -> None:
        super().__init__(batch)
        self.host, self.word = host, f"queued at {host}"

    def seems(self, trace: Trace) -> bool:
        batch = self.counts(trace)
        return batch.messages > 0 and batch.queued[self.host] == batch.messages

    def observed(self, trace: Trace) -> str:
        batch = self.counts(trace)
        elsewhere = ", ".join(f"{n} at {h}" for h, n in sorted(batch.queued.items()) if n)
        rest = f"; queued: {elsewhere}" if elsewhere else ""
        return f"{self.host} holds {batch.queued[self.host]} of {batch.messages}{rest}"

    async def confirmed(self, trace: Trace, lab: Lab) -> bool:
        node = lab.nodes[self.host]
        if await node.state() != "running":
            return self.seems(trace)
        wanted = self.messages(trace)
        return bool(wanted) and wanted <= {entry.message async for entry in queue_of(node)}

    def good(self, unit: Unit) -> bool:
        return self.host in unit.queued

    def lacking(self, fate: MessageFate) -> Collection[str]:
        return () if self.host in fate.queued else ("",)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return kept_at(self.host)


class DeliveredRule(OfBatch):
    word = "delivered"

    def seems(self, trace: Trace) -> bool:
        batch = self.counts(trace)
        return batch.units > 0 and batch.delivered == batch.units

    def observed(self, trace: Trace) -> str:
        batch = self.counts(trace)
        return f"{batch.delivered} of {batch.units} delivered"

    async def confirmed(self, trace: Trace, lab: Lab) -> bool:
        wanted = {
            (message, recipient)
            for message in self.messages(trace)
            for recipient in trace.fates[message].final()
        }
        found: set[tuple[str, str]] = set()
        for name, node in lab.nodes.items():
            if wanted and name not in lab.topology.dns_hosts:
                try:
                    entries = await node.request(MailboxList())
                except NodeUnreachable:  # what it was told to keep it keeps: the events say what
                    found |= _kept(trace, name)
                else:
                    found |= {(entry.message, canonical(entry.addressee)) for entry in entries}
                    if lab.topology.imap:  # a reader may have taken it away since
                        found |= _kept(trace, name)
        return bool(wanted) and wanted <= found

    def good(self, unit: Unit) -> bool:
        return unit.deliveries > 0

    def lacking(self, fate: MessageFate) -> Collection[str]:
        return [who for who in fate.recipients if who not in fate.delivered]

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return [(host, "mailbox.delivered") for host in topology.mailbox_hosts]


class BouncedRule(OfBatch):
    def __init__(self, condition: Bounced) -> None:
        super().__init__(condition.batch)
        self.code = condition.code
        self.word = "bounced" + (f" with {self.code}" if self.code is not None else "")

    def seems(self, trace: Trace) -> bool:
        batch = self.counts(trace)
        if not batch.units or batch.bounced < batch.units:
            return False
        return self.code is None or not self._otherwise(trace)

    def observed(self, trace: Trace) -> str:
        batch, others = self.counts(trace), self._otherwise(trace)
        why = f"; {len(others)} for another reason: {others[0]}" if others else ""
        return f"{batch.bounced} of {batch.units} bounced{why}"

    def in_the_end(self, case: Case) -> CheckResult:
        def good(unit: Unit) -> bool:
            fate = case.trace.fates.get(unit.message, MessageFate())
            return self.good(unit) and self._fits(fate, unit.recipient)

        return submitted(case, self.word, good, self.batch)

    def _fits(self, fate: MessageFate, recipient: str) -> bool:
        """Whether it bounced for the reason that is wanted."""
        return self.code is None or code_fits(self.code, *fate.reasons.get(recipient, ()))

    def _otherwise(self, trace: Trace) -> list[str]:
        """What was told where it was not the reason that is wanted."""
        return [
            " ".join(fate.reasons.get(who, ())) or "no code was told"
            for message in (self.messages(trace) if self.code is not None else ())
            for fate in (trace.fates[message],)
            for who in sorted(fate.bounced)
            if not self._fits(fate, who)
        ]

    def good(self, unit: Unit) -> bool:
        return bool(unit.bounced)

    def lacking(self, fate: MessageFate) -> Collection[str]:
        return [who for who in fate.recipients if who not in fate.bounced]

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return [(host, "bounce.sent") for host in topology.software]

    rests_on_in_the_end = rests_on


class DeferredRule(OfBatch):
    word = "queued"

    def seems(self, trace: Trace) -> bool:
        batch = self.counts(trace)
        if not batch.messages or batch.waiting < batch.messages or not batch.deferred:
            return False
        return all(trace.dead[node] for node, count in batch.untried.items() if count)

    def observed(self, trace: Trace) -> str:
        batch = self.counts(trace)
        tried = f"{batch.deferred} tried in vain"
        return f"{batch.waiting} of {batch.messages} wait in a queue, {tried}"

    def good(self, unit: Unit) -> bool:
        return bool(unit.queued)

    def lacking(self, fate: MessageFate) -> Collection[str]:
        return () if fate.queued and fate.deferred else ("",)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        kinds = ("queue.deferred", "destination.dead")
        return [(host, kind) for kind in kinds for host in topology.software]


class RetriesRule(OfBatch):
    def __init__(self, condition: Retries) -> None:
        super().__init__(condition.batch)
        self.count, self.seconds = condition.count, condition.seconds

    def seems(self, trace: Trace) -> bool:
        return rush(self.counts(trace).retries, self.seconds) >= self.count

    def observed(self, trace: Trace) -> str:
        return self._words(self.counts(trace).retries)

    def in_the_end(self, case: Case) -> CheckResult:
        sent = [one.message for one in case.evidence.submissions if one.batch == self.batch]
        times = sorted(at for message in sent for at in case.trace.fates[message].retries)
        text = self._words(times)
        reached = rush(times, self.seconds) >= self.count
        return CheckResult(len(times), () if reached else (text,), text, text)

    def good(self, unit: Unit) -> bool:
        return True

    def lacking(self, fate: MessageFate) -> Collection[str]:
        return ("",)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return [(host, "attempt.started") for host in topology.software]

    rests_on_in_the_end = rests_on

    def _words(self, times: Sequence[float]) -> str:
        most = rush(times, self.seconds)
        return f"of {len(times)} retries at most {most} begin within {self.seconds:g} s"


def rush(times: Sequence[float], seconds: float) -> int:
    """The most of `times`, which are in order, within so many seconds of each other."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] < at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def kept_at(host: str) -> list[tuple[str, str]]:
    """What tells of a host's queue while it cannot be asked."""
    return [(host, "message.accepted"), (host, "queue.removed")]


def _kept(trace: Trace, node: str) -> set[tuple[str, str]]:
    """What a node said that it put into mailboxes: message and recipient."""
    return {
        (event.message, canonical(event.body.recipient))
        for event in trace.by_node.get(node, ())
        if event.message is not None and isinstance(event.body, MailboxDelivered)
    }
