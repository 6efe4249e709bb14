"""Runs one scenario: deploy, step, heal, drain, collect, judge, undo.

Guarantee: whatever happens after the lab is up (a failing step, Ctrl-C, an error), open faults are
healed, the last first, and the lab is removed unless it is to be kept. A cancellation reaches the
steps once; what follows it cannot be cancelled.
"""

import asyncio
import contextlib
import logging
import shlex
from collections.abc import Awaitable, Callable
from dataclasses import replace

from mxlab.backends.base import Backend, Lab, Order
from mxlab.checks.judge import judge
from mxlab.errors import EnvironmentProblem, ScenarioError
from mxlab.faults import refuse_unsupported_here
from mxlab.history.evidence import Evidence, collect
from mxlab.model.finding import Finding, Verdict, overall
from mxlab.model.scenario import Scenario, fault_kinds, walk
from mxlab.model.software import OURS
from mxlab.model.step import Fault, Python
from mxlab.runner.drain import drain
from mxlab.runner.progress import Gone, Interrupted, Judged, Phase, Report, silent
from mxlab.runner.result import RunResult
from mxlab.runner.steps import Asker, Gate, StepFailed, Steps
from mxlab.runner.watch import Watch, watching
from mxlab.scenario.functions import HINT, folder_of, target_problem
from mxlab.scenario.mailfile import mail_problems
from mxlab.scenario.refusal import refuse
from mxlab.scenario.sound import unsound
from mxlab_services.config import TimeConfig
from mxlab_services.faults.kinds import problem

__all__ = ["RunResult", "Witness", "run", "silent"]

log = logging.getLogger(__name__)
Witness = Callable[[Lab, Evidence], Awaitable[None]]


async def run(
    scenario: Scenario,
    backend: Backend,
    *,
    lab: str,
    run_id: str,
    seed: int | None = None,
    time: TimeConfig | None = None,
    progress: Report = silent,
    asker: Asker | None = None,
    gate: Gate | None = None,
    witness: Witness | None = None,
    keep: bool = False,
) -> RunResult:
    """Run `scenario` and judge it. `time` None: the scenario's scale, from no epoch (a scale other
    than 1 needs the caller's epoch, but for the simulation). `witness` sees the lab once the
    evidence is collected, while everything is still there.

    Raises ScenarioError, Unsupported and whatever a deployment may, before any step; after that a
    failure is a finding. Cancelled, it heals and removes the lab, then raises CancelledError.
    """
    wrong = unsound(scenario)
    if wrong:
        raise ScenarioError(f"{wrong[0].name or scenario.title}: {wrong[0].text}")
    _check_steps(scenario)
    refuse(scenario, backend)
    order = Order(
        lab=lab,
        run=run_id,
        topology=scenario.topology,
        time=time or TimeConfig(scenario.time_scale),
        seed=scenario.seed if seed is None else seed,
    )
    one = _Run(scenario, backend, order, progress, asker, gate, witness)
    work = asyncio.create_task(one.whole(keep))
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        if not work.done():
            work.cancel()
            await _to_the_end(work)
        if not work.cancelled() and (error := work.exception()) is not None:
            raise error from None
        raise


def _check_steps(scenario: Scenario) -> None:
    """Raise ScenarioError for parameters that make no sense, and functions and files that may not
    be."""
    folder = folder_of(scenario)
    for path, step in walk(scenario.steps):
        if isinstance(step, Fault) and (wrong := problem(step.mechanism)):
            raise ScenarioError(f"{scenario.place(path) or step.id}: {wrong}")
        if (
            isinstance(step, Python)
            and step.call is None
            and (wrong := target_problem(step.target, folder))
        ):
            raise ScenarioError(f"{scenario.place(path) or 'python'}: {wrong}", hint=HINT)
    for file in mail_problems(scenario):
        raise ScenarioError(f"{scenario.place(file.step) or 'send'}: {file.problem.text}")


async def _to_the_end(task: "asyncio.Task[RunResult]") -> None:
    """Wait until `task` is done, however often this wait is cancelled."""
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait([task])


class _Run:
    """One run of one scenario."""

    def __init__(
        self,
        scenario: Scenario,
        backend: Backend,
        order: Order,
        progress: Report,
        asker: Asker | None,
        gate: Gate | None,
        witness: Witness | None,
    ) -> None:
        self._scenario, self._backend, self._order = scenario, backend, order
        self._progress, self._asker, self._gate = progress, asker, gate
        self._witness = witness
        self._durations: dict[str, float] = {}
        self._began = asyncio.get_running_loop().time()
        self._lab: Lab | None = None
        self._result: RunResult | None = None

    async def whole(self, keep: bool) -> RunResult:
        self._progress(Phase(f"starting the lab ({self._backend.name})"))
        tell = self._tell
        try:
            async with self._backend.deploy(self._order, tell, keep=keep) as lab:
                self._lab = lab
                self._lap("deploy")
                refuse_unsupported_here(lab, fault_kinds(self._scenario))
                self._result = result = await self._inside(lab)
                self._progress(Phase("leaving the lab up" if keep else "removing the lab"))
        except asyncio.CancelledError:
            if not keep or self._lab is None:
                self._progress(Gone(self._order.lab))
            raise
        except EnvironmentProblem as error:
            if self._result is None:
                raise
            finding = Finding("undo", Verdict.FAIL, f"the lab was not removed: {error}")
            result = self._judged(self._result, (*self._result.findings, finding))
        self._lap("undo")
        return result

    async def _inside(self, lab: Lab) -> RunResult:
        begin = lab.clock.time()
        async with watching(lab) as watch:
            steps = Steps(self._scenario, watch, self._progress, self._asker, self._gate)
            findings = steps.findings
            try:
                await steps.run()
            except StepFailed as failed:
                findings.append(failed.finding)
            except asyncio.CancelledError:
                self._progress(self._so_far(steps, watch))
                raise
            finally:
                self._lap("steps")
                unhealed = await steps.undo_all()
                self._log(unhealed)
                findings += unhealed
            self._lap("heal")
            await drain(watch, self._progress)
            self._lap("drain")
            self._progress(Phase("collecting the evidence"))
            await watch.finish()
            evidence = await self._collected(lab, steps)
            self._lap("collect")
        seconds = lab.clock.time() - begin
        self._progress(Phase("judging"))
        findings += judge(
            self._scenario.expect,
            watch.trace,
            evidence,
            idle_passes=self._scenario.idle_passes,
        )
        self._lap("judge")
        result = RunResult(
            scenario=self._scenario,
            backend=self._backend.name,
            run_id=self._order.run,
            seed=self._order.seed,
            time_scale=self._order.time.scale,
            verdict=Verdict.UNKNOWN,
            findings=(),
            trace=watch.trace,
            evidence=evidence,
            durations=self._durations,
            lab_seconds=seconds,
            replay=self._replay(),
        )
        for finding in findings:
            self._progress(Judged(finding))
        return self._judged(result, tuple(findings))

    async def _collected(self, lab: Lab, steps: Steps) -> Evidence:
        evidence = await collect(lab, tuple(steps.submissions))
        if self._witness is not None:
            await self._witness(lab, evidence)
        return evidence

    def _so_far(self, steps: Steps, watch: Watch) -> Interrupted:
        batches = watch.trace.batches.values()
        return Interrupted(
            steps.done,
            len(self._scenario.steps),
            sum(batch.units for batch in batches),
            sum(batch.delivered for batch in batches),
            sum(batch.bounced for batch in batches),
            watch.trace.waiting(),
        )

    def _judged(self, result: RunResult, findings: tuple[Finding, ...]) -> RunResult:
        return replace(result, findings=findings, verdict=overall(findings))

    def _tell(self, text: str) -> None:
        self._progress(Phase(text))

    def _log(self, unhealed: list[Finding]) -> None:
        for finding in unhealed:  # also where a cancellation drops the findings
            log.error("%s: %s", finding.check, finding.text)

    def _lap(self, phase: str) -> None:
        now = asyncio.get_running_loop().time()
        self._durations[phase] = now - self._began
        self._began = now

    def _replay(self) -> str:
        scenario, order = self._scenario, self._order
        if scenario.origin is None:  # built in Python: no command plays it
            scale = f", time_scale={order.time.scale:g}" if order.time.scale != 1 else ""
            return f"mxlab.run(scenario, {self._backend.name!r}, seed={order.seed}{scale})"
        name = scenario.origin.file
        command = ["mxlab", "run", name, "--backend", self._backend.name, "--seed", str(order.seed)]
        for host, software in scenario.topology.software.items():
            command += [] if software == OURS else ["--with", f"{host}={software}"]
        if order.time.scale != 1:
            command += ["--time-scale", f"{order.time.scale:g}"]
        return shlex.join(command)
