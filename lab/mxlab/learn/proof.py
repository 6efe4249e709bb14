"""The author's proof: that an exercise holds what it promises, in the seats that were tried.

In the simulation, in virtual time, over many seats; or in one real world. What is wrong is told as
a linter tells it, each mistake once, with the seats that show it.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mxlab.backends.base import Backend, Order, Progress
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.backends.sim.loop import Deadlock, Runaway
from mxlab.chaos.block import at_full_speed
from mxlab.errors import LabError, ScenarioError, Unsupported
from mxlab.exercise.load import FILE, read_exercise, survey_exercise
from mxlab.faults import refuse_unsupported
from mxlab.learn.walk import Defect, SeatWalk, Walked
from mxlab.model.exercise import AnswerTask, Exercise
from mxlab.model.reference import Place
from mxlab.model.scenario import Problem, fault_kinds
from mxlab.operate.hands import Hands
from mxlab.scenario.load import problem_at, read_text
from mxlab_services.config import TimeConfig

SEATS = 10  # whose draws are tried in the simulation
MOST_TURNS = 5_000_000  # of the simulated world, in one seat


@dataclass(frozen=True, slots=True)
class Subject:
    """An exercise's file, as it was read."""

    path: Path
    text: str
    id: str

    def exercise(self, seed: int) -> Exercise:
        """It for that seat. Raises ScenarioError."""
        return read_exercise(self.text, seed, str(self.path), self.id)


@dataclass(frozen=True, slots=True)
class Seat:
    """What became of one seat. `seconds`: real ones that it took."""

    seed: int
    walked: Walked
    seconds: float


@dataclass(frozen=True, slots=True)
class Proof:
    """What became of an exercise. `refusals`: what is wrong with it, in the order of the file;
    none where it is proven. `seconds`: of all its seats together."""

    exercise: str
    seeds: tuple[int, ...]
    tasks: int
    refusals: tuple[ScenarioError, ...]
    seconds: float


def subject_in(path: Path) -> Subject:
    """The exercise in that file. Raises UsageError where it cannot be read."""
    name = path.resolve().parent.name if path.name == FILE else path.stem
    return Subject(path, read_text(path), name)


def walk_simulated(subject: Subject, seed: int, hands: Hands) -> Seat:
    """One seat in the simulation. Raises ScenarioError for a file that is wrong, Unsupported for an
    exercise that needs more than the simulation has."""
    exercise = subject.exercise(seed)
    refuse_world(exercise, SimBackend())
    began = time.perf_counter()

    order = Order("lab", "proof", exercise.topology, TimeConfig(exercise.time_scale), seed)
    walk = SeatWalk(exercise, hands)
    try:
        with at_full_speed():
            simulate(lambda: _walk(walk, SimBackend(), order, _silent), MOST_TURNS)
    except (Deadlock, Runaway) as error:
        walk.walked.refusals.append(Defect((), "stuck", str(error), error.hint))
    return Seat(seed, walk.walked, time.perf_counter() - began)


async def walk_really(
    subject: Subject,
    seed: int,
    hands: Hands,
    backend: Backend,
    lab: str,
    progress: Progress,
) -> Seat:
    """One seat in a real world, in a lab of that name, which is removed in the end. Raises as
    `walk_simulated` does, and what a deployment may."""
    exercise = subject.exercise(seed)
    refuse_world(exercise, backend)
    began = time.perf_counter()
    clock = TimeConfig(exercise.time_scale, time.time())  # noqa: TID251 - when this lab's time begins
    walk = SeatWalk(exercise, hands)
    await _walk(walk, backend, Order(lab, "proof", exercise.topology, clock, seed), progress)
    return Seat(seed, walk.walked, time.perf_counter() - began)


async def _walk(walk: SeatWalk, backend: Backend, order: Order, progress: Progress) -> None:
    async with backend.deploy(order, progress) as lab:
        progress("walking it straight")
        try:
            if await walk.straight(lab):
                progress("walking it astray")
                await walk.astray(lab)
        except LabError as error:
            walk.walked.refusals.append(Defect((), "lab", str(error), error.hint))


def _silent(_: str) -> None: ...


def refuse_world(exercise: Exercise, backend: Backend) -> None:
    """Raise Unsupported where the exercise needs what that world has not."""
    if exercise.backends and backend.name not in exercise.backends:
        able = " or ".join(exercise.backends)
        raise Unsupported(f"{exercise.id} is not for {backend.name}", f"use --backend {able}")
    refuse_unsupported(backend, fault_kinds(exercise.story()))


def proven(subject: Subject, seats: Iterable[Seat]) -> Proof:
    """What all seats together came to."""
    found = sorted(seats, key=lambda seat: seat.seed)
    first = subject.exercise(found[0].seed)
    said = list(_together(found)) + list(_over_all(first, found))
    _, tree = survey_exercise(subject.text, first.seed, str(subject.path), subject.id)
    errors = (problem_at(tree, Problem(one.place, one.text, hint=one.hint)) for one in said)
    return Proof(
        subject.id,
        tuple(seat.seed for seat in found),
        len(first.tasks),
        tuple(sorted(errors, key=lambda error: (error.line, error.column))),
        sum(seat.seconds for seat in found),
    )


def _together(seats: Sequence[Seat]) -> Iterator[Defect]:
    """Each mistake once, as the first seat has it that shows it, with how many do."""
    shown: dict[tuple[Place, str], list[tuple[int, Defect]]] = {}
    for seat in seats:
        for one in seat.walked.refusals:
            shown.setdefault((one.place, one.kind), []).append((seat.seed, one))
    for found in shown.values():
        seed, one = found[0]
        others = len({number for number, _ in found}) - 1
        more = f" and in {others} other{'s' * (others > 1)}" if others else ""
        yield replace(one, text=f"{one.text} (seed {seed}{more})")


def _over_all(exercise: Exercise, seats: Sequence[Seat]) -> Iterator[Defect]:
    """What only all seats together show. Hints that nobody came to are told only where every walk
    went to its end."""
    if any(seat.walked.refusals for seat in seats):
        return
    fitted = set[tuple[str, int]]().union(*(seat.walked.fitted for seat in seats))
    for number, task in enumerate(exercise.tasks):
        for which, hint in enumerate(task.hints):
            if hint.when and (task.id, which) not in fitted:
                text = "this hint never fits: not when the task begins, not on the way, not after"
                place: Place = ("tasks", number, "hints", which, "when")
                yield Defect(
                    place, "hint", f"{text} a wrong way", "mend its `when`, or leave it out"
                )
        if isinstance(task.judged, AnswerTask) and len(seats) > 1:
            yield from _varied(exercise, number, {s.walked.answers[task.id] for s in seats})


def _varied(exercise: Exercise, number: int, answers: set[str]) -> Iterator[Defect]:
    task = exercise.tasks[number]
    place: Place = ("tasks", number)
    varies = bool(exercise.vary or exercise.draw)
    if varies and len(answers) == 1 and not task.same:
        text = f"the answer is {next(iter(answers))} in every seat, although `vary` draws others"
        yield Defect((*place, "answer"), "same", text, "if that is meant: `same: true`")
    if len(answers) > 1 and task.same:
        some = " or ".join(sorted(answers)[:2])
        text = f"it says `same: true`, and the answer is {some}"
        yield Defect((*place, "same"), "other", text, "leave it out")
