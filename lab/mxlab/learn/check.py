"""A task of an exercise, checked on a lab: what the lab shows decides, never what was typed.

A check that fails waits for what is on its way, woken by events, for a few real seconds at most; a
lab at rest is judged at once. What cannot be judged is unknown, and costs no try. Where the task
cannot be done any more in this lab, the lab is wrecked, and `reset` is what helps.

Long: a function for each kind of task.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Literal, TypeVar

from mxlab.errors import LabError
from mxlab.learn.goals import Look, all_hold, came_about, look, named_batches
from mxlab.learn.match import Truth, Unknown, answer_in, right
from mxlab.learn.situation import Situation
from mxlab.learn.truth import truth
from mxlab.model.answer import AnyQuestion, HolderOf, NextRetryOf
from mxlab.model.condition import Bounced, Deferred, Delivered, Queue
from mxlab.model.exercise import (
    AnswerTask,
    DoneTask,
    Exercise,
    NeverTask,
    PredictTask,
    ProveTask,
    Task,
)
from mxlab.model.finding import Finding, Verdict, overall
from mxlab.model.goal import Wish, Wishes
from mxlab.runner.progress import Report, silent
from mxlab.runner.watch import watching

T = TypeVar("T")
PATIENCE = 5.0  # real seconds that a check waits for what is on its way
Judgement = Literal["done", "not yet", "wrong", "not understood", "unknown", "recorded", "wrecked"]
RESET = "`mxlab learn reset` begins the exercise anew"


@dataclass(frozen=True, slots=True)
class Checked:
    """What came of a check. `text`: for people; `told`: the author's word on the wrong way that was
    gone; `observed`: what is so instead of what is wished. `true`: after a prediction without a
    later task, or one's solution, what is right."""

    verdict: Judgement
    text: str = ""
    told: str = ""
    observed: tuple[str, ...] = ()
    true: str = ""

    @property
    def costs(self) -> bool:
        """Whether it was a try."""
        return self.verdict in ("done", "not yet", "wrong", "wrecked")


async def check_task(
    exercise: Exercise,
    task: Task,
    situation: Situation,
    answer: str | None = None,
    *,
    patience: float = PATIENCE,
    progress: Report = silent,
) -> Checked:
    """Check it now; `answer`: what was typed, where the task is a question. What is on its way is
    waited for, for `patience` real seconds."""
    try:
        match task.judged:
            case AnswerTask(question=question):
                return await _answered(task, question, situation, answer, patience)
            case PredictTask() as predict:
                return await _predicted(predict, situation, answer)
            case DoneTask(wishes=wishes):
                return await _done(exercise, task, wishes, situation, patience)
            case NeverTask(wishes=wishes):
                return await _never(task, wishes, situation, patience)
            case ProveTask() as prove:
                return await _proven(exercise, task, prove, situation, progress)
    except LabError as error:
        hint = f" ({error.hint})" if error.hint else ""
        return Checked("unknown", f"{error}{hint}; if it stays so, {RESET}")


async def solved(
    question: AnyQuestion, situation: Situation, answer: str | None
) -> tuple[bool | None, str]:
    """Of a prediction, whether it was right (None: nobody can say), and what is true, in words."""
    found = await truth(question, situation)
    if isinstance(found, Unknown):
        return None, f"nobody can say: {found.why}"
    return (None if answer is None else right(answer, found)), str(found)


async def _answered(
    task: Task, question: AnyQuestion, situation: Situation, answer: str | None, patience: float
) -> Checked:
    if answer is None:
        return Checked("not yet", "this task wants an answer: `mxlab learn answer ...`")

    async def judge() -> Truth | Unknown:
        return await truth(question, situation)

    def good(found: Truth | Unknown) -> bool:  # what is not understood now never will be
        return not isinstance(found, Unknown) and right(answer, found) is not False

    found = await _patiently(situation, judge, good, patience)
    if lost := wreckage(situation) or _nowhere(question, situation):
        return Checked("wrecked", f"{lost}: {RESET}")
    if isinstance(found, Unknown):
        return Checked("unknown", f"the answer cannot be told now: {found.why}; it cost no try")
    match right(answer, found):
        case True:
            return Checked("done")
        case None:
            text = f"that is not understood as {_form(question)}, and cost no try"
            return Checked("not understood", text)
        case _:
            return Checked("wrong", "that is not it", told=_wrong_answer(task, answer, found))


def _form(question: AnyQuestion) -> str:
    return question.form or "an answer"


def _wrong_answer(task: Task, answer: str, found: Truth) -> str:
    """What the author says to that answer."""
    meant = answer_in(answer, found)
    same = (w.text for w in task.wrong if w.answer and answer_in(w.answer, found) == meant)
    return next(same, "")


async def _predicted(predict: PredictTask, situation: Situation, answer: str | None) -> Checked:
    if answer is None:
        return Checked("not yet", "this task wants a guess: `mxlab learn answer ...`")
    if not answer.strip():
        return Checked("not understood", f"a guess is {_form(predict.answer)}")
    found = await truth(predict.answer, situation)
    if not isinstance(found, Unknown) and answer_in(answer, found) is None:
        return Checked("not understood", f"that is not understood as {_form(predict.answer)}")
    if predict.after is not None:
        return Checked("recorded", "your guess is noted; what is true comes out later")
    if isinstance(found, Unknown):
        return Checked("recorded", "your guess is noted", true=f"nobody can say: {found.why}")
    said = "just so" if right(answer, found) else "not quite"
    return Checked("recorded", f"your guess is noted: {said}", true=str(found))


async def _done(
    exercise: Exercise, task: Task, wishes: Wishes, situation: Situation, patience: float
) -> Checked:
    async def judge() -> list[Look]:
        return [await look(wish, situation) for wish in wishes]

    def good(looks: list[Look]) -> bool:
        return all(one.holds for one in looks)

    looks = await _patiently(situation, judge, good, patience)
    if good(looks):
        return Checked("done")
    words = tuple(dict.fromkeys(one.words for one in looks if not one.holds))
    told = await _wrong_way(task, situation)
    if lost := wreckage(situation, wishes):
        return Checked("wrecked", f"{lost}: {RESET}", told, words)
    return Checked("not yet", "not yet", told, words)


async def _patiently(
    situation: Situation, judge: Callable[[], Awaitable[T]], good: Callable[[T], bool], for_: float
) -> T:
    """What is judged now; where it is not good, again after each event, until it is, or nothing is
    on its way, or so many real seconds have passed."""
    found = await judge()
    deadline = asyncio.get_running_loop().time() + for_
    if good(found) or await _moving(situation, deadline) <= 0:
        return found
    async with aclosing(_changes(situation, deadline)) as changes:  # type: ignore[type-var]
        async for _ in changes:
            found = await judge()
            if good(found):
                break
    return found


async def _changes(situation: Situation, deadline: float) -> AsyncIterator[None]:
    """The situation, read again after each event, until nothing is on its way."""
    async with watching(situation.lab) as watch:
        while (left := await _moving(situation, deadline)) > 0:
            version = watch.version
            await situation.refresh()
            yield
            try:
                async with asyncio.timeout(left):
                    await watch.changed_since(version)
            except TimeoutError:
                continue
    await situation.refresh()
    yield


async def _moving(situation: Situation, deadline: float) -> float:
    """For how many real seconds something may still be on its way; at most until the deadline."""
    clock = situation.lab.clock
    rest = await situation.resting_at() - clock.time()
    left = deadline - asyncio.get_running_loop().time()
    return min(left, clock.real(rest) if rest < float("inf") else left)


async def _wrong_way(task: Task, situation: Situation) -> str:
    """What the author says to the way that was gone: one for which the lab must be as it is now
    goes before one for whatever was done."""
    for wrong in task.wrong:
        if wrong.when and await all_hold(wrong.when, situation):
            return wrong.text
    plain = [wrong.text for wrong in task.wrong if wrong.do and not wrong.when]
    return plain[0] if plain and await situation.acted() else ""


async def _never(task: Task, wishes: Wishes, situation: Situation, patience: float) -> Checked:
    async def broken() -> Wish | None:
        for wish in wishes:
            if await came_about(wish, situation):
                return wish
        return None

    found = await _patiently(situation, broken, lambda wish: wish is not None, patience)
    if found is None:
        return Checked("done")
    told = await _wrong_way(task, situation)
    return Checked("wrong", f"it came about: {found}; {RESET}", told)


async def _proven(
    exercise: Exercise, task: Task, prove: ProveTask, situation: Situation, progress: Report
) -> Checked:
    from mxlab.learn.repair import prove_repair  # only here: a check is to be quick

    findings = await prove_repair(situation.lab, exercise, prove, progress)
    await situation.refresh()
    verdict = overall(findings)
    if verdict is Verdict.PASS:
        return Checked("done", "proven")
    words = tuple(line for one in findings for line in _said(one))
    if verdict is Verdict.UNKNOWN:
        return Checked("unknown", "the proof is inconclusive, and cost no try", observed=words)
    told = await _wrong_way(task, situation)
    return Checked("not yet", "the proof fails: the repair does not stand it", told, words)


def _said(finding: Finding) -> list[str]:
    """A finding that is no pass, in a line or two."""
    if finding.verdict is Verdict.PASS:
        return []
    return [f"{finding.check}: {finding.text}", *finding.details[:2]]


def wreckage(situation: Situation, wishes: Wishes = ()) -> str:
    """Why the exercise cannot be done any more in this lab, or nothing."""
    gone = [batch for batch in situation.sent if batch not in situation.trace.batches]
    if gone:
        return f"the mail of the exercise ({', '.join(gone)}) is gone: the lab was emptied"
    for wish in wishes:
        if not wish.negated and (lost := _hopeless(wish, situation)):
            return f"of {named_batches(wish)[0]} {lost}, so this cannot come about: {wish}"
    return ""


def _nowhere(question: AnyQuestion, situation: Situation) -> str:
    """That mail of which is asked where it is was taken out of the lab; or nothing."""
    if not isinstance(question, HolderOf | NextRetryOf):
        return ""
    fates = [one for one in situation.trace.fates.values() if one.batch == question.batch]
    if any(one.queued or one.bounced or one.delivered for one in fates):
        return ""
    return f"all of {question.batch} is nowhere any more"


def _hopeless(wish: Wish, situation: Situation) -> str:
    """How many messages of the batch are where there is no way from to what is wished."""
    fates = [
        fate
        for batch in named_batches(wish)
        for fate in situation.trace.fates.values()
        if fate.batch == batch
    ]
    ended = [fate for fate in fates if not fate.queued]
    counts = {
        "are nowhere any more": sum(not (fate.bounced or fate.delivered) for fate in ended),
        "have bounced": sum(bool(fate.bounced) for fate in fates),
        "are delivered": sum(bool(fate.delivered) for fate in fates),
        "have left every queue": len(ended),
    }
    gone, bounced, delivered, left = counts
    match wish.goal:
        case Delivered():
            bad = [gone, bounced]
        case Bounced():
            bad = [gone, delivered]
        case Queue(holds=str()) | Deferred():
            bad = [gone, left]
        case _:
            bad = []
    return next((f"{counts[one]} messages {one}" for one in bad if counts[one]), "")
