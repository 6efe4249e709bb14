"""Hints of a task, one by one: those that fit what the lab is like now go before the others."""

from mxlab.errors import LabError
from mxlab.learn.goals import all_hold
from mxlab.learn.situation import Situation
from mxlab.model.exercise import Hint, Task


async def in_order(task: Task, situation: Situation | None) -> list[Hint]:
    """The hints that may be given now, the first first. With no situation, because there is no lab
    to look at, those that fit any."""
    fitting = [hint for hint in task.hints if hint.when and await _fits(hint, situation)]
    return [*fitting, *(hint for hint in task.hints if not hint.when)]


async def _fits(hint: Hint, situation: Situation | None) -> bool:
    if situation is None:
        return False
    try:
        return await all_hold(hint.when, situation)
    except LabError:  # what cannot be looked at fits nothing
        return False


async def next_hint(task: Task, situation: Situation | None, given: tuple[str, ...]) -> Hint | None:
    """The first that was not given yet, of those that fit now; None where there is no more."""
    for hint in await in_order(task, situation):
        if hint.text not in given:
            return hint
    return None
