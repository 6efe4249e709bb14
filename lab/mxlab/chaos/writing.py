"""What chaos found, as a scenario file."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from mxlab.scenario.write import scenario_text

if TYPE_CHECKING:
    from mxlab.chaos.tally import Tally


def write_finding(tally: "Tally", seed: int, path: Path) -> str:
    """Write what was found to `path`; returns the command that plays it again."""
    trial = tally.found
    if trial is None:
        raise ValueError("nothing was found")
    replay = shlex.join(["mxlab", "run", str(path), "--backend", "sim"])
    broken = ", ".join(finding.check for finding in trial.wrong)
    scenario = trial.schedule.scenario(
        f"Found by chaos: {broken}",
        f"Chaos with seed {seed} found it in run {tally.found_after}, and made it smaller.",
    )
    words = [f"{finding.check}: {finding.text}" for finding in trial.wrong]
    path.write_text(scenario_text(scenario, *words, f"again: {replay}"), encoding="utf-8")
    return replay
