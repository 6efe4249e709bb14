"""What a run ends with."""

from dataclasses import dataclass

from mxlab.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK
from mxlab.evidence import Evidence
from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario
from mxlab.trace import Trace

_EXIT = {Verdict.PASS: EXIT_OK, Verdict.FAIL: EXIT_FAILED, Verdict.UNKNOWN: EXIT_INCONCLUSIVE}


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run. `durations`: phase -> real (event loop) seconds, `lab_seconds` the lab
    time that passed; `replay` is the command that runs the same again."""

    scenario: Scenario
    backend: str
    run_id: str
    seed: int
    time_scale: float
    verdict: Verdict
    findings: tuple[Finding, ...]
    trace: Trace
    evidence: Evidence
    durations: dict[str, float]
    lab_seconds: float
    replay: str

    @property
    def exit_code(self) -> int:
        return _EXIT[self.verdict]
