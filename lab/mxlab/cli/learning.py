"""What a student is shown: tracks, tasks, what came of a check, the live list of tasks."""

import sys
from typing import TYPE_CHECKING

from mxlab.cli.layout import shortened
from mxlab.cli.output import colours, say, say_line, width
from mxlab.visible import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mxlab.learn.progress import ExerciseRecord, Progress
    from mxlab.learn.sitting import Came, Sitting
    from mxlab.model.exercise import Exercise, Task
    from mxlab.model.finding import Finding

MARKS = {"done": "✓", "skipped": "-", "broken": "✗", "open": " "}
GREEN = 32
HANG = 7


def show_tracks(exercises: "Iterable[Exercise]", progress: "Progress") -> None:
    """The exercises by track, each with how far it is done, and where the student is."""
    from mxlab.exercise.load import of_track
    from mxlab.exercise.show import TRACKS

    every = list(exercises)
    for track, title in (*TRACKS.items(), (None, "Other exercises")):
        own = of_track(every, track) if track else [one for one in every if one.track is None]
        if own:
            say_line(title)
        for exercise in own:
            say_line(_in_track(exercise, progress), hang=HANG)
    say()
    if progress.current:
        say_line(f"You are at {progress.current}: `mxlab learn task` shows what to do.")
    else:
        say_line("`mxlab learn start ID` begins one.")


def _in_track(exercise: "Exercise", progress: "Progress") -> str:
    record = progress.exercises.get(exercise.id)
    here = ">" if progress.current == exercise.id else " "
    done = _so_far(exercise, record) if record else ""
    mark = "✓" if record and record.finished else here
    return f"  {mark} {exercise.id}: {exercise.title} ({exercise.minutes} min){done}"


def _so_far(exercise: "Exercise", record: "ExerciseRecord") -> str:
    over = sum(record.of(task).state in ("done", "skipped") for task in exercise.tasks)
    return f", {over} of {len(exercise.tasks)} tasks"


def show_beginning(sitting: "Sitting") -> None:
    """What an exercise is about, and its first task."""
    exercise = sitting.exercise
    say_line(f"{exercise.title} ({exercise.minutes} min; lab {sitting.record.lab!r}, "
             f"{sitting.record.backend}, seat {exercise.seed})")  # fmt: skip
    if exercise.summary:
        say_line(exercise.summary.strip())
    if exercise.terms:
        say_line(f"Words: {', '.join(exercise.terms)} (`mxlab explain WORD`)")
    say()
    show_task(sitting)


def show_task(sitting: "Sitting") -> None:
    """The present task, and how it is answered."""
    task = sitting.present
    if task is None:
        say_line("Every task is done.")
        return
    number = sitting.exercise.tasks.index(task) + 1
    say_line(f"Task {number} of {len(sitting.exercise.tasks)}: {task.text.strip()}", hang=HANG)
    say_line(f"       {_how(task)}", hang=HANG)


def _how(task: "Task") -> str:
    from mxlab.model.exercise import AnswerTask, PredictTask

    match task.judged:
        case AnswerTask(question=question) | PredictTask(answer=question):
            form = f" ({question.form})" if question.form else ""
            return f"`mxlab learn answer ...`{form}"
        case _:
            return "`mxlab learn check` when it is done; `mxlab learn hint` helps"


def show_came(sitting: "Sitting", came: "Came") -> None:
    """What came of a check, and what comes next."""
    checked = came.checked
    good = checked.verdict in ("done", "recorded")
    words = "done" + (f": {checked.text}" if checked.text else "") if good else checked.text
    mark = "✓" if good else "?" if checked.verdict in ("unknown", "not understood") else "✗"
    say_line(f"{mark} {came.task.id}: {words}", hang=2, mark=mark)
    for line in checked.observed:
        say_line(f"  {line}", hang=4)
    if checked.told:
        say_line(f"  {checked.told.strip()}", hang=2)
    if checked.true:
        say_line(f"  It is {checked.true}.")
    for guess in came.guesses:
        said = {True: "just so", False: "not quite", None: "who knows"}[guess.right]
        say_line(f"  You guessed {guess.guess!r}; it is {guess.true}: {said}.", hang=2)
    for task in came.broken:
        say_line(f"✗ {task.text.strip()} It was not so: `mxlab learn reset`.", hang=2, mark="✗")
    if came.ended is not None:
        show_end(sitting, came.ended)
    elif good and came.next is not None and not came.broken:
        say()
        show_task(sitting)


def show_end(sitting: "Sitting", findings: "Iterable[Finding]") -> None:
    """All tasks are done: what the whole was judged by, and the last word."""
    from mxlab.model.finding import Verdict
    from mxlab.report.text import finding_lines

    bad = [finding for finding in findings if finding.verdict is not Verdict.PASS]
    for finding in bad:
        for line in finding_lines(finding):
            say_line(line, hang=10)
    say()
    if bad:
        say_line("All tasks are done, but that is not as it should be: `mxlab learn reset`.")
        return
    if sitting.exercise.finish.text:
        say_line(sitting.exercise.finish.text.strip())
    say_line(
        f"{sitting.name} is done. `mxlab learn next` goes on; `mxlab learn stop` ends the lab."
    )


def show_solution(task: "Task", answer: str) -> None:
    """The commands that lead there, and the answer."""
    for line in task.solution:
        say_line(f"  {line}")
    if answer:
        say_line(f"  The answer: {answer}")
    if not task.solution and not answer:
        say_line("  There is nothing to type.")


class TaskList:
    """The tasks of an exercise with their marks: at a terminal redrawn in its place, elsewhere a
    line for each that changed."""

    def __init__(self, exercise: "Exercise") -> None:
        self._exercise = exercise
        self._shown: dict[str, str] = {}
        self._last: list[str] = []

    def show(self, sitting: "Sitting") -> None:
        """How it stands now, and how the present task is done."""
        states = {task.id: sitting.record.of(task).state for task in self._exercise.tasks}
        if sys.stdout.isatty():
            self._redraw(states, sitting.present)
        else:
            self._tell(states)

    def _tell(self, states: "Mapping[str, str]") -> None:
        for task in self._exercise.tasks:
            if self._shown.get(task.id) != states[task.id]:
                say_line(f"{MARKS[states[task.id]]} {task.id}: {task.text.strip()}")
        self._shown = dict(states)
        sys.stdout.flush()

    def _redraw(self, states: "Mapping[str, str]", present: "Task | None") -> None:
        room = (width(sys.stdout) or 80) - 1
        lines = []
        for task in self._exercise.tasks:
            mark = ">" if task == present else MARKS[states[task.id]]
            text = shortened(visible(f"{mark} {task.text.strip()}").replace("\n", " "), room)
            green = states[task.id] == "done" and colours(sys.stdout)
            lines.append(f"\x1b[{GREEN}m{text}\x1b[0m" if green else text)
        lines.append(shortened("" if present is None else _how(present), room))
        if lines == self._last:
            return
        up = f"\x1b[{len(self._last)}A" if self._last else ""
        sys.stdout.write(up + "".join(f"\r\x1b[K{line}\n" for line in lines))
        sys.stdout.flush()
        self._last = lines
