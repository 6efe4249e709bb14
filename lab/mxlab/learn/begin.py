"""An exercise begun in a lab that is up, begun anew, and brought to the start of a later task.

Guarantee: the same seed gives the same state: what `set_up` plays, and the solutions typed after.
"""

from collections.abc import Sequence

from mxlab.backends.base import Lab
from mxlab.errors import EnvironmentProblem
from mxlab.learn.check import Checked, check_task
from mxlab.learn.goals import all_hold
from mxlab.learn.situation import Mark, Situation, situation_of
from mxlab.learn.waiting import in_time
from mxlab.model.exercise import AnswerTask, DoneTask, Exercise, NeverTask, PredictTask, Task
from mxlab.model.reference import Place
from mxlab.operate.hands import Hands
from mxlab.runner.beginning import play_beginning
from mxlab.runner.progress import Report, silent
from mxlab.runner.reset import reset
from mxlab.runner.watch import watching

SETTLING = 2.0  # real seconds that attempts of the setup may still take
SOLVING = 30.0  # real seconds in which a solution has to do its work


class NotAsMeant(EnvironmentProblem):
    """The setup of an exercise, or a solution, did not come out as its author meant: at that
    `place` in its file."""

    def __init__(self, message: str, hint: str = "", place: Place = ()) -> None:
        super().__init__(message, hint)
        self.place = place


async def set_up(lab: Lab, exercise: Exercise, progress: Report = silent) -> Mark:
    """Play the setup in a lab in its first state, and wait until the attempts that it set off are
    over. Returns what there is then. Raises NotAsMeant, LabError."""
    finding = await play_beginning(lab, exercise.story(), len(exercise.setup), progress)
    if finding is not None:
        raise NotAsMeant(
            f"the setup of {exercise.id} did not come out: {finding.text} ({finding.place})",
            "`mxlab learn reset` tries again; `mxlab exercise prove` shows its author why",
            ("setup", int(finding.check.removeprefix("step ").partition(".")[0]) - 1),
        )
    situation = await situation_of(lab, exercise)
    await _settled(situation)
    return await situation.mark()


async def _settled(situation: Situation) -> None:
    """Wait until no attempt is made, for a moment at most: some setups never come to rest."""
    if not await situation.at_work():
        return
    async with watching(situation.lab) as watch:

        async def rests() -> bool:
            await situation.refresh()
            return not await situation.at_work()

        scale = 1 / situation.lab.clock.real(1.0)
        await watch.until(rests, SETTLING * scale)


async def begin_anew(lab: Lab, exercise: Exercise, progress: Report = silent) -> Mark:
    """Bring the lab back to its first state, and set the exercise up in it. Raises as `set_up`."""
    await reset(lab)
    return await set_up(lab, exercise, progress)


async def go_on_to(
    lab: Lab, exercise: Exercise, tasks: Sequence[Task], hands: Hands, progress: Report = silent
) -> Mark:
    """From a lab as `set_up` leaves it, type the solutions of these tasks, each of which has to be
    done then. Returns what there is then. Raises NotAsMeant, LabError."""
    begun = since = await (await situation_of(lab, exercise)).mark()
    for task in tasks:
        since = await solve(lab, exercise, task, begun, since, hands, progress)
    return since


async def solve(
    lab: Lab,
    exercise: Exercise,
    task: Task,
    begun: Mark,
    since: Mark,
    hands: Hands,
    progress: Report = silent,
) -> Mark:
    """Type a task's solution, and see it done; a question's changes nothing, and is left out.
    Returns what there is then. Raises NotAsMeant, LabError."""
    if isinstance(task.judged, AnswerTask | PredictTask | NeverTask):
        return await (await situation_of(lab, exercise)).mark()
    for line in task.solution:
        typed = await hands(lab, line)
        if typed.exit_code:
            said = typed.output.strip().splitlines()[-1:] or ["it said nothing"]
            raise NotAsMeant(f"the solution of {task.id}: `{line}` failed: {said[0]}")
    situation = await situation_of(lab, exercise, begun, since)
    checked = await check_solved(exercise, task, situation, progress)
    if checked.verdict != "done":
        why = "; ".join(checked.observed) or checked.text
        raise NotAsMeant(f"the solution of {task.id} did not do it: {why}")
    await _settled(situation)
    await situation.refresh()
    return await situation.mark()


async def check_solved(
    exercise: Exercise, task: Task, situation: Situation, progress: Report = silent
) -> Checked:
    """Check a task after its solution, which has its time: an attempt that was under way when a
    host came back may fail yet, and the next is later."""
    if isinstance(task.judged, DoneTask):
        wishes = task.judged.wishes
        await in_time(situation, lambda: all_hold(wishes, situation), SOLVING)
    return await check_task(exercise, task, situation, progress=progress)
