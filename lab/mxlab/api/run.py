"""A scenario run from Python: `from mxlab import run`."""

import asyncio
import secrets
import time as host
from collections.abc import Coroutine, Mapping
from typing import Any

import msgspec

from mxlab.api.build import checked_steps
from mxlab.backends.registry import backend_named, known
from mxlab.errors import UsageError
from mxlab.model.scenario import FASTEST, SLOWEST, Scenario
from mxlab.plan.software import with_software
from mxlab.runner import runner
from mxlab.runner.progress import Report
from mxlab.runner.result import RunResult
from mxlab.runner.steps import Asker
from mxlab_services.config import TimeConfig


def run(
    scenario: Scenario,
    backend: str = "sim",
    *,
    seed: int | None = None,
    time_scale: float | None = None,
    lab: str | None = None,
    software: Mapping[str, str] | None = None,
    progress: Report = runner.silent,
    asker: Asker | None = None,
) -> RunResult:
    """Run it in a lab of its own, and judge what became of every message.

    `backend`: sim, process or docker. `software`: whose mail server a host is, in the place of what
    the scenario has (`{"mx2": "postfix"}`). Raises ScenarioError for a scenario that makes no
    sense, UnknownName for a host or a software that nobody knows, Unsupported before anything
    starts for a fault or a software that the world has not; a failure is a finding.
    """
    lasting, world = known(backend).lasting, backend_named(backend)
    scale = scenario.time_scale if time_scale is None else time_scale
    if not SLOWEST <= scale <= FASTEST:
        raise UsageError(f"time_scale must be above 0, {SLOWEST:g} to {FASTEST:.0f}, not {scale:g}")
    _outside_a_loop()
    whole = msgspec.structs.replace(
        scenario,
        steps=checked_steps(scenario.steps),
        expect=tuple(scenario.expect),
        topology=with_software(scenario.topology, software or {}),
    )
    run_id = secrets.token_hex(4)

    def play(time: TimeConfig) -> Coroutine[Any, Any, RunResult]:
        return runner.run(
            whole, world, lab=f"run-{run_id}" if lab is None else lab, run_id=run_id, seed=seed,
            time=time, progress=progress, asker=asker,
        )  # fmt: skip

    if not lasting:
        from mxlab.backends.sim.backend import simulate

        return simulate(lambda: play(TimeConfig(scale)))
    now = host.time()  # noqa: TID251 - when this lab's time begins
    return asyncio.run(play(TimeConfig(scale, now)))


def _outside_a_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise UsageError(
        "run() cannot be called while an event loop runs", "await mxlab.runner.runner.run()"
    )
