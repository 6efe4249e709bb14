"""A scenario: a lab, a linear story, and what must be true in the end. Frozen values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from mxlab.model.condition import AnyCondition
from mxlab.model.reference import Place
from mxlab.model.step import AnyStep, Fault, Parallel
from mxlab.model.topology import Topology
from mxlab_services.faults.base import Mechanism

SLOWEST, FASTEST = 0.001, 1_000_000.0  # lab seconds in a real one
BackendName = Literal["docker", "process", "sim"]
StepPath = tuple[int, ...]  # (3,) is the fourth step, (3, 0) the first of the steps in it


class SourceFile(msgspec.Struct, frozen=True):
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
    backend: BackendName | None = None
    backends: tuple[BackendName, ...] = ()
    idle_passes: bool = False
    id: str = ""
    origin: SourceFile | None = None

    def place(self, path: StepPath) -> str:
        """`file:line` of a step, or nothing where the scenario came from no file."""
        return self.origin.place(path) if self.origin else ""


@dataclass(frozen=True, slots=True)
class Problem:
    """A reference to nothing, or what makes no sense. `path` leads to it: ("steps", 3, "fault");
    `known`: what there is; `hint`: what to do, where no name is wrong."""

    path: Place
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
    used = (mechanism.kind for mechanism in mechanisms(scenario))
    return tuple(dict.fromkeys([*scenario.needs, *used]))


def mechanisms(scenario: Scenario) -> list[Mechanism]:
    """What its steps break, in order."""
    return [step.mechanism for _, step in walk(scenario.steps) if isinstance(step, Fault)]


def steps_path(path: StepPath) -> Place:
    """The keys and numbers that lead to a step in a scenario file."""
    where: Place = ("steps", path[0])
    for number in path[1:]:
        where = (*where, "parallel", number)
    return where
