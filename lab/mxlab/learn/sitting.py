"""A student at an exercise: what their commands come to, on the lab and on record.

What is on record is read again whenever it is changed: another terminal may have gone on meanwhile,
and what it did is kept.
"""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mxlab.backends.base import Lab
from mxlab.errors import EnvironmentProblem, LabError, UsageError
from mxlab.exercise.load import find_exercise, load_exercise_file
from mxlab.learn.check import RESET, Checked, check_task, solved
from mxlab.learn.hints import next_hint
from mxlab.learn.progress import ExerciseRecord, Progress, ProgressFile, now
from mxlab.learn.situation import Mark, Situation, situation_of
from mxlab.model.exercise import AnswerTask, Exercise, Hint, NeverTask, PredictTask, Task
from mxlab.model.finding import Finding, Verdict
from mxlab.operate.hands import Hands
from mxlab.runner.progress import Report, silent

NONE_BEGUN = "no exercise is begun"


@dataclass(frozen=True, slots=True)
class Guess:
    """A prediction, and what turned out; `right` is None where nobody can say."""

    question: str
    guess: str
    true: str
    right: bool | None


@dataclass(frozen=True, slots=True)
class Came:
    """What came of a check. `next`: the task to do now, if that changed; `guesses`: predictions
    that came out with it; `broken`: tasks about what must never be, and was; `ended`: what the
    whole exercise was judged by, where all tasks are done."""

    task: Task
    checked: Checked
    next: Task | None = None
    guesses: tuple[Guess, ...] = ()
    broken: tuple[Task, ...] = ()
    ended: tuple[Finding, ...] | None = None

    @property
    def finished(self) -> bool:
        """Whether the exercise is done, and nothing speaks against it."""
        held = self.ended is not None and all(f.verdict is Verdict.PASS for f in self.ended)
        return held and not self.broken


class Sitting:
    """The exercise that is being done, with its record as it was when it was read."""

    def __init__(self, store: ProgressFile, name: str, record: ExerciseRecord) -> None:
        self.store, self.name, self.record = store, name, record
        where = find_exercise(record.file, Path(record.folder) if record.folder else None)
        self.exercise: Exercise = load_exercise_file(where, record.seed)

    @property
    def present(self) -> Task | None:
        """The task to be done now; None where all are."""
        return self.record.present(self.exercise)

    def must_be_at(self) -> Task:
        """The task to be done now. Raises UsageError where all are."""
        if self.present is None:
            raise UsageError(
                f"every task of {self.name} is done", "`mxlab learn next` goes on; or `reset`"
            )
        return self.present

    async def look(self, lab: Lab) -> Situation:
        """The lab as it is. Raises EnvironmentProblem for a lab that is another's by now, or has
        lost a host."""
        if lab.run != self.record.run:
            raise EnvironmentProblem(
                f"the lab {lab.name!r} that is up is not the one in which {self.name} was begun",
                f"`mxlab down {lab.name}` removes it; then {RESET}",
            )
        gone = [host for host in self.exercise.topology.hosts if host not in lab.nodes]
        if gone:
            raise EnvironmentProblem(f"the lab has lost {', '.join(gone)}", RESET)
        return await situation_of(lab, self.exercise, self.record.begun, self.record.since)

    async def check(
        self,
        lab: Lab,
        answer: str | None = None,
        *,
        patience: float | None = None,
        progress: Report = silent,
    ) -> Came:
        """Check the present task, and note what came of it. With no patience at all what fails is
        no try, and is not noted. Raises UsageError where all is done, EnvironmentProblem."""
        task, situation = self.must_be_at(), await self.look(lab)
        how = {} if patience is None else {"patience": patience}
        checked = await check_task(self.exercise, task, situation, answer, progress=progress, **how)
        good = checked.verdict in ("done", "recorded")
        broken = tuple([one for one in self._watched(task) if await self._broken(one, situation)])
        if not good and patience == 0:
            return Came(task, checked, broken=broken)
        mark = await situation.mark() if good else None
        self._note(task, checked, answer, mark)
        if not good:
            return Came(task, checked, broken=broken)
        guesses = await self._come_out(task, situation)
        return await self._go_on(Came(task, checked, self.present, guesses, broken), lab)

    async def _go_on(self, came: Came, lab: Lab) -> Came:
        """With the last task done, what must never be is judged, and the whole."""
        while (task := self.present) is not None and isinstance(task.judged, NeverTask):
            checked = await check_task(self.exercise, task, await self.look(lab))
            if checked.verdict != "done":
                return Came(
                    came.task, came.checked, task, came.guesses, tuple({*came.broken, task})
                )
            self._note(task, checked, None, None)
        if task is not None:
            return Came(came.task, came.checked, task, came.guesses, came.broken)
        ended = await self.judge_all(lab)
        return Came(came.task, came.checked, None, came.guesses, came.broken, ended)

    async def judge_all(self, lab: Lab) -> tuple[Finding, ...]:
        """What the exercise expects of all that happened; where it holds, it is finished."""
        expect = self.exercise.finish.expect
        findings: tuple[Finding, ...] = ()
        if expect:
            from mxlab.runner.now import inspect

            findings = (await inspect(lab, expect)).findings
        if all(finding.verdict is Verdict.PASS for finding in findings):
            with self._own() as record:
                if record is not None:
                    record.finished = True
        return findings

    def _watched(self, task: Task) -> list[Task]:
        """What must never be, beside the task that is checked."""
        return [
            one for one in self.exercise.tasks if isinstance(one.judged, NeverTask) and one != task
        ]

    async def _broken(self, task: Task, situation: Situation) -> bool:
        return (await check_task(self.exercise, task, situation)).verdict == "wrong"

    async def _come_out(self, done: Task, situation: Situation) -> tuple[Guess, ...]:
        found = []
        for task in self.exercise.tasks:
            guess = self.record.of(task).guess
            if isinstance(task.judged, PredictTask) and task.judged.after == done.id and guess:
                right, true = await solved(task.judged.answer, situation, guess)
                found.append(Guess(task.text, guess, true, right))
        return tuple(found)

    async def hint(self, lab: Lab | None) -> tuple[Hint | None, int]:
        """The next hint for the present task, and how many were given with it; None where there is
        no more."""
        task = self.must_be_at()
        try:
            situation = None if lab is None else await self.look(lab)
        except LabError:
            situation = None
        hint = await next_hint(task, situation, tuple(self.record.of(task).hints))
        if hint is not None:
            with self._own() as record:
                if record is not None:
                    given = record.of(task).hints
                    given += [hint.text] * (hint.text not in given)
        return hint, len(self.record.of(task).hints)

    async def solution(self, lab: Lab | None) -> tuple[Task, str]:
        """The present task, whose solution is shown now, and the answer to its question, if it has
        one. It goes on record."""
        task, answer = self.must_be_at(), ""
        if isinstance(task.judged, AnswerTask) and lab is not None:
            _, answer = await solved(task.judged.question, await self.look(lab), None)
        with self._own() as record:
            if record is not None:
                record.of(task).shown = True
        return task, answer

    async def skip(self, lab: Lab, hands: Hands, progress: Report = silent) -> Task:
        """Pass the present task over: the lab is brought to where its solution leads."""
        from mxlab.learn.begin import begin_anew, go_on_to

        task = self.must_be_at()
        if isinstance(task.judged, AnswerTask | PredictTask | NeverTask):
            begun, since = None, await (await self.look(lab)).mark()
        else:
            upto = self.exercise.tasks[: self.exercise.tasks.index(task) + 1]
            begun = await begin_anew(lab, self.exercise, progress)
            since = await go_on_to(lab, self.exercise, upto, hands, progress)
        with self._own() as record:
            if record is not None:
                record.skip(task, now())
                record.since = since
                record.begun = begun or record.begun
                record.begin_present(self.exercise, now())
        return task

    async def reset(self, lab: Lab, hands: Hands | None = None, progress: Report = silent) -> None:
        """Begin the exercise anew in its lab; with `hands`, the present task only."""
        from mxlab.learn.begin import begin_anew, go_on_to

        begun = since = await begin_anew(lab, self.exercise, progress)
        kept, task = 0, self.present
        if hands is not None and task is not None:
            kept = self.exercise.tasks.index(task)
            before = self.exercise.tasks[:kept]
            since = await go_on_to(lab, self.exercise, before, hands, progress)
        self._begun_again(lab, begun, since, kept)

    async def set_up_in(self, lab: Lab, progress: Report = silent) -> None:
        """Begin the exercise in a lab that has just come up, which is its own from then on."""
        from mxlab.learn.begin import set_up

        with self.store.changing() as all_of_them:
            self.record.run, self.record.backend, self.record.lab = lab.run, lab.backend, lab.name
            all_of_them.exercises[self.name] = self.record
            all_of_them.current = self.name
        begun = await set_up(lab, self.exercise, progress)
        self._begun_again(lab, begun, begun, 0)

    async def go_on_in(self, lab: Lab, hands: Hands, progress: Report = silent) -> None:
        """As `set_up_in`, and on to the present task: what was done before it is done again, and
        stays on record. An exercise that was finished stays so."""
        from mxlab.learn.begin import go_on_to, set_up

        tasks, was = self.exercise.tasks, self.record.finished
        kept = len(tasks) if self.present is None else tasks.index(self.present)
        begun = await set_up(lab, self.exercise, progress)
        since = begun
        if kept:
            since = await go_on_to(lab, self.exercise, tasks[:kept], hands, progress)
        self._begun_again(lab, begun, since, kept)
        with self._own() as record:
            if record is not None:
                record.finished = was

    def _begun_again(self, lab: Lab, begun: Mark, since: Mark, kept: int) -> None:
        with self.store.changing() as progress:
            record = progress.exercises.setdefault(self.name, self.record)
            record.run, record.backend, record.lab = lab.run, lab.backend, lab.name
            record.begun, record.since = begun, since
            record.again(kept, self.exercise, now())
            progress.current = self.name
        self.record = record

    def _note(self, task: Task, checked: Checked, answer: str | None, mark: Mark | None) -> None:
        with self._own() as record:
            if record is None or record.of(task).state in ("done", "skipped"):
                return  # another terminal was first
            record.note(task, checked, answer, now())
            if mark is not None:
                record.since = mark
            record.begin_present(self.exercise, now())

    @contextlib.contextmanager
    def _own(self) -> Iterator[ExerciseRecord | None]:
        """A block in which the record on disk may be changed; None where the exercise was begun
        anew elsewhere: what was found here is of a lab that is no more."""
        with self.store.changing() as progress:
            record = progress.exercises.get(self.name)
            if record is None or record.run != self.record.run:
                yield None
            else:
                self.record = record
                yield record


def sitting_at(store: ProgressFile) -> Sitting:
    """The exercise that is on record as the present one. Raises UsageError where none is."""
    progress: Progress = store.read()
    name = progress.current
    if name is None or name not in progress.exercises:
        raise UsageError(NONE_BEGUN, "`mxlab learn` shows which there are; `mxlab learn start ID`")
    return Sitting(store, name, progress.exercises[name])
