"""Carries out the steps of a scenario in a lab that is up.

A step that fails raises StepFailed with its number and its line.

Long: a method for each step, over the state of one story.
"""

import asyncio
import inspect
import traceback
from collections.abc import Awaitable, Callable

from mxlab.backends.base import Lab
from mxlab.checks.conditions import rule_of
from mxlab.checks.judge import NOT_TOLD
from mxlab.checks.rule import Rule
from mxlab.checks.untold import untold_by
from mxlab.errors import LabError, first_of_group
from mxlab.history.evidence import SentMessage
from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario, StepPath
from mxlab.model.step import (
    AnyStep,
    Ask,
    Config,
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
from mxlab.plan.addresses import with_addresses
from mxlab.plan.zones import zone_primary
from mxlab.runner.etrn import ask_to_send
from mxlab.runner.faults import OpenFaults
from mxlab.runner.progress import (
    Asked,
    NotAsked,
    Report,
    Seen,
    StepBegan,
    StepEnded,
    WaitBegan,
)
from mxlab.runner.sending import not_as_wished, submit_request
from mxlab.runner.settings import ChangedSettings
from mxlab.runner.watch import Watch
from mxlab.scenario.functions import load_function
from mxlab_services.control.requests import ZoneReplace, ZoneUpdate
from mxlab_services.events import LabStep

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
        self.faults = OpenFaults(watch, progress)
        self.settings = ChangedSettings(self._lab, progress)
        self.submissions: list[SentMessage] = []
        self.findings: list[Finding] = []
        self.done = 0  # steps of the story that are over

    async def run(self) -> None:
        """All steps in order. Raises StepFailed at the first that fails."""
        for number, step in enumerate(self._scenario.steps):
            await self._step((number,), step)

    async def do(self, step: AnyStep) -> None:
        """One step beside the story. Raises StepFailed."""
        await self._step((), step)

    async def undo_all(self) -> list[Finding]:
        """Heal every fault that is still open, then put settings back; a finding for each that
        stays."""
        return [*await self.faults.heal_all(), *await self.settings.put_back()]

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

    async def _do(self, path: StepPath, step: AnyStep) -> None:
        match step:
            case Say():
                pass
            case Ask():
                await self._ask(step)
            case Send():
                await self._send(path, step)
            case Fault():
                await self.faults.inject(step)
            case Heal(fault=name):
                await self.faults.heal(name)
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
            case Config():
                await self.settings.change(step)
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

    async def _send(self, path: StepPath, step: Send) -> None:
        request = submit_request(step, self._scenario, self._lab.topology)
        client = step.via or self._lab.topology.client
        answered = await self._lab.nodes[client].request(request)
        sent = [message for message in answered if message.recipients]
        self.submissions += [
            SentMessage(step.id, m.message, m.digest, m.sender, tuple(m.recipients)) for m in sent
        ]
        self._watch.trace.add_batch(step.id, [(m.message, m.recipients) for m in sent])
        self._watch.wake()
        if wrong := not_as_wished(step, answered):
            raise StepFailed(self._finding(path, step, Verdict.FAIL, wrong))

    async def _eventually(self, path: StepPath, step: Eventually) -> None:
        rule, trace = rule_of(step.condition), self._watch.trace
        self._wait(str(step.condition), step.within)

        async def reached() -> bool:
            self._progress(Seen(rule.observed(trace), trace.waiting()))
            return await rule.holds(trace, self._lab)

        in_time = await self._watch.until(reached, step.within)
        # A lost event must not fail what the nodes can show.
        if not in_time and not await rule.confirmed(trace, self._lab):
            raise StepFailed(self._never_seen(path, step, rule))
        self._held(path, step, () if rule.certain else self._untold(rule))

    def _never_seen(self, path: StepPath, step: Eventually, rule: Rule) -> Finding:
        """That a condition did not come to hold, and why; or that it may have, unseen."""
        trace, untold = self._watch.trace, self._untold(rule)
        why = [*rule.reasons(trace, self._lab.clock.time()), *untold]
        text = f"in the end {rule.observed(trace)}" + (f"; {why[0]}" if len(why) == 1 else "")
        verdict = Verdict.UNKNOWN if untold else Verdict.FAIL
        return self._finding(path, step, verdict, text, tuple(why) if len(why) > 1 else ())

    def _held(self, path: StepPath, step: AnyStep, untold: tuple[str, ...]) -> None:
        """Note that a condition was met, as far as that is told."""
        verdict, why = (Verdict.UNKNOWN, NOT_TOLD) if untold else (Verdict.PASS, "")
        self.findings.append(self._finding(path, step, verdict, why, untold))

    def _untold(self, rule: Rule) -> tuple[str, ...]:
        """What the condition rests on and some host does not tell."""
        topology = self._lab.topology
        return untold_by(topology, rule.rests_on(topology))

    async def _never(self, path: StepPath, step: Never) -> None:
        rule, trace = rule_of(step.condition), self._watch.trace
        rule.begin(trace, self._lab.clock.time())
        self._wait(f"not: {step.condition}", step.during)

        async def broken() -> bool:
            return await rule.holds(trace, self._lab)

        if await self._watch.until(broken, step.during):
            text = f"it happened: {rule.observed(trace)}"
            raise StepFailed(self._finding(path, step, Verdict.FAIL, text))
        self._held(path, step, self._untold(rule))

    async def _etrn(self, path: StepPath, step: Etrn) -> None:
        answer = await ask_to_send(self._lab, step.host, step.asks, step.domain)
        as_wished = answer.code == step.reply if step.reply else answer.code // 100 == 2
        if not as_wished:
            raise StepFailed(self._finding(path, step, Verdict.FAIL, f"the answer: {answer.text}"))

    async def _dns(self, step: Dns) -> None:
        origin = step.origin or self._lab.topology.domain
        dns = self._lab.nodes[step.server or zone_primary(self._lab.topology, origin)]
        hosts = {name: node.config.addresses for name, node in self._lab.nodes.items()}
        if step.zone is not None:
            await dns.request(ZoneReplace(origin, with_addresses(step.zone, hosts)))
            return
        add = [with_addresses(line, hosts) for line in step.add]
        remove = [with_addresses(line, hosts) for line in step.remove]
        ttl = None if step.ttl is None else int(step.ttl)
        await dns.request(ZoneUpdate(origin, add, remove, ttl=ttl))

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
        self._progress(WaitBegan(text, seconds, self._lab.clock.real(seconds)))

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
