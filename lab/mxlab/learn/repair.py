"""A repair put to the proof: steps are played on the lab as the student left it, and judged by the
mail that they sent.

Guarantee: what they broke is healed and what they set is put back, whatever happens. A proof can be
played again: its batches and faults get names that are free.
"""

from collections.abc import Collection
from typing import Any

import msgspec

from mxlab.backends.base import Lab
from mxlab.checks.judge import judge
from mxlab.history.evidence import Evidence, SentMessage, collect
from mxlab.history.trace import Trace
from mxlab.model.condition import AnyCondition
from mxlab.model.exercise import Exercise, ProveTask
from mxlab.model.finding import Finding
from mxlab.model.scenario import walk
from mxlab.model.step import AnyStep, Fault, Send
from mxlab.runner.drain import drain
from mxlab.runner.now import batches_in, read_trace
from mxlab.runner.progress import Report, silent
from mxlab.runner.steps import StepFailed, Steps
from mxlab.runner.watch import watching
from mxlab_services import events

PATIENCE = 120.0  # lab seconds in which the mail of a proof has to come to rest
_NAMING = ("id", "batch", "holds", "fault")  # fields that hold an id


async def prove_repair(
    lab: Lab, exercise: Exercise, task: ProveTask, progress: Report = silent
) -> list[Finding]:
    """What the proof shows: the step that failed, or a finding for each expectation, and one for
    each fault that could not be healed. Raises LabError."""
    taken = batches_in(await read_trace(lab), lab.topology)
    steps, expect = _under_free_names(task, taken)
    async with watching(lab) as watch:
        for name, messages in taken.items():
            watch.trace.add_batch(name, messages)
        play = Steps(exercise.story(steps), watch, progress)
        failed: list[Finding] = []
        try:
            await play.run()
        except StepFailed as error:
            failed = [error.finding]
        finally:
            failed += await play.undo_all()
        if failed:
            return failed
        await drain(watch, progress, PATIENCE)
        await watch.finish()
        evidence = await collect(lab, tuple(play.submissions))
    own = _about(watch.trace, play.submissions)
    return judge(expect, _only(watch.trace, own), _evidence_of(evidence, own))


def _under_free_names(
    task: ProveTask, taken: Collection[str]
) -> tuple[tuple[AnyStep, ...], tuple[str | AnyCondition, ...]]:
    """Its steps and expectations; where it was played before, under other names than then."""
    names = {step.id for _, step in walk(task.steps) if isinstance(step, Send | Fault)}
    number = 1
    while any(_numbered(name, number) in taken for name in names):
        number += 1
    new = {name: _numbered(name, number) for name in names}
    return _renamed(task.steps, new), _renamed(task.expect, new)


def _numbered(name: str, number: int) -> str:
    return name if number == 1 else f"{name[:36]}-{number}"


def _renamed(value: Any, names: dict[str, str]) -> Any:
    if isinstance(value, tuple):
        return tuple(_renamed(one, names) for one in value)
    if not isinstance(value, msgspec.Struct):
        return value
    changes = {
        field: names.get(inner, inner)
        if field in _NAMING and isinstance(inner, str)
        else _renamed(inner, names)
        for field in value.__struct_fields__
        for inner in (getattr(value, field),)
    }
    return msgspec.structs.replace(value, **changes)


def _about(trace: Trace, sent: list[SentMessage]) -> set[str]:
    """The messages that were sent, and the notifications about them."""
    own = {one.message for one in sent}
    for stream in trace.by_node.values():
        for event in stream:
            match event.body:
                case events.Bounced(about=about) if about in own and event.message is not None:
                    own.add(event.message)
                case _:
                    pass
    return own


def _only(trace: Trace, own: set[str]) -> Trace:
    """What is about these messages, and what is about none."""
    found = Trace()
    for name, messages in _batches(trace, own).items():
        found.add_batch(name, messages)
    for stream in trace.by_node.values():
        for event in stream:
            if event.message is None or event.message in own:
                found.add(event)
    found.gaps, found.damage = trace.gaps, trace.damage
    return found


def _batches(trace: Trace, own: set[str]) -> dict[str, list[tuple[str, tuple[str, ...]]]]:
    found: dict[str, list[tuple[str, tuple[str, ...]]]] = {}
    for key in own:
        fate = trace.fates[key]
        if fate.batch is not None:
            found.setdefault(fate.batch, []).append((key, fate.recipients))
    return found


def _evidence_of(evidence: Evidence, own: set[str]) -> Evidence:
    """What lies where, of these messages."""

    def kept(entries: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple(entry for entry in entries if entry.message in own)

    return msgspec.structs.replace(
        evidence,
        record=kept(evidence.record),
        records={name: kept(entries) for name, entries in evidence.records.items()},
        queues={name: kept(entries) for name, entries in evidence.queues.items()},
        mailboxes={name: kept(entries) for name, entries in evidence.mailboxes.items()},
    )
