"""Captures of simulated stories, made by the command as anybody would."""

from pathlib import Path

from typer.testing import CliRunner, Result

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.cli import app
from mxlab.model.scenario import Scenario
from mxlab.report.recording import record
from mxlab.runner import runner
from mxlab.runner.result import RunResult


def simulated_run(scenario: Scenario) -> RunResult:
    return simulate(lambda: runner.run(scenario, SimBackend(), lab="c", run_id="c"))


def recorded(scenario: Scenario, folder: Path) -> tuple[RunResult, Path]:
    """A run in the simulation, and its recording."""
    result = simulated_run(scenario)
    path = folder / "run.jsonl"
    path.write_bytes(record(result))
    return result, path


def captured(scenario: Scenario, folder: Path) -> tuple[RunResult, Path]:
    """A run in the simulation, and the packets of its recording."""
    result, run = recorded(scenario, folder)
    path = folder / "run.pcapng"
    done = capture(str(run), "-o", str(path))
    assert done.exit_code == 0, done.output
    return result, path


def capture(*words: str) -> Result:
    """`mxlab capture` with these words."""
    return CliRunner().invoke(app, ["capture", *words])
