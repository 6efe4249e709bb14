"""When a message was tried, held against a schedule, retry by retry."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from mxlab_services.queue.retry import SCHEDULES


class Tolerance(NamedTuple):
    """By how much a wait may differ from the schedule's, in lab seconds: shorter, also by a `share`
    of it, and longer. By `early` the product's count of an age may be behind, too."""

    early: float
    late: float
    share: float = 0.0


def against(name: str, ages: Sequence[float], within: Tolerance) -> list[str]:
    """What is otherwise than the schedule of that name has it. `ages`: the message's, at each of
    its attempts, in lab seconds."""
    schedule, wrong = SCHEDULES[name], []
    for number, (age, later) in enumerate(pairwise(ages), 1):
        wait, counted = later - age, (age, max(0.0, age - within.early))
        says = [schedule.delay(number, one) for one in counted]
        if not any(_is_near(one, wait, within) for one in says):
            wrong.append(
                f"retry {number}: {wait:.0f} s after the one at the age of {age:.0f} s, where "
                f"{name} says {says[0]:.0f} s"
            )
    return wrong


def _is_near(says: float, wait: float, within: Tolerance) -> bool:
    return says * (1 - within.share) - within.early <= wait <= says + within.late
