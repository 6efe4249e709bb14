"""What a student has done, in a file of their own, kept through whatever ends a command.

Guarantees: the file is always whole (it is replaced by rename, once it is on the disk), and two
commands at once lose nothing of each other (each reads, changes and writes under one lock). One
that cannot be read is kept aside, and a new one begun; one of a newer mxlab is refused.
"""

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec
import platformdirs

from mxlab.errors import EnvironmentProblem, UsageError
from mxlab.learn.check import Checked
from mxlab.learn.situation import Mark
from mxlab.model.exercise import AnswerTask, Exercise, NeverTask, PredictTask, Task

VERSION = 1
FILE = "progress.json"
FOLDER_VARIABLE = "MXLAB_LEARN"
TaskState = Literal["open", "done", "skipped", "broken"]
OVER: tuple[TaskState, ...] = ("done", "skipped")


class TaskRecord(msgspec.Struct):
    """What was done at one task. `tries`: checks that could be judged; `hints`: those that were
    taken; `shown`: its solution was looked at; `guess`: what was predicted. `began` and `ended`:
    seconds since the Unix epoch."""

    state: TaskState = "open"
    tries: int = 0
    hints: list[str] = []
    shown: bool = False
    guess: str | None = None
    began: float | None = None
    ended: float | None = None


class ExerciseRecord(msgspec.Struct):
    """One exercise, as somebody does it. `file`: where it stands, by an id or a path, and in which
    `folder`; `run`: of the lab in which it was begun; `begun` and `since`: what there was when it
    had been set up, and when the present task began. `finished`: all that it expects held."""

    file: str
    seed: int
    lab: str
    backend: str
    run: str
    folder: str | None = None
    begun: Mark = Mark()
    since: Mark = Mark()
    tasks: dict[str, TaskRecord] = {}
    finished: bool = False
    times_begun: int = 0

    def of(self, task: Task) -> TaskRecord:
        """The record of a task, which is made where there is none."""
        return self.tasks.setdefault(task.id, TaskRecord())

    def present(self, exercise: Exercise) -> Task | None:
        """The task that is to be done now: what must never be is judged when all else is done."""
        waiting = [task for task in exercise.tasks if self.of(task).state not in OVER]
        doing = [task for task in waiting if not isinstance(task.judged, NeverTask)]
        return next(iter(doing or waiting), None)

    def note(self, task: Task, checked: Checked, answer: str | None, now: float) -> None:
        """Take down what came of a check; to ask a question's task without an answer is no try."""
        one = self.of(task)
        one.began = now if one.began is None else one.began
        one.tries += checked.costs and not (asks(task) and answer is None)
        if checked.verdict == "recorded":
            one.guess = answer
        if checked.verdict in ("done", "recorded"):
            one.state, one.ended = "done", now

    def skip(self, task: Task, now: float) -> None:
        """Take down that a task was passed over."""
        one = self.of(task)
        one.state, one.ended = "skipped", now

    def again(self, kept: int, exercise: Exercise, now: float) -> None:
        """Begin anew, but for the first `kept` tasks: how often was tried, and what was helped,
        stays on record."""
        self.finished = False
        self.times_begun += 1
        for task in exercise.tasks[kept:]:
            one = self.of(task)
            one.state, one.began, one.ended, one.guess = "open", None, None, None
        self.begin_present(exercise, now)

    def begin_present(self, exercise: Exercise, now: float) -> None:
        """Note when the present task began, where that is not known."""
        task = self.present(exercise)
        if task is not None and self.of(task).began is None:
            self.of(task).began = now


def asks(task: Task) -> bool:
    """Whether it is a question, which is answered in words."""
    return isinstance(task.judged, AnswerTask | PredictTask)


class Progress(msgspec.Struct):
    """All of a student's exercises by id, and the one that they are at."""

    version: int = VERSION
    current: str | None = None
    exercises: dict[str, ExerciseRecord] = {}


class _Version(msgspec.Struct):
    version: int


def folder() -> Path:
    """Where progress is kept: what MXLAB_LEARN says, or the user's data folder."""
    given = os.environ.get(FOLDER_VARIABLE)
    if given is not None and not given.strip():
        raise UsageError(f"{FOLDER_VARIABLE} is empty", "name a folder, or unset it")
    return Path(given) if given else Path(platformdirs.user_data_dir("mxlab")) / "learn"


def now() -> float:
    """Seconds since the Unix epoch, by this machine's clock."""
    return datetime.now(UTC).timestamp()


class ProgressFile:
    """The file in a folder. `told` hears, in a sentence, of one that had to be kept aside."""

    def __init__(self, where: Path, told: list[str]) -> None:
        self._file, self._told = where / FILE, told

    def read(self) -> Progress:
        """What stands there now. Raises UsageError for one of a newer mxlab, EnvironmentProblem."""
        with self._locked():
            return self._read()

    @contextlib.contextmanager
    def changing(self) -> Iterator[Progress]:
        """What stands there, to be changed; written at the end of the block, unless it raises."""
        with self._locked():
            progress = self._read()
            yield progress
            self._write(progress)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        with self._trouble(), contextlib.ExitStack() as stack:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            lock = stack.enter_context(self._file.with_suffix(".lock").open("w"))
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def _trouble(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            text = f"progress cannot be kept in {self._file.parent}: {error.strerror or error}"
            raise EnvironmentProblem(text, f"another folder: set {FOLDER_VARIABLE}") from error

    def _read(self) -> Progress:
        try:
            text = self._file.read_bytes()
        except FileNotFoundError:
            return Progress()
        try:
            version = msgspec.json.decode(text, type=_Version).version
            if version > VERSION:
                raise UsageError(
                    f"{self._file} is of a newer mxlab (version {version}, not {VERSION})",
                    f"use that mxlab, or another folder: set {FOLDER_VARIABLE}",
                )
            return msgspec.json.decode(text, type=Progress)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            self._keep_aside(error)
            return Progress()

    def _keep_aside(self, error: Exception) -> None:
        number = 1
        while (aside := self._file.with_name(f"{FILE}.damaged-{number}")).exists():
            number += 1
        self._file.rename(aside)
        self._told.append(f"{self._file} is damaged ({error}); it is kept as {aside.name}")

    def _write(self, progress: Progress) -> None:
        text = msgspec.json.format(msgspec.json.encode(progress), indent=2)
        with tempfile.NamedTemporaryFile(
            dir=self._file.parent, prefix=f".{FILE}.", delete=False
        ) as new:
            try:
                new.write(text)
                new.flush()
                os.fsync(new.fileno())
                Path(new.name).replace(self._file)
            except BaseException:
                Path(new.name).unlink(missing_ok=True)
                raise
