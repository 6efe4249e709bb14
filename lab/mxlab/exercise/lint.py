"""What no reader of an exercise's file would refuse and an author would regret: a setup that breaks
off, words that no glossary has, tasks that nobody can prove, or that teach nothing.

What only a lab can show (a task that is done from the start, a wrong way that passes) is the
proof's to find: `learn.proof`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import msgspec

from mxlab.backends.base import Backend
from mxlab.errors import ScenarioError, nearest
from mxlab.exercise.load import FILE, read_exercise, survey_exercise
from mxlab.model.exercise import (
    AnswerTask,
    DoneTask,
    Exercise,
    NeverTask,
    PredictTask,
    ProveTask,
    Task,
    Wrong,
)
from mxlab.model.goal import Acted
from mxlab.model.reference import Place
from mxlab.model.scenario import Problem
from mxlab.scenario.lint import Level, Remark, remarks
from mxlab.scenario.load import problem_at, read_text

SEATS = range(10)  # whose draws are looked at
CommandProblem = Callable[
    [str], str
]  # why a line is no command that a student can type, or nothing


@dataclass(frozen=True, slots=True)
class Noted:
    """One thing to say, with its place in the file."""

    error: ScenarioError
    level: Level


def lint_exercise(
    path: Path,
    terms: Mapping[str, object],
    command_problem: CommandProblem,
    backends: Sequence[Backend],
) -> list[Noted]:
    """All that is to be said of an exercise's file, in the order of the file. `terms` is the
    glossary. Raises UsageError for one that cannot be read."""
    text = read_text(path)
    exercise_id = path.resolve().parent.name if path.name == FILE else path.stem
    for seed in SEATS:
        try:
            read_exercise(text, seed, str(path), exercise_id)
        except ScenarioError as error:
            return [Noted(one, "error") for one in error.every]
    exercise, tree = survey_exercise(text, SEATS[0], str(path), exercise_id)
    said = [
        *_setup(exercise, backends),
        *_terms(exercise, terms),
        *_commands(exercise, command_problem),
        *_tasks(exercise),
        *_around(exercise, path),
    ]
    noted = [Noted(problem_at(tree, one.problem), one.level) for one in said]
    return sorted(noted, key=lambda one: (one.error.line, one.error.column))


def _setup(exercise: Exercise, backends: Sequence[Backend]) -> Iterator[Remark]:
    """As of a scenario, but for what only a whole story has."""
    if not exercise.setup:
        return
    story = msgspec.structs.replace(exercise.story(), expect=("nothing-lost",))
    for remark in remarks(story, backends):
        match remark.problem.path:
            case ("steps", *rest):
                problem = replace(remark.problem, path=("setup", *rest))
                yield Remark(problem, remark.level)
            case ("expect", *_):
                pass
            case _:
                yield remark


def _terms(exercise: Exercise, known: Mapping[str, object]) -> Iterator[Remark]:
    for number, term in enumerate(exercise.terms):
        if term not in known:
            text = "the glossary has no such entry"
            near = nearest(term, known)
            hint = f"did you mean {near!r}? " if near else ""
            problem = Problem(("terms", number), f"{term!r}: {text}", hint=f"{hint}`mxlab explain`")
            yield Remark(problem)
    if not exercise.terms:
        yield _warning(("terms",), "no glossary entry is named: `terms: [mx-record]`")


def _commands(exercise: Exercise, problem: CommandProblem) -> Iterator[Remark]:
    for number, task in enumerate(exercise.tasks):
        place: Place = ("tasks", number)
        lines = [((*place, "solution", n), line) for n, line in enumerate(task.solution)]
        for k, wrong in enumerate(task.wrong):
            lines += [((*place, "wrong", k, "do", n), line) for n, line in enumerate(wrong.do)]
        for where, line in lines:
            if said := problem(line):
                yield Remark(Problem(where, said))


def _tasks(exercise: Exercise) -> Iterator[Remark]:
    for number, task in enumerate(exercise.tasks):
        place: Place = ("tasks", number)
        match task.judged:
            case DoneTask() | ProveTask() if not task.solution and not _done_before(exercise, task):
                yield Remark(
                    Problem(place, "without a `solution` nobody can prove that it can be done")
                )
            case AnswerTask() if not task.solution:
                yield _warning(place, "no `solution`: the commands by which the answer is seen")
            case _:
                pass
        if not task.hints and not isinstance(task.judged, NeverTask | PredictTask):
            yield _warning(place, "there is no hint for who is stuck")
        if sum(map(_unspecific, task.wrong)) > 1:
            text = "of several wrong ways without `when` only the first is ever told"
            yield Remark(Problem((*place, "wrong"), text))
        if task.same and not exercise.vary and not exercise.draw:
            yield _warning((*place, "same"), "nothing varies here, so every answer is the same")
        if isinstance(task.judged, DoneTask) and all(
            isinstance(wish.goal, Acted) for wish in task.judged.wishes
        ):
            yield _warning(place, "it asks what was done, not what came of it")
    if not exercise.vary and not exercise.draw:
        yield _warning((), "nothing varies: every seat has the same answers (`vary: [domain]`)")


def _done_before(exercise: Exercise, task: Task) -> bool:
    """Whether a task may rest on what the tasks before it have brought about."""
    return any(
        other.solution for other in exercise.tasks[: exercise.tasks.index(task)]
    ) and isinstance(task.judged, ProveTask)


def _unspecific(wrong: Wrong) -> bool:
    return bool(wrong.do) and not wrong.when


def _around(exercise: Exercise, path: Path) -> Iterator[Remark]:
    if exercise.teacher is None:
        text = "no word for the teacher: `teacher: {mistakes: ..., ask: ...}`"
        yield _warning((), text)
    if not exercise.finish.expect:
        yield _warning(("finish",), "nothing is expected of the whole: `finish: {expect: [...]}`")
    if not path.with_name("README.md").is_file():
        yield _warning((), "there is no lesson beside it (README.md)")


def _warning(place: Place, text: str) -> Remark:
    return Remark(Problem(place, text), "warning")
