"""Each condition, and the rule by which it is judged; here those that are of no batch.

While the story runs: by the trace's counters, in constant time, then by asking the nodes. A host
that is down or frozen cannot be asked what it holds: there the trace alone decides.
"""

from collections import Counter
from collections.abc import Collection, Iterable

from mxlab.backends.base import Lab
from mxlab.checks.batches import (
    BouncedRule,
    DeferredRule,
    DeliveredRule,
    QueueHolds,
    RetriesRule,
    kept_at,
)
from mxlab.checks.reasons import empty_queue, strikes
from mxlab.checks.result import Case, CheckResult
from mxlab.checks.rule import Rule
from mxlab.checks.seen import seen_rule
from mxlab.errors import NodeUnreachable
from mxlab.history.trace import MessageFate, Trace
from mxlab.model.condition import (
    AnyCondition,
    Attempted,
    Bounced,
    Deferred,
    Delivered,
    Mailbox,
    Notified,
    Queried,
    Queue,
    Replied,
    Retries,
    Struck,
)
from mxlab.model.topology import Topology
from mxlab_services.address import canonical
from mxlab_services.control.requests import MailboxList, Ping


def rule_of(condition: AnyCondition) -> Rule:
    """How that condition is judged."""
    match condition:
        case Queue(host=host, holds=str(batch)):
            return QueueHolds(batch, host)
        case Queue():
            return _QueueCount(condition)
        case Delivered(batch=batch):
            return DeliveredRule(batch)
        case Bounced():
            return BouncedRule(condition)
        case Deferred(batch=batch):
            return DeferredRule(batch)
        case Mailbox():
            return _MailboxRule(condition)
        case Retries():
            return RetriesRule(condition)
        case Struck():
            return _StruckRule(condition)
        case Replied() | Attempted() | Notified() | Queried():
            return seen_rule(condition)


class _QueueCount(Rule):
    def __init__(self, condition: Queue) -> None:
        self.condition, self.host = condition, condition.host

    def seems(self, trace: Trace) -> bool:
        return self.condition.fits(trace.queued[self.host])

    def observed(self, trace: Trace) -> str:
        return f"{self.host} holds {trace.queued[self.host]} messages"

    async def confirmed(self, trace: Trace, lab: Lab) -> bool:
        node = lab.nodes[self.host]
        if await node.state() != "running":
            return self.seems(trace)
        return self.condition.fits((await node.request(Ping())).queued)

    def in_the_end(self, case: Case) -> CheckResult:
        entries = case.evidence.queues.get(self.host)
        if entries is None:
            return CheckResult(0, (), "", "")
        text = f"{self.host} holds {len(entries)} messages"
        wrong = () if self.condition.fits(len(entries)) else (f"{text}: {self.condition}",)
        return CheckResult(1, wrong, text, text, whole=False)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return kept_at(self.host)

    def missing(self, fate: MessageFate) -> Collection[str]:
        return ("",) if self.host in fate.queued else ()

    def otherwise(self, trace: Trace) -> str:
        return empty_queue(trace, self.host)


class _MailboxRule(Rule):
    def __init__(self, condition: Mailbox) -> None:
        self.condition, self.address = condition, canonical(condition.address)

    def seems(self, trace: Trace) -> bool:
        return self.condition.fits(self._told(trace))

    def observed(self, trace: Trace) -> str:
        return self._words(self._told(trace))

    async def confirmed(self, trace: Trace, lab: Lab) -> bool:
        found = 0
        for name in (self.condition.host,) if self.condition.host else lab.nodes:
            if name in lab.topology.dns_hosts:
                continue
            try:
                found += len(await lab.nodes[name].request(MailboxList(self.condition.address)))
            except NodeUnreachable:
                found += self._by_node(trace)[name]
        return self.condition.fits(found)

    def in_the_end(self, case: Case) -> CheckResult:
        boxes = case.evidence.mailboxes
        count = sum(
            canonical(entry.address) == self.address
            for node, found in boxes.items()
            if self.condition.host in (None, node)
            for entry in found
        )
        text = self._words(count)
        wrong = () if self.condition.fits(count) else (f"{text}: {self.condition}",)
        return CheckResult(len(boxes), wrong, text, text)

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        hosts = (self.condition.host,) if self.condition.host else topology.mailbox_hosts
        return [(host, "mailbox.delivered") for host in hosts]

    def missing(self, fate: MessageFate) -> Collection[str]:
        waits = self.address in fate.recipients and self.address not in fate.delivered
        return (self.address,) if waits else ()

    def otherwise(self, trace: Trace) -> str:
        return f"no message for {self.condition.address} is on its way"

    def _words(self, count: int) -> str:
        return f"the mailbox of {self.condition.address} holds {count} messages"

    def _by_node(self, trace: Trace) -> Counter[str]:
        return trace.mailboxes.get(self.address, Counter())

    def _told(self, trace: Trace) -> int:
        """How many messages lie in it, by the events."""
        nodes, host = self._by_node(trace), self.condition.host
        return nodes[host] if host else nodes.total()


class _StruckRule(Rule):
    def __init__(self, condition: Struck) -> None:
        self.fault, self.count = condition.fault, condition.count

    def seems(self, trace: Trace) -> bool:
        return trace.struck[self.fault] >= self.count

    def observed(self, trace: Trace) -> str:
        return f"{self.fault} struck {trace.struck[self.fault]} times"

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        return [(host, "fault.struck") for host in topology.software]

    rests_on_in_the_end = rests_on

    def reasons(self, trace: Trace, now: float) -> list[str]:
        return [strikes(trace, self.fault, now)]
