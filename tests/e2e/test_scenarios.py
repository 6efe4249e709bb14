"""The scenarios that ship, in every world: each passes, by what it expects of itself."""

import asyncio
import secrets
import time as host

import pytest

from mxlab import runner
from mxlab.backends.base import Backend
from mxlab.backends.docker import DockerBackend
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.loader import load, scenario_ids
from mxlab.model.finding import Verdict
from mxlab.report import text
from mxlab.result import RunResult
from mxlab_services.config import TimeConfig


def run_here(name: str, backend: Backend) -> RunResult:
    scenario = load(name)
    token = secrets.token_hex(4)
    epoch = host.time()  # noqa: TID251 - the lab begins now
    work = runner.run(
        scenario,
        backend,
        lab=f"e2e-{token}",
        run_id=token,
        time=TimeConfig(scenario.time_scale, epoch),
    )
    return asyncio.run(work)


@pytest.mark.parametrize("name", scenario_ids())
def test_in_the_simulation(name: str) -> None:
    scenario = load(name)
    result = simulate(lambda: runner.run(scenario, SimBackend(), lab="e2e", run_id="e2e"))
    assert result.verdict is Verdict.PASS, text(result)


@pytest.mark.parametrize("name", scenario_ids())
def test_in_local_processes(name: str) -> None:
    result = run_here(name, ProcessBackend())
    assert result.verdict is Verdict.PASS, text(result)


@pytest.mark.docker
@pytest.mark.parametrize("name", scenario_ids())
def test_in_containers(name: str) -> None:
    result = run_here(name, DockerBackend())
    assert result.verdict is Verdict.PASS, text(result)
