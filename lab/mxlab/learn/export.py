"""What was done, a row for each task: as learning platforms and teachers take it. Pure."""

import csv
import io
from collections.abc import Sequence

import msgspec

from mxlab.learn.progress import Progress, TaskRecord


class TaskRow(msgspec.Struct, frozen=True):
    """One task of one exercise. `seconds`: from its begin to its end, or nothing where it has not
    both; `ended`: when that was, by the Unix epoch."""

    exercise: str
    seed: int
    task: str
    result: str
    tries: int
    hints: int
    solution_shown: bool
    seconds: float | None
    ended: float | None
    guess: str | None = None


def rows(progress: Progress) -> list[TaskRow]:
    """One for each task that was ever begun."""
    return [
        TaskRow(
            name, record.seed, task, one.state, one.tries, len(one.hints), one.shown,
            _seconds(one), one.ended, one.guess,
        )
        for name, record in progress.exercises.items()
        for task, one in record.tasks.items()
    ]  # fmt: skip


def _seconds(one: TaskRecord) -> float | None:
    if one.began is None or one.ended is None:
        return None
    return round(max(0.0, one.ended - one.began), 1)


FIELDS = TaskRow.__struct_fields__


def as_csv(found: Sequence[TaskRow], fields: Sequence[str] = FIELDS) -> str:
    """With a heading. A text that a spreadsheet would take for a formula is marked as text."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(fields)
    for row in found:
        writer.writerow([_cell(getattr(row, field)) for field in fields])
    return out.getvalue()


def _cell(value: object) -> str:
    """A value as a cell of CSV."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = str(value)
    risky = isinstance(value, str) and text.startswith(("=", "+", "-", "@", "\t", "\r"))
    return f"'{text}" if risky else text
