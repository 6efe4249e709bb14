"""Whether a wish of an exercise holds in a lab now, and what is so instead.

A host that cannot be asked, because it is down, fulfils no wish about what only it can say, and no
wish that this be otherwise. One that runs and does not answer raises NodeUnreachable: then nothing
is known.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mxlab.checks.conditions import rule_of
from mxlab.checks.rule import Rule
from mxlab.errors import LabError, NodeUnreachable
from mxlab.faults import fault_called
from mxlab.history.trace import Trace
from mxlab.learn.situation import Situation
from mxlab.learn.zones import records_at, same_data
from mxlab.model.condition import Condition
from mxlab.model.goal import (
    Acted,
    AnyGoal,
    HasSetting,
    HostState,
    Undone,
    Wish,
    Wishes,
    ZoneRecord,
)
from mxlab.plan.zones import zone_primary
from mxlab.runner.now import batches_in
from mxlab.scenario.settings import setting_value, written
from mxlab_services import events
from mxlab_services.control.requests import ConfigList
from mxlab_services.events import Event


@dataclass(frozen=True, slots=True)
class Look:
    """Whether a wish holds, and what is so instead, in a few words."""

    holds: bool
    words: str


async def holds(wish: Wish, situation: Situation) -> bool:
    """Whether the wish holds now. Raises LabError where a host that runs does not answer."""
    return (await look(wish, situation)).holds


async def all_hold(wishes: Wishes, situation: Situation) -> bool:
    """Whether all of them hold now; none are as if all did. Raises as `holds` does."""
    return all([await holds(wish, situation) for wish in wishes])


async def look(wish: Wish, situation: Situation) -> Look:
    """Whether the wish holds now, and what is so instead. Raises as `holds` does."""
    try:
        found = await _look(wish.goal, situation)
    except NodeUnreachable as error:
        if await _all_run(wish.goal, situation):
            raise
        return Look(False, str(error))
    return Look(found.holds != wish.negated, found.words)


async def _all_run(goal: AnyGoal, situation: Situation) -> bool:
    """Whether every host that the goal may be about runs: then none is known to be down."""
    lab = situation.lab
    named = [getattr(goal, "host", None), getattr(goal, "server", None)]
    if isinstance(goal, ZoneRecord) and goal.server is None:
        named.append(zone_primary(lab.topology, goal.name))
    if isinstance(goal, Undone) and goal.fault in situation.faults:
        named.append(situation.faults[goal.fault].host)
    hosts = [host for host in named if host] or list(lab.nodes)
    return all([await lab.nodes[host].state() == "running" for host in hosts])


async def _look(goal: AnyGoal, situation: Situation) -> Look:
    match goal:
        case HostState(host=host, is_=wanted):
            state = await situation.lab.nodes[host].state()
            return Look(state == wanted, f"{host} is {state}")
        case ZoneRecord():
            return await _record(goal, situation)
        case HasSetting():
            return await _setting(goal, situation)
        case Undone(fault=name):
            mechanism = situation.faults.get(name)
            if mechanism is None:
                return Look(True, f"{name} is not in force")
            injector = fault_called(mechanism.kind).injector
            open_ = await injector.seen(situation.lab, name, mechanism)
            return Look(not open_, f"{name} is {'' if open_ else 'not '}in force")
        case Acted():
            done = any(acts(goal, event) for event in situation.later(situation.since))
            return Look(done, f"there was {'a' if done else 'no'} {goal.act} at {goal.host} so far")
        case _:
            rule = rule_of(goal)
            true = await rule.holds(situation.trace, situation.lab)
            return Look(true, rule.observed(situation.trace))


async def _record(goal: ZoneRecord, situation: Situation) -> Look:
    every = await records_at(situation.lab, goal.name, goal.type, goal.server)
    timed = goal.ttl_most is not None
    words = "; ".join(
        f"{goal.name} {f'{line.ttl} ' if timed else ''}{line.type} {line.data}" for line in every
    )
    shown = words or f"{goal.name} has no {goal.type} record"
    found = [one for one in every if goal.ttl_most is None or one.ttl <= goal.ttl_most]
    data = goal.has if goal.has is not None else goal.lacks
    there = any(same_data(goal.type, line.data, data) for line in found if data is not None)
    if goal.count is not None:
        return Look(len(found) == goal.count, shown)
    if data is None:
        return Look(bool(found), shown)
    return Look(there == (goal.lacks is None), shown)


async def _setting(goal: HasSetting, situation: Situation) -> Look:
    settings = await situation.lab.nodes[goal.host].request(ConfigList())
    value: Any = next((one.value for one in settings if one.key == goal.name), None)
    words = f"{goal.name} of {goal.host} is {written(value)}"
    wanted = goal.is_ if goal.is_ is not None else goal.at_least
    try:
        meant = setting_value(goal.name, list(wanted) if isinstance(wanted, tuple) else wanted)
    except LabError:  # one that cannot be changed is compared as it is written
        return Look(written(value) == written(wanted), words)
    if goal.is_ is not None:
        return Look(_sorted(value) == _sorted(meant), words)
    return Look(value is not None and meant is not None and value >= meant, words)


def _sorted(value: Any) -> Any:
    return sorted(value) if isinstance(value, list) else value


def acts(goal: Acted, event: Event) -> bool:
    """Whether that event is the act."""
    if event.node != goal.host:
        return False
    match event.body:
        case events.Flushed():
            return goal.act == "flush"
        case events.Edited(action=action):
            return goal.act == action
        case events.ConfigChanged():
            return goal.act == "config"
        case events.NodeReady():
            return goal.act == "start"
        case events.DnsZone():
            return goal.act == "zone"
        case _:
            return False


async def came_about(wish: Wish, situation: Situation) -> bool:
    """Whether the wish held at any time since the exercise had been set up: by the events, so far
    as they tell it. What no event tells (a host's state, a record, a setting, a fault) is looked at
    as it is now. Raises as `holds` does."""
    goal = wish.goal
    if isinstance(goal, Acted):
        return any(acts(goal, one) for one in situation.later(situation.begun)) != wish.negated
    if isinstance(goal, HostState | ZoneRecord | HasSetting | Undone):
        return await holds(wish, situation)
    return any(seems != wish.negated for seems in _history(rule_of(goal), situation))


def _history(rule: Rule, situation: Situation) -> Iterator[bool]:
    """Whether it held by the events, when the exercise had been set up and after each since."""
    trace, told = Trace(), situation.trace.events()
    for name, messages in batches_in(situation.trace, situation.lab.topology).items():
        trace.add_batch(name, messages)
    new = {id(event) for event in situation.later(situation.begun)}
    for event in told:
        if id(event) not in new:
            trace.add(event)
    rule.begin(trace, situation.begun.at)
    yield rule.seems(trace)
    for event in told:
        if id(event) in new:
            trace.add(event)
            yield rule.seems(trace)


def named_batches(wish: Wish) -> list[str]:
    """The batches that the wish is about."""
    goal: Condition = wish.goal
    given = (getattr(goal, "batch", None), getattr(goal, "holds", None))
    return [batch for batch in given if batch is not None]
