"""How far a seat is, told from its student's progress. Pure, but for the exercises that ship.

What a seat says is not trusted: it is read strictly, bounded, and names an exercise only by its id.
"""

import functools
from typing import Any

import msgspec

from mxlab.errors import LabError
from mxlab.exercise.load import exercise_ids, load_exercise
from mxlab.learn.export import FIELDS, TaskRow, as_csv, rows
from mxlab.learn.progress import OVER, ExerciseRecord, Progress, TaskRecord
from mxlab.model.exercise import Exercise

LARGEST = 256_000  # bytes of one seat's progress
MOST = 200  # exercises, tasks of one, hints of a task


class Standing(msgspec.Struct, frozen=True):
    """Where a student is: the exercise (its id and title), the present task with its number, tries,
    hints; `over` of `tasks` are done or skipped; `began`: when the task began, by the seat's clock;
    `finished`: exercises that are."""

    exercise: str = ""
    title: str = ""
    task: str = ""
    text: str = ""
    over: int = 0
    tasks: int = 0
    tries: int = 0
    hints: int = 0
    shown: bool = False
    began: float | None = None
    finished: int = 0


def read_progress(line: bytes) -> Progress:
    """A student's progress as a line of JSON. Raises msgspec.ValidationError, DecodeError."""
    found = msgspec.json.decode(line, type=Progress)
    tasks = [one for record in found.exercises.values() for one in record.tasks.values()]
    many = max((len(found.exercises), len(tasks), *(len(one.hints) for one in tasks)), default=0)
    if many > MOST:
        raise msgspec.ValidationError(f"more than {MOST} exercises, tasks or hints")
    return found


def standing(progress: Progress | None) -> Standing:
    """Where that student is now."""
    if progress is None:
        return Standing()
    finished = sum(record.finished for record in progress.exercises.values())
    name = progress.current or ""
    record = progress.exercises.get(name)
    if record is None:
        return Standing(finished=finished)
    exercise = exercise_of(name, record.seed)
    over = sum(one.state in OVER for one in record.tasks.values())
    here = record.present(exercise) if exercise else None
    task, own = (here.id, record.of(here)) if here else _last_open(record)
    return Standing(
        name, exercise.title if exercise else name, task, here.text.strip() if here else "", over,
        len(exercise.tasks) if exercise else len(record.tasks), own.tries, len(own.hints),
        own.shown, own.began, finished,
    )  # fmt: skip


def how_far(progress: Progress | None) -> tuple[Any, ...]:
    """What changes when a student gets on: not by a try, not by a hint."""
    if progress is None:
        return ()
    over = sum(one.state in OVER for r in progress.exercises.values() for one in r.tasks.values())
    begun = sum(record.times_begun for record in progress.exercises.values())
    return progress.current, over, begun


def _last_open(record: ExerciseRecord) -> tuple[str, TaskRecord]:
    """Of an exercise that is not known here: the first task on record that is not over."""
    waiting = [(name, one) for name, one in record.tasks.items() if one.state not in OVER]
    return waiting[0] if waiting else ("", TaskRecord())


@functools.lru_cache(maxsize=2048)
def exercise_of(name: str, seed: int) -> Exercise | None:
    """One that ships, for that seat, or none: a seat cannot name a file of ours."""
    if name not in _shipped():
        return None
    try:
        return load_exercise(name, seed)
    except LabError:
        return None


@functools.cache
def _shipped() -> frozenset[str]:
    return frozenset(exercise_ids())


class SeatRow(TaskRow, frozen=True, kw_only=True):
    """A row of the export: a task of a seat."""

    seat: int


def seat_rows(seat: int, progress: Progress | None) -> list[SeatRow]:
    """One for each task that was ever begun there."""
    if progress is None:
        return []
    return [SeatRow(**msgspec.structs.asdict(row), seat=seat) for row in rows(progress)]


def seats_csv(found: list[SeatRow]) -> str:
    """As of `mxlab learn export`, the seat first."""
    return as_csv(found, ("seat", *FIELDS))
