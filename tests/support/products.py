"""A run of the simulation, told as if some of its hosts were products: by their logs, which say
less, and of an attempt only once it has ended."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from mxlab.checks.judge import judge
from mxlab.history.trace import Trace
from mxlab.model.finding import Verdict
from mxlab.plan.software import with_software
from mxlab.runner.result import RunResult
from mxlab_services import events
from mxlab_services.address import domain_of
from mxlab_services.events import Event

_NEVER_TOLD = (
    events.Lookup | events.Routed | events.DestinationDead | events.DestinationAlive
    | events.BounceSuppressed | events.SpoolDamaged
)  # fmt: skip


def as_products(result: RunResult, software: dict[str, str]) -> RunResult:
    """The run, with these hosts' events as such a product would have told them."""
    trace = Trace()
    streams = {
        node: list(_numbered(_told(stream))) if node in software else stream
        for node, stream in result.trace.by_node.items()
    }
    for event in sorted((e for s in streams.values() for e in s), key=lambda e: e.at):
        trace.add(event)
    for sent in result.evidence.submissions:
        trace.add_batch(sent.batch, [(sent.message, sent.recipients)])
    topology = with_software(result.evidence.topology, software)
    evidence = msgspec.structs.replace(result.evidence, topology=topology)
    return replace(result, trace=trace, evidence=evidence)


def verdicts(result: RunResult, *expect: str) -> dict[str, Verdict]:
    """What checks say of it: those of its scenario, unless others are named."""
    wanted = expect or result.scenario.expect
    idle = result.scenario.idle_passes
    found = judge(wanted, result.trace, result.evidence, idle_passes=idle)
    return {finding.check: finding.verdict for finding in found}


def _told(stream: list[Event]) -> Iterator[Event]:
    """What a product's log tells, when it tells it."""
    begun: dict[tuple[str, str], Event] = {}
    tried: dict[tuple[str, str], list[Event]] = {}
    for event in stream:
        match event.body:
            case body if isinstance(body, _NEVER_TOLD):
                continue
            case events.NodeReady():
                begun.clear()  # what it was at when it died it never told
                tried.clear()
            case events.AttemptStarted(queue_id=queue_id, domain=domain):
                begun[queue_id, domain] = event
                continue
            case events.Tried(queue_id=queue_id, domain=domain, stage=stage) as one:
                plain = msgspec.structs.replace(one, preference=-1, dialog=[])
                if stage != "skipped":
                    told = msgspec.structs.replace(event, body=plain)
                    tried.setdefault((queue_id, domain), []).append(told)
                continue
            case (
                events.Outcome(queue_id=queue_id, recipient=recipient)
                | events.MailboxDelivered(queue_id=queue_id, recipient=recipient)
            ):
                key = queue_id, domain_of(recipient)
                for earlier in (begun.pop(key, None), *tried.pop(key, ())):
                    if earlier is not None:
                        yield msgspec.structs.replace(earlier, at=event.at, source="log")
            case events.Deferred() as deferred:
                later = msgspec.structs.replace(deferred, next_attempt=0.0)
                event = msgspec.structs.replace(event, body=later)
            case _:
                pass
        yield msgspec.structs.replace(event, source="log")


def _numbered(stream: Iterator[Event]) -> Iterator[Event]:
    number = -1
    for event in stream:
        number = 0 if isinstance(event.body, events.NodeReady) else number + 1
        yield msgspec.structs.replace(event, seq=number)
