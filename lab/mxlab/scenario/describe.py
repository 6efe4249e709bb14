"""A scenario's story in plain words, as one would tell it before it runs. Pure."""

from collections.abc import Iterator, Mapping

from mxlab.faults import fault_called
from mxlab.model.duration import format_duration
from mxlab.model.scenario import Scenario, walk
from mxlab.model.step import (
    AnyStep,
    Ask,
    Dns,
    Etrn,
    Eventually,
    Fault,
    Heal,
    Never,
    Parallel,
    Python,
    Say,
    Send,
    Wait,
)

MEANING: Mapping[str, str] = {
    "nothing-lost": "no message that somebody acknowledged is lost",
    "nothing-forged": "no mailbox holds what nobody sent there",
    "nothing-altered": "no content was changed on the way",
    "duplicates-explained": "a second copy is there only where an acknowledgement was lost",
    "mx-order": "every attempt tried the exchanges in the order of their preference",
    "retry-spacing": "every retry waited as long as the schedule says",
    "bounces-justified": "what was given up was given up for a permanent reason",
    "failures-notified": "the sender of what failed was told",
    "silence-explained": "no reply went unread unless a fault kept it away",
    "queues-empty": "no queue holds mail any more",
    "all-delivered": "every message lies in its recipients' mailboxes",
    "nothing-bounced": "nothing was returned to its sender",
    "queued-at-backup": "mail had to wait at a backup",
    "queued-at-sender": "mail had to wait at the sender",
    "faults-struck": "every fault inside a node met something to strike",
}


def lab_of(scenario: Scenario) -> str:
    """The lab in a sentence or two."""
    topology = scenario.topology
    exchanges = [
        f"{e.host} ({'primary' if e.host in topology.primaries else 'backup'}, "
        f"preference {e.preference})"
        for e in topology.mx
    ]
    count = "one mail exchanger" if len(exchanges) == 1 else f"{len(exchanges)} mail exchangers"
    return (
        f"Mail for {topology.domain} is taken by {count}: {', '.join(exchanges)}. "
        f"{topology.client} sends it, and asks {topology.dns} where to."
    )


def story(scenario: Scenario) -> list[str]:
    """A line for each step, in order; steps that run side by side are indented below theirs."""
    faults = {step.id: step for _, step in walk(scenario.steps) if isinstance(step, Fault)}
    return [line for step in scenario.steps for line in _lines(step, faults)]


def ending(scenario: Scenario) -> list[str]:
    """A line for each expectation."""
    return [
        f"{item}: {MEANING[item]}" if isinstance(item, str) else str(item)
        for item in scenario.expect
    ]


def _lines(step: AnyStep, faults: Mapping[str, Fault]) -> Iterator[str]:
    match step:
        case Parallel(steps=steps):
            yield "At the same time:"
            for inner in steps:
                yield from (f"  - {line}" for line in _lines(inner, faults))
        case _:
            yield _sentence(step, faults)


def _sentence(step: AnyStep, faults: Mapping[str, Fault]) -> str:
    match step:
        case Say(text=text):
            return f"“{text.strip()}”"
        case Ask(question=question):
            return f"A question to you: {question}"
        case Send(id=name, count=count, sender=sender):
            messages = "One message goes" if count == 1 else f"{count} messages go"
            return f"{messages} from {sender} to {', '.join(step.addresses)} ({name})."
        case Fault(id=name, mechanism=mechanism):
            summary = fault_called(mechanism.kind).summary
            return f"Fault {name} ({mechanism}): {summary[:1].lower()}{summary[1:]}"
        case Heal(fault=name):
            what = f": {faults[name].mechanism.host} is as before" if name in faults else ""
            return f"{name} is healed{what}."
        case Wait(seconds=seconds):
            return f"{format_duration(seconds)} of lab time go by."
        case Eventually(condition=condition, within=within):
            return f"Within {format_duration(within)} {condition}."
        case Never(condition=condition, during=during):
            return f"For {format_duration(during)} it must not happen that {condition}."
        case Etrn(host=host, asks=asks, reply=reply):
            answer = f"; the answer is to be {reply}" if reply else ""
            what = f"its mail for {step.domain or 'the domain'}"
            return f"{host} asks {asks} by ETRN to send {what} now{answer}."
        case Dns():
            return f"The zone {step.origin or 'of the domain'} changes: {_changes(step)}."
        case Python(target=target):
            return f"The author's own function {target} runs."
        case Parallel():
            return str(step)


def _changes(step: Dns) -> str:
    if step.zone is not None:
        return "it is replaced"
    gone = [f"{line!r} goes" for line in step.remove]
    return ", ".join([*gone, *(f"{line!r} comes" for line in step.add)]) or "nothing"
