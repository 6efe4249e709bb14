"""What a scenario expects, judged: trace and evidence -> findings. Pure.

A check with nothing to look at says UNKNOWN, and so does one that crashes, or that would pass on
evidence of which a part is missing, or on what a node's software does not tell. A failure that was
seen stays a failure.
"""

import traceback
from collections.abc import Iterable, Mapping

from mxlab.checks.conditions import rule_of
from mxlab.checks.registry import CHECKS
from mxlab.checks.result import Case, Check, CheckResult
from mxlab.checks.untold import untold, untold_by
from mxlab.history.evidence import Evidence
from mxlab.history.ledger import make_ledger
from mxlab.history.trace import Trace
from mxlab.history.whole import made_whole
from mxlab.model.condition import AnyCondition
from mxlab.model.finding import Finding, Verdict

SHOWN = 20  # details of one finding, at most
NOT_TOLD = "it rests on what is not told"


def judge(
    expect: Iterable[str | AnyCondition],
    trace: Trace,
    evidence: Evidence,
    checks: Mapping[str, Check] | None = None,
    *,
    idle_passes: bool = False,
) -> list[Finding]:
    """One finding for each expectation. With `idle_passes` a check that had nothing to look at, in
    evidence that is whole, passes."""
    known = CHECKS if checks is None else checks
    try:
        whole = made_whole(trace, evidence.topology)
        case = Case(whole, evidence, make_ledger(trace, evidence))
    except Exception as error:  # noqa: BLE001 - a bug in judging must never pass a run
        return [_crashed(str(item), error) for item in expect]
    findings = []
    for item in expect:
        name = item if isinstance(item, str) else str(item)
        try:
            result, lacking = _judged(known, item, case)
            findings.append(_finding(name, result, case.ledger.gaps, lacking, idle_passes))
        except Exception as error:  # noqa: BLE001 - likewise
            findings.append(_crashed(name, error))
    return findings


def _judged(
    known: Mapping[str, Check], item: str | AnyCondition, case: Case
) -> tuple[CheckResult, tuple[str, ...]]:
    """What a check or a condition says, and what it would have to be told, and is not."""
    topology = case.evidence.topology
    if isinstance(item, str):
        return known[item].judge(case), untold(topology, known[item].needs)
    rule = rule_of(item)
    return rule.in_the_end(case), untold_by(topology, rule.rests_on_in_the_end(topology))


def _finding(
    name: str,
    result: CheckResult,
    gaps: tuple[str, ...],
    lacking: tuple[str, ...],
    idle_passes: bool,
) -> Finding:
    missing = (*gaps, *lacking)
    if result.wrong:
        more = len(result.wrong) - SHOWN
        tail = (f"and {more} more",) if more > 0 else ()
        # Something was not found: with a gap in the evidence it may have been there.
        verdict = Verdict.UNKNOWN if missing and result.whole else Verdict.FAIL
        shown = (*result.wrong[:SHOWN], *tail, *(missing if verdict is Verdict.UNKNOWN else ()))
        return Finding(name, verdict, result.bad, shown)
    if not result.looked_at:
        verdict = Verdict.PASS if idle_passes and not missing else Verdict.UNKNOWN
        return Finding(name, verdict, "there was nothing to look at", lacking)
    if gaps:
        return Finding(name, Verdict.UNKNOWN, "the evidence has gaps", missing)
    if lacking and not result.certain:
        return Finding(name, Verdict.UNKNOWN, NOT_TOLD, lacking)
    return Finding(name, Verdict.PASS, result.good)


def _crashed(name: str, error: Exception) -> Finding:
    lines = traceback.format_exception(error)
    text = f"the check itself failed: {type(error).__name__}: {error}"
    return Finding(name, Verdict.UNKNOWN, text, tuple("".join(lines).splitlines()))
