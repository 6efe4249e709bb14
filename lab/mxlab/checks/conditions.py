"""Whether a condition holds: by the trace's counters, in constant time, then by asking the nodes.

A host that is down or frozen cannot be asked what it holds: there the trace alone decides.
"""

from collections import Counter
from collections.abc import Sequence

from mxlab.backends.base import Lab
from mxlab.errors import NodeUnreachable
from mxlab.history.evidence import queue_of
from mxlab.history.trace import Batch, Trace
from mxlab.model.condition import (
    AnyCondition,
    Bounced,
    Deferred,
    Delivered,
    Mailbox,
    Queue,
    Retries,
    Struck,
)
from mxlab_services.address import canonical
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.control.requests import MailboxList, Ping
from mxlab_services.events import MailboxDelivered


def seems(condition: AnyCondition, trace: Trace) -> bool:
    """Whether it holds by the events so far."""
    match condition:
        case Queue(host=host, holds=str(name)):
            batch = _batch(trace, name)
            return batch.messages > 0 and batch.queued[host] == batch.messages
        case Queue(host=host, count=count):
            return trace.queued[host] == count
        case Delivered(batch=name):
            batch = _batch(trace, name)
            return batch.units > 0 and batch.delivered == batch.units
        case Bounced(batch=name):
            batch = _batch(trace, name)
            return batch.units > 0 and batch.bounced == batch.units
        case Deferred(batch=name):
            return _deferred(_batch(trace, name), trace)
        case Mailbox():
            return condition.fits(_in_mailbox(condition, trace))
        case Retries(batch=name, count=count, seconds=seconds):
            return rush(_batch(trace, name).retries, seconds) >= count
        case Struck(fault=fault, count=int(count)):
            return trace.struck[fault] >= count


def observed(condition: AnyCondition, trace: Trace) -> str:
    """What the events say instead, in a few words."""
    match condition:
        case Queue(host=host, holds=str(name)):
            batch = _batch(trace, name)
            elsewhere = ", ".join(f"{n} at {h}" for h, n in sorted(batch.queued.items()) if n)
            rest = f"; queued: {elsewhere}" if elsewhere else ""
            return f"{host} holds {batch.queued[host]} of {batch.messages}{rest}"
        case Queue(host=host):
            return f"{host} holds {trace.queued[host]} messages"
        case Delivered(batch=name):
            batch = _batch(trace, name)
            return f"{batch.delivered} of {batch.units} delivered"
        case Bounced(batch=name):
            batch = _batch(trace, name)
            return f"{batch.bounced} of {batch.units} bounced"
        case Deferred(batch=name):
            batch = _batch(trace, name)
            tried = f"{batch.deferred} tried in vain"
            return f"{batch.waiting} of {batch.messages} wait in a queue, {tried}"
        case Mailbox(address=address):
            return f"the mailbox of {address} holds {_in_mailbox(condition, trace)} messages"
        case Retries(batch=name, seconds=seconds):
            return told(_batch(trace, name).retries, seconds)
        case Struck(fault=fault):
            return f"{fault} struck {trace.struck[fault]} times"


async def confirmed(condition: AnyCondition, trace: Trace, lab: Lab) -> bool:
    """Whether the nodes say so too."""
    match condition:
        case Queue(host=host, holds=str(name)):
            wanted = _messages(trace, name)
            node = lab.nodes[host]
            if await node.state() != "running":
                return seems(condition, trace)
            return bool(wanted) and wanted <= {entry.message async for entry in queue_of(node)}
        case Queue(host=host, count=count):
            node = lab.nodes[host]
            if await node.state() != "running":
                return seems(condition, trace)
            return (await node.request(Ping())).queued == count
        case Delivered(batch=name):
            return await _all_delivered(trace, lab, name)
        case Bounced() | Deferred() | Retries() | Struck():
            return seems(condition, trace)
        case Mailbox():
            return condition.fits(await _lying_in(condition, trace, lab))


async def holds(condition: AnyCondition, trace: Trace, lab: Lab) -> bool:
    """Whether it holds by the events, and the nodes confirm it."""
    return seems(condition, trace) and await confirmed(condition, trace, lab)


async def _all_delivered(trace: Trace, lab: Lab, batch: str) -> bool:
    wanted = {
        (message, recipient)
        for message in _messages(trace, batch)
        for recipient in trace.fates[message].recipients
    }
    if not wanted:
        return False
    found: set[tuple[str, str]] = set()
    for name, node in lab.nodes.items():
        if name == lab.topology.dns:
            continue
        try:
            entries: list[MailboxEntry] = await node.request(MailboxList())
        except NodeUnreachable:  # what it was told to keep it keeps: the events say what that is
            found |= _told(trace, name)
        else:
            found |= {(entry.message, canonical(entry.address)) for entry in entries}
    return wanted <= found


def _in_mailbox(condition: Mailbox, trace: Trace) -> int:
    """How many messages lie in the mailbox, by the events."""
    nodes = trace.mailboxes.get(canonical(condition.address), Counter[str]())
    return nodes.get(condition.host, 0) if condition.host else sum(nodes.values())


async def _lying_in(condition: Mailbox, trace: Trace, lab: Lab) -> int:
    found = 0
    for name in (condition.host,) if condition.host else lab.nodes:
        if name == lab.topology.dns:
            continue
        try:
            found += len(await lab.nodes[name].request(MailboxList(condition.address)))
        except NodeUnreachable:
            by_node = trace.mailboxes.get(canonical(condition.address), Counter[str]())
            found += by_node[name]
    return found


def _told(trace: Trace, node: str) -> set[tuple[str, str]]:
    return {
        (event.message, canonical(event.body.recipient))
        for event in trace.by_node.get(node, ())
        if event.message is not None and isinstance(event.body, MailboxDelivered)
    }


def _deferred(batch: Batch, trace: Trace) -> bool:
    if not batch.messages or batch.waiting < batch.messages or not batch.deferred:
        return False
    holders = [node for node, count in batch.queued.items() if count]
    return batch.deferred == batch.messages or all(trace.dead[node] for node in holders)


def rush(times: Sequence[float], seconds: float) -> int:
    """The most of `times`, which are in order, within so many seconds of each other."""
    most = first = 0
    for last, at in enumerate(times):
        while times[first] < at - seconds:
            first += 1
        most = max(most, last - first + 1)
    return most


def told(retries: Sequence[float], seconds: float) -> str:
    """How much they come in a rush, in words."""
    most = rush(retries, seconds)
    return f"of {len(retries)} retries at most {most} begin within {seconds:g} s"


def _messages(trace: Trace, batch: str) -> set[str]:
    return {message for message, fate in trace.fates.items() if fate.batch == batch}


def _batch(trace: Trace, name: str) -> Batch:
    return trace.batches.get(name) or Batch()
