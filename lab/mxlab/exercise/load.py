"""YAML -> Exercise, for a seat. Every error is a ScenarioError that names file, line and column.

An exercise is found as a scenario is: by its path, or by its id among those that ship with mxlab
and those in a folder of one's own.
"""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mxlab.errors import Mistakes
from mxlab.exercise.draw import drawn
from mxlab.exercise.sound import exercise_problems
from mxlab.model.answer import QUESTIONS, AnyQuestion, Fixed
from mxlab.model.condition import AnyCondition
from mxlab.model.exercise import (
    KINDS,
    AnswerTask,
    DoneTask,
    Exercise,
    Finish,
    Hint,
    NeverTask,
    PredictTask,
    ProveTask,
    Task,
    Wrong,
)
from mxlab.model.goal import GOALS, Wish, Wishes
from mxlab.model.scenario import SourceFile, StepPath
from mxlab.model.step import AnyStep
from mxlab.scenario.forms import Choice
from mxlab.scenario.load import candidates, check_version, problem_at, read_text, scenario_ids
from mxlab.scenario.steps import only_key, read_condition, read_keyed, read_step
from mxlab.scenario.yaml import Reader, Tree, parse, read_each, read_struct, read_value

FILE = "exercise.yaml"
GOAL = Choice(GOALS, "there must be exactly one condition", lambda goal: goal.key)
QUESTION = Choice(QUESTIONS, "a question has exactly one kind", lambda question: question.key)
Lines = dict[StepPath, int]


def exercise_ids(folder: Path | None = None) -> list[str]:
    """By name, the exercises that ship with mxlab and those in `folder`."""
    return scenario_ids(folder, FILE)


def find_exercise(name: str, folder: Path | None = None) -> Path:
    """The file that `name` means. Raises UnknownName with the nearest id, UsageError."""
    return candidates(name, folder, FILE)[0]


def load_exercise(name: str, seed: int = 0, folder: Path | None = None) -> Exercise:
    """The exercise called `name`, or in the file `name`, for the seat with that seed. Raises
    ScenarioError, with every mistake that is in the file."""
    return load_exercise_file(find_exercise(name, folder), seed)


def load_exercise_file(path: Path, seed: int = 0) -> Exercise:
    """The exercise in that file. Raises as `load_exercise` does. A file that is as it was is not
    read again: a page asks often."""
    exercise_id = path.resolve().parent.name if path.name == FILE else path.stem
    return _read_once(read_text(path), seed, str(path), exercise_id)


def read_exercise(
    text: str, seed: int = 0, file: str = "<text>", exercise_id: str = ""
) -> Exercise:
    """The exercise in `text`; `file` is its name in errors. Raises as `load_exercise` does."""
    exercise, tree = survey_exercise(text, seed, file, exercise_id)
    mistakes = Mistakes()
    for problem in exercise_problems(exercise):
        mistakes.add(problem_at(tree, problem))
    mistakes.check()
    return exercise


@functools.lru_cache(maxsize=128)
def _read_once(text: str, seed: int, file: str, exercise_id: str) -> Exercise:
    return read_exercise(text, seed, file, exercise_id)


def survey_exercise(text: str, seed: int, file: str, exercise_id: str) -> tuple[Exercise, Tree]:
    """The exercise in `text`, of the right types but perhaps with `exercise_problems`, and its
    tree. Raises ScenarioError."""
    written = parse(text, file)
    check_version(written)
    draw = drawn(written, seed, exercise_id)
    lines: Lines = {}
    special: dict[str, Reader] = {
        "topology": lambda _: draw.topology,
        "setup": functools.partial(read_steps, lines=lines),
        "tasks": lambda tree: tuple(read_each(tree, _task)),
        "finish": _finish,
    }
    hidden = ("origin", "seed", "values")
    values = read_struct(draw.tree, Exercise, special, extra=("mxlab",), hidden=hidden)
    origin = SourceFile(file, lines)
    whole = {"topology": draw.topology, **values, "id": values.get("id") or exercise_id}
    exercise = Exercise(**whole, seed=seed, values=draw.values, origin=origin)
    return exercise, draw.tree


def read_steps(tree: Tree, above: StepPath = (), lines: Lines | None = None) -> tuple[AnyStep, ...]:
    """The steps in a list; the line of each goes into `lines`. Raises ScenarioError."""
    found, mistakes = [], Mistakes()
    for number, element in enumerate(tree.elements()):
        path = (*above, number)
        if lines is not None:
            lines[path] = element.line
        with mistakes.noted():
            inner = functools.partial(read_steps, above=path, lines=lines)
            found.append(read_step(element, inner))
    mistakes.check()
    return tuple(found)


def _expectations(tree: Tree) -> tuple[str | AnyCondition, ...]:
    def one(element: Tree) -> str | AnyCondition:
        text: str | AnyCondition
        text = read_condition(element) if element.is_mapping else read_value(element, str)
        return text

    return tuple(read_each(tree, one))


def _finish(tree: Tree) -> Finish:
    return Finish(**read_struct(tree, Finish, {"expect": _expectations}))


def _task(tree: Tree) -> Task:
    kind, judged = only_key(tree, KINDS, "a task is of exactly one kind", _BESIDE)
    special: dict[str, Reader] = {
        "hints": lambda hints: tuple(read_each(hints, _hint)),
        "wrong": lambda wrong: tuple(read_each(wrong, _wrong)),
    }
    mistakes, values = Mistakes(), dict[str, Any]()
    with mistakes.noted():
        values["judged"] = _JUDGED[kind](judged)
    if kind == "predict" and "text" not in tree.items() and "judged" in values:
        values["text"] = values["judged"].question
    with mistakes.noted():
        hidden = ("judged", "line") + (("text",) if "text" in values else ())
        values |= read_struct(tree, Task, special, extra=(kind,), hidden=hidden)
    mistakes.check()
    return Task(**values, line=tree.line)


_BESIDE = ("id", "text", "hints", "solution", "wrong", "same")


def _wishes(tree: Tree) -> Wishes:
    """One goal, or a list of them."""
    return (_wish(tree),) if tree.is_mapping else tuple(read_each(tree, _wish))


def _wish(tree: Tree) -> Wish:
    key, value = only_key(tree, (*GOALS, "not"), GOAL.rule)
    if key == "not":
        inner, goal = only_key(value, GOALS, GOAL.rule)
        return Wish(read_keyed(goal, GOALS[inner], GOAL), negated=True)
    return Wish(read_keyed(value, GOALS[key], GOAL))


def _question(tree: Tree) -> AnyQuestion:
    key, value = only_key(tree, QUESTIONS, QUESTION.rule)
    if key == Fixed.key:
        return Fixed(_words(value))
    found: AnyQuestion = read_keyed(value, QUESTIONS[key], QUESTION)
    return found


def _predict(tree: Tree) -> PredictTask:
    return PredictTask(**read_struct(tree, PredictTask, {"answer": _question}))


def _prove(tree: Tree) -> ProveTask:
    return ProveTask(**read_struct(tree, ProveTask, {"steps": read_steps, "expect": _expectations}))


def _hint(tree: Tree) -> Hint:
    if not tree.is_mapping:
        return Hint(read_value(tree, str))
    return Hint(**read_struct(tree, Hint, {"when": _wishes}))


def _wrong(tree: Tree) -> Wrong:
    return Wrong(**read_struct(tree, Wrong, {"when": _wishes, "answer": _text}))


def _words(tree: Tree) -> str | tuple[str, ...]:
    """What answers a question of one right text: the text, or several of which each is right."""
    if tree.is_mapping:
        return _words(only_key(tree, ("words",), "there are `words`")[1])
    if tree.is_text:
        return _text(tree)
    return tuple(read_each(tree, _text))


def _text(tree: Tree) -> str:
    """A text; a number is one as it is written, since people type it."""
    if not tree.is_text:
        tree.fail("expected an answer as it is typed")
    text = str(tree.node.value)
    if not text.strip():
        tree.fail("an answer is not empty")
    return text


_JUDGED: dict[str, Any] = {
    "answer": lambda tree: AnswerTask(_question(tree)),
    "predict": _predict,
    "done": lambda tree: DoneTask(_wishes(tree)),
    "never": lambda tree: NeverTask(_wishes(tree)),
    "prove": _prove,
}


def of_track(exercises: Sequence[Exercise], track: str) -> list[Exercise]:
    """Those of a track, in their order."""
    return sorted((e for e in exercises if e.track == track), key=lambda e: (e.part, e.id))
