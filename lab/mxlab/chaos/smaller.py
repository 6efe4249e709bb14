"""What is smaller than a schedule, and which of two is easier to understand. Pure.

Any list of actions makes a valid scenario, so each action can be left out by itself: Hypothesis
leaves out what it drew, and actions that it drew together only together.
"""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from mxlab.chaos.schedule import Action, Break, ChaosSchedule, Clog, Free, Mail, Pass
from mxlab.model.topology import Topology


def weight(schedule: ChaosSchedule) -> tuple[float, ...]:
    """The smaller, the easier to understand: few steps before all, then few messages, short waits,
    few hosts."""
    actions = schedule.actions
    return (
        len(schedule.scenario().steps),
        sum(a.count * len(a.recipients) for a in actions if isinstance(a, Mail)),
        sum(a.seconds for a in actions if isinstance(a, Pass | Clog | Free)),
        len(schedule.topology.hosts),
        sum(a.host for a in actions if isinstance(a, Break)),
        len(actions),
        schedule.seed,
    )


def smaller(schedule: ChaosSchedule) -> Iterator[ChaosSchedule]:
    """The schedule with something left out: whole streams, an action, messages and recipients, what
    the lab has beside."""
    if schedule.cut is not None:
        yield replace(schedule, cut=None)
    actions = schedule.actions
    for number, action in enumerate(actions):
        rest = actions[:number], actions[number + 1 :]
        yield replace(schedule, actions=(*rest[0], *rest[1]))
        for less in _less(action):
            yield replace(schedule, actions=(*rest[0], less, *rest[1]))
    for topology in _plainer(schedule.topology):
        yield replace(schedule, topology=topology)


def _less(action: Action) -> Iterator[Action]:
    match action:
        case Mail(recipients=recipients, count=count):
            if count > 1:
                yield replace(action, count=1)
            if len(recipients) > 1:
                yield from (replace(action, recipients=(one,)) for one in recipients)
        case _:
            pass


def _plainer(topology: Topology) -> Iterator[Topology]:
    """The lab with fewer hosts: without what is beside, with the first exchanges only."""
    alone = msgspec.structs.replace(
        topology, domains=(), relays=(), smarthost=None, clients=(), aliases={}
    )
    if alone != topology:
        yield alone
    elif len(topology.mx) > 1:
        yield msgspec.structs.replace(topology, mx=topology.mx[:-1])
