"""What is wrong with an exercise that its types let pass: names that lead nowhere, in the setup,
in the tasks, in what is proven. Pure."""

from collections.abc import Iterator
from dataclasses import replace

import msgspec

from mxlab.checks.registry import CHECKS
from mxlab.model.exercise import (
    AnswerTask,
    DoneTask,
    Exercise,
    NeverTask,
    PredictTask,
    ProveTask,
    Task,
)
from mxlab.model.goal import Wishes
from mxlab.model.reference import Place
from mxlab.model.scenario import Problem, Scenario
from mxlab.scenario.sound import misnamed, unsound


def exercise_problems(exercise: Exercise) -> list[Problem]:
    """All of them, in the order of the file."""
    return [*_setup(exercise), *_tasks(exercise), *_finish(exercise)]


def _setup(exercise: Exercise) -> Iterator[Problem]:
    for problem in unsound(exercise.story(exercise.setup)):
        yield replace(problem, path=_moved(problem.path, "steps", ("setup",)))


def _tasks(exercise: Exercise) -> Iterator[Problem]:
    if not exercise.tasks:
        yield Problem(("tasks",), "there is no task")
    before: dict[str, int] = {}
    story = exercise.story(exercise.setup)
    for number, task in enumerate(exercise.tasks):
        place: Place = ("tasks", number)
        if task.id in before:
            yield Problem((*place, "id"), f"two tasks have the id {task.id!r}")
        if isinstance(task.judged, PredictTask) and task.judged.after is not None:
            ids = tuple(other.id for other in exercise.tasks[number + 1 :])
            if task.judged.after not in ids:
                text = "no task of that id comes after this one"
                yield Problem((*place, "predict", "after"), text, task.judged.after, ids)
        yield from _judged(task, story, place)
        for n, hint in enumerate(task.hints):
            yield from _wishes(hint.when, story, (*place, "hints", n, "when"))
        for n, wrong in enumerate(task.wrong):
            yield from _wishes(wrong.when, story, (*place, "wrong", n, "when"))
            if bool(wrong.do) == bool(wrong.answer):
                yield Problem((*place, "wrong", n), "a wrong way has either `do` or `answer`")
        before[task.id] = number


def _judged(task: Task, story: Scenario, place: Place) -> Iterator[Problem]:
    match task.judged:
        case AnswerTask(question=question):
            yield from misnamed(story, question, (*place, "answer", question.key))
        case PredictTask(answer=question):
            yield from misnamed(story, question, (*place, "predict", "answer", question.key))
        case DoneTask(wishes=wishes) | NeverTask(wishes=wishes):
            yield from _wishes(wishes, story, (*place, task.judged.key))
        case ProveTask() as prove:
            yield from _prove(story, prove, (*place, "prove"))


def _prove(story: Scenario, prove: ProveTask, place: Place) -> Iterator[Problem]:
    if not prove.expect:
        yield Problem((*place, "expect"), "expects nothing, so it proves nothing")
    first = len(story.steps)
    steps = (*story.steps, *prove.steps)
    whole = msgspec.structs.replace(story, steps=steps, expect=prove.expect)
    for problem in unsound(whole):
        match problem.path:
            case ("steps", int(number), *rest) if number >= first:
                yield replace(problem, path=(*place, "steps", number - first, *rest))
            case ("expect", *rest):
                yield replace(problem, path=(*place, "expect", *rest))
            case _:
                pass  # told of the setup already


def _wishes(wishes: Wishes, story: Scenario, place: Place) -> Iterator[Problem]:
    for wish in wishes:
        at = (*place, "not", wish.goal.key) if wish.negated else (*place, wish.goal.key)
        yield from misnamed(story, wish.goal, at)
        if wrong := wish.goal.misfit():
            yield Problem(at, wrong)


def _finish(exercise: Exercise) -> Iterator[Problem]:
    story = exercise.story(exercise.setup)
    for number, item in enumerate(exercise.finish.expect):
        place: Place = ("finish", "expect", number)
        if not isinstance(item, str):
            yield from misnamed(story, item, (*place, item.key))
        elif item not in CHECKS:
            yield Problem(place, "there is no check of that name", item, tuple(CHECKS))


def _moved(path: Place, old: str, new: Place) -> Place:
    return (*new, *path[1:]) if path[:1] == (old,) else path
