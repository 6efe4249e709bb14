"""An exercise of one seat, walked on a lab: straight, as who knows the way, and astray, where
nothing must count. What is wrong with the exercise is noted with its place in the file.

Long: each promise of an exercise, and how it is broken.
"""

from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import NoReturn

from mxlab.backends.base import Lab
from mxlab.errors import EXIT_USAGE, UsageError
from mxlab.learn.begin import NotAsMeant, begin_anew, check_solved, go_on_to, set_up
from mxlab.learn.check import Checked, check_task
from mxlab.learn.goals import all_hold
from mxlab.learn.likeness import Likeness, likeness, unlike
from mxlab.learn.match import Truth, Unknown, right
from mxlab.learn.situation import Mark, Situation, situation_of
from mxlab.learn.truth import truth
from mxlab.learn.waiting import at_rest, in_time
from mxlab.model.answer import AnyQuestion
from mxlab.model.exercise import (
    AnswerTask,
    DoneTask,
    Exercise,
    NeverTask,
    PredictTask,
    ProveTask,
    Task,
    Wrong,
)
from mxlab.model.finding import Verdict
from mxlab.model.reference import Place
from mxlab.operate.hands import Hands, Typed
from mxlab.runner.now import inspect

# Answers of every kind, of which a question has at least one that is wrong.
GUESSES = (
    "nobody", "0", "7", "41", "3s", "17m", "45d", "250", "599", "4.9.9", "5.9.9", "203.0.113.9",
    "nobody@elsewhere.test", "some other word",
)  # fmt: skip
ALIKE = 10.0  # real seconds in which a lab has to become like the other, at the same task
SHOWN = 300  # characters of what a command said


@dataclass(frozen=True, slots=True)
class Defect:
    """What is wrong with an exercise, where in its file, and what to do. `kind` is the same for the
    same mistake in every seat."""

    place: Place
    kind: str
    text: str
    hint: str = ""


@dataclass(slots=True)
class Walked:
    """What one seat's walk came to. `answers`: the right one of each question, by task; `fitted`:
    the hints, as task and number, that fitted once."""

    refusals: list[Defect] = field(default_factory=list)
    answers: dict[str, str] = field(default_factory=dict)
    fitted: set[tuple[str, int]] = field(default_factory=set)


class _Off(Exception):
    """The walk cannot go on from here: what follows would be told of the wrong place."""


class SeatWalk:
    """One seat's walk. `hands` type commands."""

    def __init__(self, exercise: Exercise, hands: Hands) -> None:
        self._exercise, self._hands = exercise, hands
        self.walked = Walked()
        self._looks: list[Likeness] = []  # the lab as it is when each task begins, and in the end

    async def straight(self, lab: Lab) -> bool:
        """The setup and each task's solution, on a lab that has just come up; then what is to be
        found in the end. False where that leads nowhere, so that nothing else can be tried."""
        try:
            begun = await self._set_up(set_up(lab, self._exercise))
            for number, task in enumerate(self._exercise.tasks):
                await at_rest(await situation_of(lab, self._exercise))
                self._looks.append(await likeness(lab))
                await self._solve(lab, number, task, begun)
            await self._finish(lab)
        except _Off:
            return False
        return True

    async def astray(self, lab: Lab) -> None:
        """From each task's beginning what must not count: nothing, wrong answers, wrong ways, a
        proof before the repair. Only after `straight` led to the end."""
        for number, task in enumerate(self._exercise.tasks):
            try:
                begun = await self._skip_to(lab, number)
                await self._nothing(lab, number, task, begun)
                for which, wrong in enumerate(w for w in task.wrong if w.do):
                    if which or isinstance(task.judged, ProveTask):  # else it is where it begins
                        begun = await self._skip_to(lab, number)
                    await self._wrong_way(lab, number, task, wrong, begun)
                await self._too_early(lab, number, task)
            except _Off:
                continue

    # --- straight ---------------------------------------------------------------------------------

    async def _set_up(self, coming: Awaitable[Mark]) -> Mark:
        try:
            return await coming
        except NotAsMeant as error:
            self._off(error.place, "setup", str(error))

    async def _solve(self, lab: Lab, number: int, task: Task, begun: Mark) -> None:
        place: Place = ("tasks", number)
        situation = await self._situation(lab, begun)
        if isinstance(task.judged, DoneTask):
            checked = await check_task(self._exercise, task, situation)
            if checked.verdict == "done":
                text = "the task is done before the student has done anything"
                hint = "ask for what the setup leaves undone, or break it in the setup"
                self._off((*place, "done"), "done", text, hint)
        for which, line in enumerate(task.solution):
            await self._hints(task, await self._situation(lab, begun, situation.since))
            await self._type(lab, line, (*place, "solution", which))
        situation = await self._situation(lab, begun, situation.since)
        match task.judged:
            case AnswerTask(question=question):
                await self._answer(number, task, question, situation)
            case PredictTask(answer=question):
                await self._predict(number, task, question, situation)
            case _:
                checked = await check_solved(self._exercise, task, situation)
                if checked.verdict != "done":
                    text = f"the task is not done after its solution: {_why(checked)}"
                    self._off((*place, "solution") if task.solution else place, "solution", text)

    async def _answer(
        self, number: int, task: Task, question: AnyQuestion, situation: Situation
    ) -> None:
        place: Place = ("tasks", number, "answer")
        known = await self._known(question, situation, place)
        self.walked.answers[task.id] = str(known)
        checked = await check_task(self._exercise, task, situation, str(known))
        if checked.verdict != "done":
            self._off(place, "answer", f"the right answer, {known}, is not taken: {_why(checked)}")

    async def _predict(
        self, number: int, task: Task, question: AnyQuestion, situation: Situation
    ) -> None:
        place: Place = ("tasks", number, "predict", "answer")
        known = await self._known(question, situation, place)
        checked = await check_task(self._exercise, task, situation, str(known))
        if checked.verdict != "recorded":
            self._off(place, "predict", f"the guess {known} is not taken: {_why(checked)}")

    async def _known(self, question: AnyQuestion, situation: Situation, place: Place) -> Truth:
        found = await truth(question, situation)
        if isinstance(found, Unknown):
            hint = "ask for what the lab can tell when the task begins"
            self._off(place, "unknown", f"nobody can say what is right: {found.why}", hint)
        return found

    async def _finish(self, lab: Lab) -> None:
        expect = self._exercise.finish.expect
        if not expect:
            return
        findings = (await inspect(lab, expect)).findings
        for number, finding in enumerate(findings):
            if finding.verdict is not Verdict.PASS:
                text = f"in the end {finding.check} says {finding.verdict}: {finding.text}"
                hint = "; ".join(finding.details[:2])
                self._note(("finish", "expect", number), "finish", text, hint)

    # --- astray -----------------------------------------------------------------------------------

    async def _skip_to(self, lab: Lab, number: int) -> Mark:
        """The lab as it is when that task begins: from its first state, by the solutions."""
        exercise = self._exercise
        begun = await self._set_up(begin_anew(lab, exercise))
        await self._set_up(go_on_to(lab, exercise, exercise.tasks[:number], self._hands))
        situation = await situation_of(lab, exercise)
        other = ""

        async def alike() -> bool:
            nonlocal other
            other = unlike(self._looks[number], await likeness(lab))
            return not other

        if not await in_time(situation, alike, ALIKE):
            text = f"to skip to this task leads to another lab than to walk there: {other}"
            self._off(("tasks", number), "skip", text, "do solutions rest on how long one waits?")
        return begun

    async def _nothing(self, lab: Lab, number: int, task: Task, begun: Mark) -> None:
        """Before the student has done anything: what fits, and what is said to wrong answers."""
        situation = await self._situation(lab, begun)
        await self._hints(task, situation)
        match task.judged:
            case AnswerTask(question=question):
                await self._wrong_answers(number, task, question, situation)
            case NeverTask():
                await self._breakable(number, task)
            case _:
                pass

    async def _breakable(self, number: int, task: Task) -> None:
        if not any(wrong.do for wrong in task.wrong):
            text = "nothing shows that this can come about"
            hint = "give the task a `wrong` way, with `do`, that brings it about"
            self._note(("tasks", number, "never"), "never", text, hint)

    async def _wrong_answers(
        self, number: int, task: Task, question: AnyQuestion, situation: Situation
    ) -> None:
        known = await self._known(question, situation, ("tasks", number, "answer"))
        for which, wrong in enumerate(task.wrong):
            if wrong.answer:
                place: Place = ("tasks", number, "wrong", which)
                checked = await check_task(self._exercise, task, situation, wrong.answer)
                self._must_fail(checked, wrong, place, f"the answer {wrong.answer!r}")
        hosts = situation.lab.nodes
        guess = next((one for one in (*hosts, *GUESSES) if right(one, known) is False), None)
        if (
            guess is None
            or (await check_task(self._exercise, task, situation, guess)).verdict != "wrong"
        ):
            said = "whatever one answers" if guess is None else f"the answer {guess!r}"
            self._note(("tasks", number, "answer"), "any", f"{said} is not told to be wrong")

    async def _wrong_way(
        self, lab: Lab, number: int, task: Task, wrong: Wrong, begun: Mark
    ) -> None:
        place: Place = ("tasks", number, "wrong", task.wrong.index(wrong))
        since = (await self._situation(lab, begun)).since
        for which, line in enumerate(wrong.do):
            await self._type(lab, line, (*place, "do", which))
        situation = await self._situation(lab, begun, since)
        checked = await check_task(self._exercise, task, situation)
        self._must_fail(checked, wrong, place, "this way")
        await self._hints(task, await self._situation(lab, begun, since))

    def _must_fail(self, checked: Checked, wrong: Wrong, place: Place, way: str) -> None:
        if checked.verdict in ("done", "recorded"):
            hint = "ask for more, or leave this out"
            self._note(place, "passes", f"{way} is not wrong: the task is done after it", hint)
        elif checked.verdict in ("unknown", "not understood"):
            self._note(place, "open", f"of {way} nobody is told that it is wrong: {_why(checked)}")
        elif checked.told != wrong.text:
            said = f"says {checked.told!r}" if checked.told else "does not say this text"
            what = f"the check after {way} {said}: {_why(checked)}"
            hint = "does its `when` hold after it?" if wrong.when else ""
            self._note((*place, "text"), "untold", what, hint)

    async def _too_early(self, lab: Lab, number: int, task: Task) -> None:
        """A proof must fail before the repair: at the task's beginning, or, where the repair was
        another task's, in the lab as it was set up. With its own repair it must pass then."""
        if not isinstance(task.judged, ProveTask):
            return
        place: Place = ("tasks", number, "prove")
        begun = await self._skip_to(lab, number if task.solution else 0)
        situation = await self._situation(lab, begun)
        checked = await check_task(self._exercise, task, situation)
        await self._hints(task, await self._situation(lab, begun, situation.since))
        if checked.verdict == "done":
            text = "the proof passes before anything is repaired"
            self._off(place, "early", text, "let it ask for what is broken")
        if not task.solution:
            return
        for which, line in enumerate(task.solution):
            await self._type(lab, line, ("tasks", number, "solution", which))
        checked = await check_task(
            self._exercise, task, await self._situation(lab, begun, situation.since)
        )
        if checked.verdict != "done":
            text = f"after a proof that failed, the repaired lab fails it too: {_why(checked)}"
            self._note(place, "again", text)

    # --- both -------------------------------------------------------------------------------------

    async def _type(self, lab: Lab, line: str, place: Place) -> Typed:
        try:
            typed = await self._hands(lab, line)
        except UsageError as error:
            self._off(place, "command", str(error), error.hint)
        if typed.exit_code == EXIT_USAGE:
            said = " ".join(typed.output.split())[:SHOWN]
            self._off(place, "command", f"`{line}` is refused: {said}")
        return typed

    async def _hints(self, task: Task, situation: Situation) -> None:
        for number, hint in enumerate(task.hints):
            if hint.when and await all_hold(hint.when, situation):
                self.walked.fitted.add((task.id, number))

    async def _situation(self, lab: Lab, begun: Mark, since: Mark | None = None) -> Situation:
        """The lab now; `since`: when the task began, now if nothing is said."""
        found = await situation_of(lab, self._exercise, begun, since)
        if since is None:
            found.since = await found.mark()
        return found

    def _note(self, place: Place, kind: str, text: str, hint: str = "") -> None:
        self.walked.refusals.append(Defect(place, kind, text, hint))

    def _off(self, place: Place, kind: str, text: str, hint: str = "") -> NoReturn:
        self._note(place, kind, text, hint)
        raise _Off


def _why(checked: Checked) -> str:
    observed = "; ".join(checked.observed[:2])
    return f"{checked.verdict}: {checked.text}" + (f" ({observed})" if observed else "")
