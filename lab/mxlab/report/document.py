"""A run as JSON. `schema` is the version of the shape: it changes when a key changes its meaning or
goes away, not when one is added."""

import msgspec

from mxlab.history.evidence import Evidence
from mxlab.model.finding import Finding, Verdict
from mxlab.runner.result import RunResult
from mxlab.visible import exact_json

SCHEMA = 1


class Counts(msgspec.Struct, frozen=True):
    """How much there was."""

    events: int
    submitted: int


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """One run. Times are seconds: `durations` by phase on the event loop's clock (virtual in the
    simulation), `lab_seconds` lab time, `real_seconds` what a person waited."""

    schema: int
    scenario: str
    title: str
    file: str
    backend: str
    run: str
    seed: int
    time_scale: float
    verdict: Verdict
    exit_code: int
    findings: tuple[Finding, ...]
    counts: Counts
    durations: dict[str, float]
    lab_seconds: float
    real_seconds: float
    replay: str
    evidence: Evidence


def document(result: RunResult) -> Document:
    """The document of a run."""
    scenario = result.scenario
    return Document(
        schema=SCHEMA,
        scenario=scenario.id,
        title=scenario.title,
        file=scenario.origin.file if scenario.origin else "",
        backend=result.backend,
        run=result.run_id,
        seed=result.seed,
        time_scale=result.time_scale,
        verdict=result.verdict,
        exit_code=result.exit_code,
        findings=result.findings,
        counts=Counts(len(result.trace), len(result.evidence.submissions)),
        durations={phase: round(seconds, 6) for phase, seconds in result.durations.items()},
        lab_seconds=result.lab_seconds,
        real_seconds=round(result.took, 6),
        replay=result.replay,
        evidence=result.evidence,
    )


def to_json(result: RunResult) -> str:
    """The document as JSON text, indented."""
    return exact_json(document(result), indent=2) + "\n"
