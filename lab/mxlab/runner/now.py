"""A lab that is up, judged as it is now: all that happened in it, by hand or by other programs.

Events and evidence are of one moment: both are read again while mail is on its way.
"""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass

import msgspec

from mxlab.backends.base import Lab, Node
from mxlab.backends.real.remains import source_of
from mxlab.checks.judge import judge
from mxlab.checks.registry import CHECKS
from mxlab.errors import UnknownName
from mxlab.history.evidence import Evidence, SentMessage, collect
from mxlab.history.ledger import Unit, make_ledger
from mxlab.history.trace import Trace
from mxlab.model.condition import AnyCondition
from mxlab.model.finding import Finding
from mxlab.model.topology import Topology
from mxlab_services import events
from mxlab_services.events import Event

PROMISES = (
    "nothing-lost",
    "nothing-forged",
    "nothing-altered",
    "duplicates-explained",
    "mx-order",
    "retry-spacing",
    "bounces-justified",
    "failures-notified",
    "no-expired-answers",
)  # what holds in every lab at any time, whatever is broken there
TRIES = 5  # to read all of it between two movements of mail


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found. `units`: each message for each recipient; `moving`: mail was on its way at
    each try, so what was read is of no one moment."""

    findings: tuple[Finding, ...]
    units: tuple[Unit, ...]
    moving: bool


async def inspect(lab: Lab, expect: Sequence[str | AnyCondition] = ()) -> Inspection:
    """Judge by these checks and conditions, or by all promises. Raises UnknownName."""
    for name in expect:
        if isinstance(name, str) and name not in CHECKS:
            raise UnknownName("check", name, CHECKS)
    trace, evidence, moving = await _moment(lab)
    name_batches(trace, lab.topology)
    units = make_ledger(trace, evidence).units
    # A lab without mail proves nothing; in one with mail a promise may have met no occasion.
    idle = bool(units) and not expect
    findings = judge(expect or PROMISES, trace, evidence, idle_passes=idle)
    return Inspection(tuple(findings), tuple(units.values()), moving)


async def read_trace(lab: Lab) -> Trace:
    """What all nodes have told so far, or since the lab was reset."""

    found = Trace()
    for told in await asyncio.gather(*map(read_events, lab.nodes.values())):
        for event in told:
            found.add(event)
    return found


async def read_events(node: Node) -> list[Event]:
    """What one node has told so far, or since the lab was reset."""
    told: list[Event] = []
    async with aclosing(node.events(follow=False)) as stream:  # type: ignore[type-var]
        async for event in stream:
            if isinstance(event.body, events.NodeErased):
                told.clear()
            told.append(event)
    return told


def batches_in(trace: Trace, topology: Topology) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    """The batches that clients were given: messages, each with its recipients."""
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for one in submitted(trace, topology):
        if one.batch:
            found.setdefault(one.batch, []).append((one.message, one.recipients))
    return found


async def _moment(lab: Lab) -> tuple[Trace, Evidence, bool]:
    """Events and evidence between which nothing moved, or the last that were read."""
    trace, evidence = await read_trace(lab), await _evidence(lab)
    for _ in range(TRIES):
        again = await read_trace(lab)
        if _length(again) == _length(trace):
            return trace, _with_submissions(evidence, trace), False
        trace, evidence = again, await _evidence(lab)
    return trace, _with_submissions(evidence, trace), True


def _length(trace: Trace) -> int:
    return sum(len(stream) for stream in trace.by_node.values())


def _with_submissions(evidence: Evidence, trace: Trace) -> Evidence:
    found = tuple(submitted(trace, evidence.topology))
    return msgspec.structs.replace(evidence, submissions=found)


def name_batches(trace: Trace, topology: Topology) -> None:
    """Let the trace count by every batch that clients were given so far: by whoever it was sent."""
    for batch, messages in batches_in(trace, topology).items():
        if new := [one for one in messages if trace.fates[one[0]].batch is None]:
            trace.add_batch(batch, new)


def submitted(trace: Trace, topology: Topology) -> Iterator[SentMessage]:
    """What clients were given to send: the origin of each message."""
    seen: set[str] = set()
    for client in topology.sender_domains:
        for event in trace.by_node.get(client, ()):
            match event.body:
                case events.Accepted() as body if event.message and event.message not in seen:
                    seen.add(event.message)
                    yield SentMessage(
                        body.batch, event.message, body.digest, body.sender, tuple(body.recipients)
                    )
                case _:
                    pass


async def _evidence(lab: Lab) -> Evidence:
    """What lies where; of a node that is down, on its disk."""
    async with contextlib.AsyncExitStack() as stack:
        opened = {
            name: await stack.enter_async_context(source_of(node, lab.clock, "spool", "mailboxes"))
            for name, node in lab.nodes.items()
        }
        return await collect(lab, (), opened)
