"""Carries out the steps of a scenario in a lab that is up.

Every fault's undo is recorded before it is injected; `heal_all` undoes what is still open, the last
first, whatever else failed. A step that fails raises StepFailed with its number and its line.
"""

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable

from mxlab.backends.base import Lab
from mxlab.checks import conditions
from mxlab.checks.reasons import reasons
from mxlab.errors import LabError, first_of_group
from mxlab.faults import FAULTS, fault_called, inject, undo
from mxlab.history.evidence import Submission
from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario, StepPath
from mxlab.model.step import (
    AnyStep,
    Ask,
    Dns,
    Etrn,
    Eventually,
    Fault,
    Heal,
    Never,
    Parallel,
    Python,
    Say,
    Send,
    Wait,
)
from mxlab.runner.etrn import ask_to_send
from mxlab.runner.progress import (
    Asked,
    NotAsked,
    Phase,
    Report,
    Seen,
    StepBegan,
    StepEnded,
    Waiting,
)
from mxlab.runner.watch import Watch
from mxlab.scenario.functions import load_function
from mxlab_services.control.requests import Submit, ZoneReplace, ZoneUpdate
from mxlab_services.events import LabFault, LabHealed, LabStep

Asker = Callable[[Ask], Awaitable[str]]
Gate = Callable[[AnyStep], Awaitable[None]]  # awaited before each step of the story


class StepFailed(Exception):
    """A step did not come out as the scenario says."""

    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.text)
        self.finding = finding


class Steps:
    """One walk through a scenario's steps. `asker` answers questions; None skips them."""

    def __init__(
        self,
        scenario: Scenario,
        watch: Watch,
        progress: Report,
        asker: Asker | None = None,
        gate: Gate | None = None,
    ) -> None:
        self._scenario = scenario
        self._watch = watch
        self._lab: Lab = watch.lab
        self._progress = progress
        self._asker = asker
        self._gate = gate
        self._open: dict[str, Fault] = {}
        self.submissions: list[Submission] = []
        self.findings: list[Finding] = []
        self.done = 0  # steps of the story that are over

    async def run(self) -> None:
        """All steps in order. Raises StepFailed at the first that fails."""
        for number, step in enumerate(self._scenario.steps):
            await self._step((number,), step)

    async def do(self, step: AnyStep) -> None:
        """One step beside the story. Raises StepFailed."""
        await self._step((), step)

    async def heal_all(self) -> list[Finding]:
        """Undo every fault that is still open, the last first; a finding for each that stays."""
        failed = []
        for name in list(reversed(self._open)):
            self._progress(Phase(f"healing {name}"))
            try:
                await self._heal(name)
            except LabError as error:
                failed.append(Finding(f"heal {name}", Verdict.FAIL, str(error)))
        return failed

    async def _step(self, path: StepPath, step: AnyStep) -> None:
        if len(path) == 1:
            await self._told(path[0] + 1, path, step)
        else:
            await self._one(path, step)

    async def _told(self, number: int, path: StepPath, step: AnyStep) -> None:
        """A step of the story itself, its begin and its end told."""
        total, clock = len(self._scenario.steps), self._lab.clock
        say = _spoken(step)
        self._progress(StepBegan(number, total, str(step), say))
        if self._gate is not None:
            await self._gate(step)
        self._watch.emit(LabStep(number, str(step)))
        loop = asyncio.get_running_loop()
        began, real = clock.time(), loop.time()

        def ended(failure: str = "") -> None:
            took = clock.time() - began, loop.time() - real
            self._progress(StepEnded(number, total, *took, failure))

        try:
            await self._one(path, step)
        except StepFailed as failed:
            ended(failed.finding.text)
            raise
        if say is None:
            ended()
        self.done = number

    async def _one(self, path: StepPath, step: AnyStep) -> None:
        try:
            await self._do(path, step)
        except LabError as error:
            raise StepFailed(self._finding(path, step, Verdict.FAIL, str(error))) from error
        if isinstance(step, Eventually | Never):
            self.findings.append(self._finding(path, step, Verdict.PASS))

    async def _do(self, path: StepPath, step: AnyStep) -> None:
        match step:
            case Say():
                pass
            case Ask():
                await self._ask(step)
            case Send():
                await self._send(step)
            case Fault():
                await self._fault(step)
            case Heal(fault=name):
                await self._heal(name)
            case Wait(seconds=seconds):
                self._wait(str(step), seconds)
                await self._lab.clock.sleep(seconds)
            case Eventually():
                await self._eventually(path, step)
            case Never():
                await self._never(path, step)
            case Etrn():
                await self._etrn(path, step)
            case Dns():
                await self._dns(step)
            case Python():
                await self._python(path, step)
            case Parallel(steps=steps):
                await self._parallel(path, steps)

    async def _parallel(self, path: StepPath, steps: tuple[AnyStep, ...]) -> None:
        with first_of_group(StepFailed):
            async with asyncio.TaskGroup() as group:
                for number, step in enumerate(steps):
                    group.create_task(self._step((*path, number), step))

    async def _ask(self, step: Ask) -> None:
        if self._asker is None:
            self._progress(NotAsked(step))
        else:
            answer = await self._asker(step)
            right = answer.strip().casefold() == step.answer.strip().casefold()
            self._progress(Asked(step, answer, right))

    async def _send(self, step: Send) -> None:
        request = Submit(
            sender=step.sender,
            recipients=list(step.addresses),
            count=step.count,
            size=step.size,
            rate=step.rate,
            concurrency=step.concurrency,
            subject=step.subject,
            body=step.body,
            batch=step.id,
        )
        sent = await self._lab.nodes[self._lab.topology.client].request(request)
        self.submissions += [
            Submission(step.id, m.message, m.digest, m.sender, tuple(m.recipients)) for m in sent
        ]
        self._watch.trace.add_batch(step.id, [(m.message, m.recipients) for m in sent])
        self._watch.wake()

    async def _fault(self, step: Fault) -> None:
        mechanism = step.mechanism
        self._open[step.id] = step  # the way back, on record before the way there
        await inject(self._lab, step.id, mechanism)
        self._watch.emit(LabFault(step.id, mechanism.kind, mechanism.host))

    async def _heal(self, name: str) -> None:
        step = self._open.get(name)
        if step is None:
            return  # healed before: to heal twice is no mistake
        mechanism = step.mechanism
        await undo(self._lab, name, mechanism)
        del self._open[name]
        self._watch.emit(LabHealed(name))
        if mechanism.kind in FAULTS:
            await self._set_again(mechanism.host)

    async def _set_again(self, host: str) -> None:
        """What strikes inside a node ended with its life, but is not healed yet."""
        for name, step in list(self._open.items()):
            mechanism = step.mechanism
            inside = fault_called(mechanism.kind).ends_with_life and mechanism.host == host
            if inside and await self._lab.nodes[host].state() == "running":
                self._progress(Phase(f"setting {name} again"))
                await inject(self._lab, name, mechanism)

    async def _eventually(self, path: StepPath, step: Eventually) -> None:
        condition, trace = step.condition, self._watch.trace
        self._wait(str(condition), step.within)

        async def reached() -> bool:
            self._progress(Seen(conditions.observed(condition, trace), self._queues()))
            return await conditions.holds(condition, trace, self._lab)

        if not await self._watch.until(reached, step.within):
            # A lost event must not fail what the nodes can show.
            if await conditions.confirmed(condition, trace, self._lab):
                return
            seen = conditions.observed(condition, trace)
            why = reasons(condition, trace, self._lab.clock.time())
            text = f"in the end {seen}" + (f"; {why[0]}" if len(why) == 1 else "")
            details = tuple(why) if len(why) > 1 else ()
            raise StepFailed(self._finding(path, step, Verdict.FAIL, text, details))

    async def _never(self, path: StepPath, step: Never) -> None:
        condition, trace = step.condition, self._watch.trace
        self._wait(f"not: {condition}", step.during)

        async def broken() -> bool:
            return await conditions.holds(condition, trace, self._lab)

        if await self._watch.until(broken, step.during):
            seen = conditions.observed(condition, trace)
            raise StepFailed(self._finding(path, step, Verdict.FAIL, f"it happened: {seen}"))

    async def _etrn(self, path: StepPath, step: Etrn) -> None:
        answer = await ask_to_send(self._lab, step.host, step.asks, step.domain)
        as_wished = answer.code == step.reply if step.reply else answer.code // 100 == 2
        if not as_wished:
            raise StepFailed(self._finding(path, step, Verdict.FAIL, f"the answer: {answer.text}"))

    async def _dns(self, step: Dns) -> None:
        origin = step.origin or self._lab.topology.domain
        dns = self._lab.nodes[self._lab.topology.dns]
        if step.zone is not None:
            await dns.request(ZoneReplace(origin, step.zone))
        else:
            await dns.request(ZoneUpdate(origin, list(step.add), list(step.remove)))

    async def _python(self, path: StepPath, step: Python) -> None:
        call = step.call
        try:
            call = call or load_function(step.target, self._scenario)
            doing = call(self._lab)
            if not inspect.isawaitable(doing):
                raise TypeError(f"{step.target} is no `async def` function")
            await doing
        except (Exception, SystemExit) as error:  # an author's sys.exit() ends the step, not us
            kind = "" if isinstance(error, LabError) else f"{type(error).__name__}: "
            text = f"{kind}{error} ({_line_of(error, call)})"
            raise StepFailed(self._finding(path, step, Verdict.FAIL, text)) from error

    def _wait(self, text: str, seconds: float) -> None:
        self._progress(Waiting(text, seconds, self._lab.clock.real(seconds)))

    def _queues(self) -> dict[str, int]:
        return {name: count for name, count in self._watch.trace.queued.items() if count}

    def _finding(
        self,
        path: StepPath,
        step: AnyStep,
        verdict: Verdict,
        why: str = "",
        details: tuple[str, ...] = (),
    ) -> Finding:
        number = ".".join(str(part + 1) for part in path)
        text = f"{step}: {why}" if why else str(step)
        return Finding(f"step {number}", verdict, text, details, self._scenario.place(path))


def _spoken(step: AnyStep) -> str | None:
    """What a step that does nothing in the lab says to people."""
    match step:
        case Say(text=text) | Ask(question=text):
            return text
        case _:
            return None


def _line_of(error: BaseException, call: object) -> str:
    """`file:line` where it was raised: the innermost in the file of `call`, if there is one."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = traceback.extract_tb(error.__traceback__)
    file = call.__code__.co_filename if inspect.isfunction(call) else ""
    last = ([frame for frame in frames if frame.filename == file] or list(frames))[-1]
    return f"{last.filename}:{last.lineno}"
