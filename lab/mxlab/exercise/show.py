"""An exercise in plain words, as one seat has it: for who writes it and who teaches it. Pure."""

from collections.abc import Iterator

import msgspec

from mxlab.model.exercise import (
    AnswerTask,
    DoneTask,
    Exercise,
    NeverTask,
    PredictTask,
    ProveTask,
    Task,
)
from mxlab.scenario.describe import expectations, lab_of, story

TRACKS = {
    "address-book": "The address book",
    "store-and-forward": "Store and forward",
    "when-it-goes-wrong": "When it goes wrong",
    "running-a-backup": "Running a backup MX",
}


def describe_exercise(exercise: Exercise) -> list[str]:
    """A line for each thing to say; what belongs to the line above is indented."""
    return list(_lines(exercise))


def _lines(exercise: Exercise) -> Iterator[str]:
    yield f"{exercise.id}: {exercise.title} ({exercise.minutes} min)"
    if exercise.track:
        yield f"Track: {TRACKS[exercise.track]}, part {exercise.part}"
    if exercise.summary:
        yield exercise.summary.strip()
    if exercise.terms:
        yield f"Words: {', '.join(exercise.terms)}"
    yield f"Seat {exercise.seed}: " + ", ".join(
        f"{name} {exercise.values[name]}"
        for name in ("domain", "primary", "backup", "bob", "n")
        if name in exercise.values
    )
    begin = exercise.story()
    yield lab_of(begin)
    if exercise.setup:
        yield "Before the student comes:"
        yield from (f"  - {line}" for line in story(begin))
    for number, task in enumerate(exercise.tasks, 1):
        yield f"Task {number}, {task.id} ({_kind(task)}): {task.text.strip()}"
        yield from _about(task)
    if exercise.finish.expect:
        yield "In the end:"
        told = msgspec.structs.replace(begin, expect=exercise.finish.expect)
        yield from (f"  - {line}" for line in expectations(told))
    if exercise.teacher:
        yield f"What students get wrong: {exercise.teacher.mistakes.strip()}"
        yield f"What to ask next: {exercise.teacher.ask.strip()}"


def _kind(task: Task) -> str:
    match task.judged:
        case AnswerTask(question=question):
            return f"a question, answered by {question.form}"
        case PredictTask(after=str(after)):
            return f"a guess, compared after {after}"
        case PredictTask():
            return "a guess, compared at once"
        case DoneTask(wishes=wishes):
            return f"done when {' and '.join(map(str, wishes))}"
        case NeverTask(wishes=wishes):
            return f"never: {' and '.join(map(str, wishes))}"
        case ProveTask(steps=steps):
            return f"proven by {len(steps)} steps"


def _about(task: Task) -> Iterator[str]:
    for hint in task.hints:
        when = f" (while {' and '.join(map(str, hint.when))})" if hint.when else ""
        yield f"  hint{when}: {hint.text.strip()}"
    for wrong in task.wrong:
        way = f"the answer {wrong.answer}" if wrong.answer else "; ".join(wrong.do)
        yield f"  wrong way, {way}: {wrong.text.strip()}"
    for line in task.solution:
        yield f"  solution: {line}"
