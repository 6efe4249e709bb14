"""An exercise in the simulation: set up, worked at by requests, judged."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from mxlab.backends.base import Order
from mxlab.backends.sim.backend import SimBackend, SimLab, simulate
from mxlab.exercise.load import read_exercise
from mxlab.learn.begin import set_up
from mxlab.learn.check import Checked, check_task
from mxlab.learn.situation import Mark, Situation, situation_of
from mxlab.model.exercise import Exercise

R = TypeVar("R")
WHERE_IS_IT = (Path(__file__).parent.parent / "unit/exercise/where-is-it.yaml").read_text()
PLAIN = """\
mxlab: 1
exercise: Plain
minutes: 5
topology: {domain: example.test, mx: [{host: mx1, preference: 10}, {host: mx2, preference: 20}]}
setup:
  - fault: {id: down, kill: mx1}
  - send: {id: batch, count: 3, from: alice@client.test, to: bob@example.test}
  - eventually: {within: 60s, queue: {host: mx2, holds: batch}}
tasks:
"""


class Sitting:
    """A student at a lab that has been set up."""

    def __init__(self, lab: SimLab, exercise: Exercise, begun: Mark) -> None:
        self.lab, self.exercise, self.begun = lab, exercise, begun

    async def now(self) -> Situation:
        return await situation_of(self.lab, self.exercise, self.begun, self.begun)

    async def check(self, task: str, answer: str | None = None) -> Checked:
        found = self.exercise.task(task)
        assert found is not None
        return await check_task(self.exercise, found, await self.now(), answer)


def plain(*tasks: str, setup: str = "") -> Exercise:
    """The plain lab with these tasks; `setup` in the place of its own."""
    text = PLAIN if not setup else PLAIN.partition("setup:")[0] + f"setup: {setup}\ntasks:\n"
    return read_exercise(text + "".join(f"  - {task}\n" for task in tasks), 0, "e.yaml", "plain")


def sitting(exercise: Exercise, story: Callable[[Sitting], Awaitable[R]]) -> R:
    """Run `story` at the exercise, which has been set up."""

    async def main() -> R:
        order = Order("lab", "run", exercise.topology, seed=exercise.seed)
        async with SimBackend().deploy(order, lambda _: None) as lab:
            return await story(Sitting(lab, exercise, await set_up(lab, exercise)))

    return simulate(main)
