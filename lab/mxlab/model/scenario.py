"""A scenario: a lab, a linear story, and what must be true in the end.

`problems` finds what no type can: references to hosts, faults and batches that are not there. It
serves scenarios from files and from Python alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Annotated, Literal

import msgspec

from mxlab.model.condition import AnyCondition, Mailbox, Queue, Struck, batch_of
from mxlab.model.duration import LONGEST, too_long
from mxlab.model.mechanism import MECHANISMS, STRIKING
from mxlab.model.step import AnyStep, Etrn, Eventually, Fault, Heal, Never, Parallel, Send, Wait
from mxlab.model.text import unfit
from mxlab.model.topology import Topology

CHECKS = (
    "nothing-lost",
    "nothing-forged",
    "nothing-altered",
    "duplicates-explained",
    "mx-order",
    "retry-spacing",
    "bounces-justified",
    "failures-notified",
    "silence-explained",
    "queues-empty",
    "all-delivered",
    "nothing-bounced",
    "queued-at-backup",
    "queued-at-sender",
    "faults-struck",
)
SLOWEST, FASTEST = 0.001, 1_000_000.0  # lab seconds in a real one
World = Literal["docker", "process", "sim"]
StepPath = tuple[int, ...]  # (3,) is the fourth step, (3, 0) the first of the steps in it


class Origin(msgspec.Struct, frozen=True):
    """The file that a scenario came from, and the line of each step."""

    file: str
    lines: Mapping[StepPath, int] = {}

    def place(self, path: StepPath) -> str:
        """`file:line` of a step, or the file."""
        return f"{self.file}:{self.lines[path]}" if path in self.lines else self.file


class Scenario(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A scenario. `needs` are kinds of faults that the backend must be able to do; `expect` names
    checks, or states conditions for the end. `time_scale`, `seed` and `backend` are preferences
    that the command line overrides. `backends`: the worlds in which the story can be told at all
    (one that waits for days needs virtual time); none named: every one. With `idle_passes` a check
    may have nothing to look at; else the run is inconclusive then.
    """

    title: str
    steps: tuple[AnyStep, ...]
    expect: tuple[str | AnyCondition, ...]
    summary: str = ""
    needs: tuple[str, ...] = ()
    topology: Topology = Topology()
    seed: int = 0
    time_scale: Annotated[float, msgspec.Meta(ge=SLOWEST, le=FASTEST)] = 1.0
    backend: World | None = None
    backends: tuple[World, ...] = ()
    idle_passes: bool = False
    id: str = ""
    origin: Origin | None = None

    def place(self, path: StepPath) -> str:
        """`file:line` of a step, or nothing where the scenario came from no file."""
        return self.origin.place(path) if self.origin else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A reference to nothing, or what makes no sense. `path` leads to it: ("steps", 3, "fault");
    `known`: what there is; `hint`: what to do, where no name is wrong."""

    path: tuple[str | int, ...]
    text: str
    name: str = ""
    known: tuple[str, ...] = ()
    hint: str = ""


def walk(steps: tuple[AnyStep, ...], path: StepPath = ()) -> Iterator[tuple[StepPath, AnyStep]]:
    """Every step, those inside `parallel` included, in order."""
    for number, step in enumerate(steps):
        yield (*path, number), step
        if isinstance(step, Parallel):
            yield from walk(step.steps, (*path, number))


def fault_kinds(scenario: Scenario) -> tuple[str, ...]:
    """The kinds of faults that the scenario needs, by its own word or by its steps."""
    used = [step.mechanism.kind for _, step in walk(scenario.steps) if isinstance(step, Fault)]
    return tuple(dict.fromkeys([*scenario.needs, *used]))


def told_in(scenario: Scenario, wish: str | None) -> str:
    """The backend to run it in: what somebody asks for, else what the scenario prefers, else one
    that can tell it; `auto` where the machine is to decide between docker and process."""
    if wish not in (None, "auto"):
        return wish
    if wish is None and scenario.backend:
        return scenario.backend
    real = [name for name in ("docker", "process") if name in scenario.backends]
    if len(real) == 2 or not scenario.backends:
        return "auto"
    return real[0] if real else "sim"


def problems(scenario: Scenario) -> list[Problem]:
    """References that lead nowhere, in the order of the file."""
    found = [
        Problem(("needs", n), "there is no fault of that kind", kind, tuple(MECHANISMS))
        for n, kind in enumerate(scenario.needs)
        if kind not in MECHANISMS
    ]
    if scenario.backend and scenario.backends and scenario.backend not in scenario.backends:
        text = "that is none of `backends`"
        found.append(Problem(("backend",), text, scenario.backend, scenario.backends))
    hosts = scenario.topology.hosts
    batches: list[str] = []
    faults: dict[str, str] = {}
    for path, step in walk(scenario.steps):
        where = steps_path(path)
        match step:
            case Send(id=name):
                if name in batches:
                    found.append(Problem((*where, "send", "id"), f"batch {name!r} is sent twice"))
                batches.append(name)
            case Fault(id=name, mechanism=mechanism):
                if name in faults:
                    found.append(
                        Problem((*where, "fault", "id"), f"two faults have the id {name!r}")
                    )
                faults[name] = mechanism.kind
                for host in mechanism.hosts:
                    if host not in hosts:
                        place = (*where, "fault", mechanism.kind)
                        found.append(Problem(place, "there is no such host", host, hosts))
            case Heal(fault=name) if name not in faults:
                text = "no fault of that id was injected before"
                found.append(Problem((*where, "heal"), text, name, tuple(faults)))
            case Etrn():
                found += _etrn((*where, "etrn"), step, scenario.topology)
            case Eventually(condition=condition) | Never(condition=condition):
                found += _condition((*where, step.key), condition, hosts, batches, faults)
            case _:
                pass
    for number, item in enumerate(scenario.expect):
        if isinstance(item, str):
            if item not in CHECKS:
                text = "there is no check of that name"
                found.append(Problem(("expect", number), text, item, CHECKS))
        else:
            found += _condition(("expect", number), item, hosts, batches, faults)
    return found + list(_lengths(scenario)) + list(_texts(scenario))


def _lengths(scenario: Scenario) -> Iterator[Problem]:
    """Durations without bound, each and together: a story has to end."""
    total = 0.0
    for path, step in walk(scenario.steps):
        match step:
            case Wait(seconds=seconds):
                key: tuple[str, ...] = ("wait",)
            case Eventually(within=seconds):
                key = ("eventually", "within")
            case Never(during=seconds):
                key = ("never", "during")
            case Send(rate=rate, count=count) if rate > 0:
                key, seconds = ("send", "rate"), (count - 1) / rate * scenario.time_scale
            case _:
                continue
        total += seconds
        if too_long(seconds) or total > LONGEST:
            text = "with the steps before it takes more than ten years (3660d): a story has to end"
            if too_long(seconds):
                text = f"{seconds:g} s is no duration from 0 to ten years (3660d)"
            yield Problem((*steps_path(path), *key), text)
            return


def _texts(scenario: Scenario) -> Iterator[Problem]:
    """Characters that cannot stand where they do."""
    for name in ("id", "title", "summary", "needs", "topology"):
        for path, text in unfit(getattr(scenario, name), name, (name,)):
            yield Problem(path, text)
    for path, step in walk(scenario.steps):
        where = (*steps_path(path), step.key)
        found: Iterator[tuple[tuple[str | int, ...], str]]
        match step:
            case Parallel():
                found = iter(())  # its steps come by themselves
            case Fault(id=name, mechanism=mechanism):
                found = chain(
                    unfit(name, "id", (*where, "id")),
                    unfit(mechanism, "", (*where, mechanism.kind)),
                )
            case Eventually(condition=condition) | Never(condition=condition):
                found = unfit(condition, "", (*where, condition.key))
            case _:
                found = unfit(step, "", where)
        yield from (Problem(at, text) for at, text in found)
    for number, item in enumerate(scenario.expect):
        key = () if isinstance(item, str) else (item.key,)
        for at, text in unfit(item, "", ("expect", number, *key)):
            yield Problem(at, text)


def _etrn(where: tuple[str | int, ...], step: Etrn, topology: Topology) -> Iterator[Problem]:
    mtas = tuple(host for host in topology.hosts if host != topology.dns)
    for key, host in (("host", step.host), ("asks", step.asks)):
        if host not in mtas:
            yield Problem((*where, key), "there is no such mail host", host, mtas)
    if step.host == step.asks:
        yield Problem((*where, "asks"), f"{step.host} asks itself")


def steps_path(path: StepPath) -> tuple[str | int, ...]:
    """The keys and numbers that lead to a step in a scenario file."""
    where: tuple[str | int, ...] = ("steps", path[0])
    for number in path[1:]:
        where = (*where, "parallel", number)
    return where


def _condition(
    where: tuple[str | int, ...],
    condition: AnyCondition,
    hosts: tuple[str, ...],
    batches: list[str],
    faults: Mapping[str, str],
) -> Iterator[Problem]:
    place = (*where, condition.key)
    if isinstance(condition, Queue):
        if condition.host not in hosts:
            yield Problem((*place, "host"), "there is no such host", condition.host, hosts)
        if (condition.holds is None) == (condition.count is None):
            yield Problem(place, "a queue condition has either `holds` or `count`")
    if isinstance(condition, Mailbox):
        if condition.host is not None and condition.host not in hosts:
            yield Problem((*place, "host"), "there is no such host", condition.host, hosts)
        if (condition.count is None) == (condition.at_least is None):
            yield Problem(place, "a mailbox condition has either `count` or `at-least`")
    if isinstance(condition, Struck):
        name, kind = condition.fault, faults.get(condition.fault)
        if kind is None:
            text = "no fault of that id was injected before"
            yield Problem(place, text, name, tuple(faults))
        elif kind not in STRIKING:
            yield Problem(place, f"of {name}, which is {kind}, no node tells when it strikes")
    batch = batch_of(condition)
    if batch is not None and batch not in batches:
        key = (*place, "holds") if isinstance(condition, Queue) else place
        yield Problem(key, "no batch of that id was sent before", batch, tuple(batches))
