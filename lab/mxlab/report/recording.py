"""A run in a file of JSON lines, and judged again from it.

The first line tells of the run and its scenario; a line for each event follows, then one with the
evidence and what was found; the last one seals the rest with its number of lines and its digest.

Whatever byte is not as it was written, nothing is concluded: what can still be read is shown, but
each finding is UNKNOWN, that of a step included; where too little can be read, that is Damaged.
"""

from collections.abc import Sequence
from dataclasses import replace as dataclass_replace
from hashlib import sha256
from typing import Literal, TypeVar

import msgspec
from msgspec.structs import replace

from mxlab.checks.judge import judge
from mxlab.checks.registry import CHECKS
from mxlab.errors import Damaged, LabError, UnknownName, UsageError
from mxlab.history.evidence import Evidence
from mxlab.history.trace import Trace
from mxlab.model.finding import Finding, Verdict, overall
from mxlab.model.scenario import Scenario
from mxlab.report.plain import Plain, from_plain, to_plain
from mxlab.runner.result import RunResult
from mxlab_services.events import decode, encode

FORMAT = 1
NAME = "the recording"  # under which its own damage stands among the nodes'
HINT = "nothing can be concluded from it; use another copy, or run the scenario again"

_Part = TypeVar("_Part", bound=msgspec.Struct)


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first line."""

    kind: Literal["run"]
    format: int
    run: str
    backend: str
    seed: int
    time_scale: float
    scenario: Plain


class RunOutcome(msgspec.Struct, frozen=True, kw_only=True):
    """The last line but one. `damage`: node -> why its stream could not be read to the end."""

    kind: Literal["run.outcome"]
    findings: tuple[Finding, ...]
    damage: dict[str, str]
    durations: dict[str, float]
    lab_seconds: float
    real_seconds: float | None
    replay: str
    evidence: Evidence


class Seal(msgspec.Struct, frozen=True, kw_only=True):
    """The last line: how many lines stand before it, and the SHA-256 of them."""

    kind: Literal["run.end"]
    lines: int
    sha256: str


def record(result: RunResult) -> bytes:
    """The recording of a run."""
    head = Head(
        kind="run",
        format=FORMAT,
        run=result.run_id,
        backend=result.backend,
        seed=result.seed,
        time_scale=result.time_scale,
        scenario=to_plain(result.scenario),
    )
    outcome = RunOutcome(
        kind="run.outcome",
        findings=result.findings,
        damage=result.trace.damage,
        durations=result.durations,
        lab_seconds=result.lab_seconds,
        real_seconds=result.real_seconds,
        replay=result.replay,
        evidence=result.evidence,
    )
    lines = [_line(head), *map(encode, result.trace.events()), _line(outcome)]
    body = b"".join(lines)
    return body + _line(Seal(kind="run.end", lines=len(lines), sha256=sha256(body).hexdigest()))


def judge_again(data: bytes, name: str) -> RunResult:
    """The run in a recording called `name`, with its expectations judged anew.

    What the steps found stands as it was recorded. Raises Damaged for one of which too little is
    left, UsageError for what is no recording, is of another format, or expects what is not known.
    """
    *body, last = data.splitlines(keepends=True) or [b""]
    damage = _damage(body, last, name)
    wrong = Damaged if damage else UsageError
    head = _read(body[0] if body else b"", Head, f"{name} is damaged: how it begins")
    if head.format != FORMAT:
        raise wrong(f"{name} is of format {head.format}; this mxlab reads {FORMAT}")
    outcome = _read(body[-1], RunOutcome, f"{name} is damaged: its evidence cannot be read")
    try:
        scenario = from_plain(head.scenario)
    except ValueError as error:
        raise wrong(f"{name} is damaged, or of another version of mxlab: {error}") from error
    trace = _trace(body[1:-1])
    trace.damage.update(outcome.damage)
    if damage:
        trace.damage.setdefault(NAME, damage)
    for item in scenario.expect:
        if isinstance(item, str) and item not in CHECKS and not damage:
            raise UnknownName("expectation", item, CHECKS)
    findings = _findings(outcome.findings, scenario, trace, outcome.evidence)
    if damage:
        findings = tuple(_open(one, f"the recording is damaged: {damage}") for one in findings)
    return RunResult(
        scenario=scenario,
        backend=head.backend,
        run_id=head.run,
        seed=head.seed,
        time_scale=head.time_scale,
        verdict=overall(findings),
        findings=findings,
        trace=trace,
        evidence=outcome.evidence,
        durations=outcome.durations,
        lab_seconds=outcome.lab_seconds,
        replay=outcome.replay,
        real_seconds=outcome.real_seconds,
    )


def recorded_findings(data: bytes) -> tuple[Finding, ...]:
    """What was found when the run was recorded. Raises Damaged where that cannot be read."""
    lines = data.splitlines()
    outcome = _read(lines[-2] if len(lines) > 1 else b"", RunOutcome, "the outcome cannot be read")
    return outcome.findings


def left_open(result: RunResult, why: str) -> RunResult:
    """The result, of which nothing is concluded any more: `why`."""
    findings = tuple(_open(finding, why) for finding in result.findings)
    return dataclass_replace(result, findings=findings, verdict=Verdict.UNKNOWN)


def _damage(body: Sequence[bytes], last: bytes, name: str) -> str:
    """In what the lines differ from those that were written; nothing where they do not.

    Raises UsageError for what never was a recording: neither its first line nor its last is one's.
    """
    seal = _read_if(last, Seal)
    if seal is None:
        _read(body[0] if body else last, Head, f"{name} is no recorded run", UsageError)
        raise Damaged(f"{name} is cut off: its last line is missing or damaged", HINT)
    if last != _line(seal):
        return "its last line is not as it was written"
    if (len(body), sha256(b"".join(body)).hexdigest()) != (seal.lines, seal.sha256):
        return f"its lines are not those that were written ({seal.lines}, {len(body)} are there)"
    return ""


def _open(finding: Finding, damage: str) -> Finding:
    """The finding, as much as it is worth where something is not as it was."""
    was = f"{finding.text} ({finding.verdict}, but {damage})"
    return replace(finding, verdict=Verdict.UNKNOWN, text=was)


def _line(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _read(line: bytes, kind: type[_Part], problem: str, wrong: type[LabError] = Damaged) -> _Part:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise wrong(f"{problem}: {error}", HINT if wrong is Damaged else "") from error


def _read_if(line: bytes, kind: type[_Part]) -> _Part | None:
    try:
        return msgspec.json.decode(line, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None


def _trace(lines: Sequence[bytes]) -> Trace:
    trace, bad = Trace(), list[str]()
    for number, line in enumerate(lines, start=2):
        try:
            trace.add(decode(line))
        except ValueError as error:
            bad.append(f"line {number}: {error}")
    if bad:
        more = f" (and {len(bad) - 1} more)" if len(bad) > 1 else ""
        trace.damage[NAME] = bad[0] + more
    return trace


def _findings(
    recorded: Sequence[Finding], scenario: Scenario, trace: Trace, evidence: Evidence
) -> tuple[Finding, ...]:
    """The recorded findings, with those of the expectations in the place of the old ones."""
    again = judge(scenario.expect, trace, evidence, idle_passes=scenario.idle_passes)
    judged = {finding.check: finding for finding in again}
    old = [judged.pop(finding.check, finding) for finding in recorded]
    return (*old, *judged.values())
