"""A run for people, in plain text without colour."""

from mxlab.model.duration import format_duration
from mxlab.model.finding import Finding, Verdict
from mxlab.runner.result import RunResult
from mxlab.visible import visible_text

_MARKS = {Verdict.PASS: "pass", Verdict.FAIL: "FAIL", Verdict.UNKNOWN: "????"}
_HEADLINES = {
    Verdict.PASS: "PASSED",
    Verdict.FAIL: "FAILED",
    Verdict.UNKNOWN: "INCONCLUSIVE",
}


def text(result: RunResult) -> str:
    """The whole report: what was expected, what came of it, and how to run it again."""
    lines = [f"{result.scenario.id or 'scenario'}: {result.scenario.title}", ""]
    for finding in result.findings:
        lines += finding_lines(finding)
    lines += ["", summary(result)]
    if result.verdict is not Verdict.PASS:
        lines.append(f"again: {result.replay}")
    return visible_text("\n".join(lines)) + "\n"


def finding_lines(finding: Finding) -> list[str]:
    """One finding, its details indented below it."""
    place = f" ({finding.place})" if finding.place and finding.verdict is not Verdict.PASS else ""
    head = f"  {_MARKS[finding.verdict]}  {finding.check}: {finding.text}{place}"
    return [head, *(f"          {line}" for line in finding.details)]


def summary(result: RunResult) -> str:
    """The verdict in one line, with the time that it took."""
    real = result.took
    lab = format_duration(round(result.lab_seconds, 1))
    bad = [finding.check for finding in result.findings if finding.verdict is not Verdict.PASS]
    why = f" by {', '.join(bad)}" if bad else ""
    count = len(result.evidence.submissions)
    return (
        f"{_HEADLINES[result.verdict]}{why}: {count} messages, {lab} of lab time "
        f"in {real:.1f} s of real time on {result.backend}, seed {result.seed}"
    )
