"""What a run ends with."""

from dataclasses import dataclass

from mxlab.errors import EXIT_FAILED, EXIT_INCONCLUSIVE, EXIT_OK
from mxlab.history.evidence import Evidence
from mxlab.history.trace import Trace
from mxlab.model.finding import Finding, Verdict
from mxlab.model.scenario import Scenario

EXIT_CODES = {Verdict.PASS: EXIT_OK, Verdict.FAIL: EXIT_FAILED, Verdict.UNKNOWN: EXIT_INCONCLUSIVE}


@dataclass(frozen=True, slots=True)
class RunResult:
    """What came of a run. `durations`: phase -> seconds of the event loop (virtual ones in the
    simulation), `lab_seconds` the lab time that passed, `real_seconds` what a person waited, where
    the caller measured it; `replay` is the command that runs the same again."""

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
    real_seconds: float | None = None

    @property
    def took(self) -> float:
        """Real seconds, as well as they are known."""
        return sum(self.durations.values()) if self.real_seconds is None else self.real_seconds

    @property
    def exit_code(self) -> int:
        return EXIT_CODES[self.verdict]
