"""What the teacher does to a seat that is stuck, and what they take home."""

from typing import Any

from mxlab.classroom.progress import SeatRow, seat_rows
from mxlab.classroom.roll import Roll
from mxlab.classroom.way import Way
from mxlab.errors import Refused, UnknownName
from mxlab.learn.progress import OVER


async def skip_to_after(way: Way, seat: int, task: str) -> Any:
    """Have a seat pass a task over, with all before it; returns the exercise as it is then. Raises
    UnknownName for a task that its exercise has not, Refused, SeatAway."""
    at = await way.ask(seat, "/exercise")
    tasks = _tasks(at, seat)
    if task not in tasks:
        raise UnknownName("task", task, tasks)
    for _ in tasks:  # each skip passes one over
        if _tasks(at, seat)[task] in OVER:
            return at
        at = await way.ask(seat, "/exercise/skip", {})
    return at


def _tasks(at: Any, seat: int) -> dict[str, str]:
    """The tasks of a seat's exercise, each with its state. A seat's words are not trusted."""
    exercise = at.get("exercise") if isinstance(at, dict) else None
    if not isinstance(exercise, dict):
        raise Refused(f"seat {seat} has begun no exercise")
    try:
        return {str(one["id"]): str(one["state"]) for one in exercise["tasks"][:200]}
    except (KeyError, TypeError) as error:
        raise Refused(f"seat {seat} tells nothing of its tasks that makes sense") from error


async def begin_anew(way: Way, seat: int) -> Any:
    """Have a seat begin its exercise anew, in a lab as it was at first."""
    return await way.ask(seat, "/exercise/reset", {})


def all_rows(roll: Roll) -> list[SeatRow]:
    """What all did, a row for each task of each seat."""
    return [row for number, desk in roll.desks.items() for row in seat_rows(number, desk.progress)]
