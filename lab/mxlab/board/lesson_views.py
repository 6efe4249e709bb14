"""What the API returns of an exercise: made from a student's sitting, nothing judged here."""

from pathlib import Path
from typing import Literal, cast

import msgspec

from mxlab.board.views import FindingView
from mxlab.exercise.show import TRACKS
from mxlab.learn.check import Judgement
from mxlab.learn.progress import ExerciseRecord, Progress, TaskState
from mxlab.learn.sitting import Came, Sitting
from mxlab.model.answer import AnyQuestion
from mxlab.model.exercise import AnswerTask, Exercise, PredictTask, Task
from mxlab.model.finding import Finding, Verdict
from mxlab.visible import visible, visible_text

LESSON = "README.md"
LARGEST = 100_000  # characters of a lesson
TaskKindName = Literal["answer", "predict", "done", "never", "prove"]


class TaskView(msgspec.Struct, frozen=True):
    """A task. `form`: what kind of text answers it; `choices`: words that can, where they are
    known; `hints`: those that were given; `guess`: what was predicted."""

    id: str
    text: str
    kind: TaskKindName
    state: TaskState
    present: bool
    tries: int
    hints: list[str]
    shown: bool
    form: str = ""
    choices: list[str] = []
    guess: str | None = None


class ExerciseView(msgspec.Struct, frozen=True):
    """An exercise as its student has it. `lesson`: Markdown, as its author wrote it; `here`: it was
    begun in the lab that is served, and that lab is up; `finish`: its last word, once it is
    finished; `follows`: the next exercise of its track, once all tasks are over."""

    id: str
    title: str
    minutes: int
    summary: str
    lesson: str
    track: str
    terms: list[str]
    lab: str
    backend: str
    seat: int
    here: bool
    tasks: list[TaskView]
    finished: bool
    finish: str = ""
    follows: str = ""


class AtView(msgspec.Struct, frozen=True):
    """Where the student is: at no exercise, or at one. `doing`: what is being done to the lab just
    now, or nothing; `remarks`: what they should know, the newest last."""

    exercise: ExerciseView | None
    doing: str
    remarks: list[str]


class GuessView(msgspec.Struct, frozen=True):
    """A prediction, and what is true; `right` is null where nobody can say."""

    question: str
    guess: str
    true: str
    right: bool | None


class CameView(msgspec.Struct, frozen=True):
    """What came of a check of `task` (empty: of the whole). `text`, `told` (the author's word on
    the way that was gone), `observed` (what is so instead) and `true` are for people. `broken`:
    what should never have been, and was; `ended`: what the whole was judged by, where all tasks are
    over."""

    task: str
    verdict: Judgement
    text: str
    told: str
    observed: list[str]
    true: str
    guesses: list[GuessView]
    broken: list[str]
    ended: list[FindingView] | None
    at: AtView


class HintView(msgspec.Struct, frozen=True):
    """A hint, and how many were given with it; null: there is none any more."""

    hint: str | None
    given: int


class SolutionView(msgspec.Struct, frozen=True):
    """How the task is done: commands, and the answer, if it has one."""

    task: str
    commands: list[str]
    answer: str


class EntryView(msgspec.Struct, frozen=True):
    """An exercise in a list: how many of its tasks are over, whether the student is at it."""

    id: str
    title: str
    minutes: int
    summary: str
    tasks: int
    over: int
    finished: bool
    current: bool


class TrackView(msgspec.Struct, frozen=True):
    """The exercises of a track, in their order."""

    title: str
    exercises: list[EntryView]


def track_views(every: list[Exercise], progress: Progress) -> list[TrackView]:
    """All exercises by track, those of none last."""
    found = []
    for track, title in (*TRACKS.items(), (None, "Other exercises")):
        own = sorted((e for e in every if e.track == track), key=lambda e: (e.part, e.id))
        if own:
            found.append(TrackView(title, [_entry(exercise, progress) for exercise in own]))
    return found


def _entry(exercise: Exercise, progress: Progress) -> EntryView:
    record = progress.exercises.get(exercise.id)
    over = 0 if record is None else _over(exercise, record)
    return EntryView(
        exercise.id, exercise.title, exercise.minutes, exercise.summary.strip(),
        len(exercise.tasks), over, record is not None and record.finished,
        progress.current == exercise.id,
    )  # fmt: skip


def _over(exercise: Exercise, record: ExerciseRecord) -> int:
    return sum(record.of(task).state in ("done", "skipped") for task in exercise.tasks)


def exercise_view(sitting: Sitting, *, here: bool, follows: str = "") -> ExerciseView:
    """The exercise as it is on record."""
    exercise, record = sitting.exercise, sitting.record
    return ExerciseView(
        sitting.name, exercise.title, exercise.minutes, exercise.summary.strip(),
        _lesson(exercise), TRACKS.get(exercise.track or "", ""), list(exercise.terms), record.lab,
        record.backend, exercise.seed, here, [_task(sitting, task) for task in exercise.tasks],
        record.finished, exercise.finish.text.strip() if record.finished else "", follows,
    )  # fmt: skip


def _task(sitting: Sitting, task: Task) -> TaskView:
    record = sitting.record.of(task)
    form, choices = "", list[str]()
    if (question := _question(task)) is not None:
        form = question.form
        if "host" in form:
            choices = sorted(sitting.exercise.topology.hosts)
    kind = cast(TaskKindName, task.judged.key)
    return TaskView(
        task.id, task.text.strip(), kind, record.state, task == sitting.present, record.tries,
        list(record.hints), record.shown, form, choices,
        None if record.guess is None else visible(record.guess),
    )  # fmt: skip


def _question(task: Task) -> AnyQuestion | None:
    match task.judged:
        case AnswerTask(question=question) | PredictTask(answer=question):
            return question
        case _:
            return None


def _lesson(exercise: Exercise) -> str:
    """What stands beside it for people, if anything does."""
    if exercise.origin is None:
        return ""
    try:
        text = (Path(exercise.origin.file).parent / LESSON).read_text("utf-8", "replace")
    except OSError:
        return ""
    return visible_text(text[:LARGEST])


def came_view(came: Came, at: AtView) -> CameView:
    """What came of a check."""
    checked = came.checked
    guesses = [GuessView(g.question, visible(g.guess), g.true, g.right) for g in came.guesses]
    return CameView(
        came.task.id, checked.verdict, visible_text(checked.text), checked.told.strip(),
        [visible(line) for line in checked.observed], checked.true, guesses,
        [task.text.strip() for task in came.broken],
        None if came.ended is None else finding_views(came.ended), at,
    )  # fmt: skip


def ended_view(findings: tuple[Finding, ...], at: AtView) -> CameView:
    """What the whole was judged by, with no task left."""
    good = all(finding.verdict is Verdict.PASS for finding in findings)
    text = "" if good else "all tasks are done, but that is not as it should be"
    verdict: Judgement = "done" if good else "not yet"
    return CameView("", verdict, text, "", [], "", [], [], finding_views(findings), at)


def finding_views(findings: tuple[Finding, ...]) -> list[FindingView]:
    return [FindingView(f.check, f.verdict.value, f.text, list(f.details)) for f in findings]
