"""What was found out: verdicts and findings."""

from collections.abc import Iterable
from enum import StrEnum

import msgspec


class Verdict(StrEnum):
    """PASS only where something was looked at and was as expected; UNKNOWN where that is open."""

    PASS = "pass"
    FAIL = "fail"
    UNKNOWN = "unknown"


class Finding(msgspec.Struct, frozen=True):
    """One expectation, or one step, and what came of it.

    `check` names it (`step 5` for a step), `place` is file:line where there is one, `details` are
    lines that prove the point: what failed, and where.
    """

    check: str
    verdict: Verdict
    text: str
    details: tuple[str, ...] = ()
    place: str = ""


def overall(findings: Iterable[Finding]) -> Verdict:
    """FAIL if anything failed, else UNKNOWN if anything is open or nothing was looked at."""
    verdicts = {finding.verdict for finding in findings}
    for verdict in (Verdict.FAIL, Verdict.UNKNOWN, Verdict.PASS):
        if verdict in verdicts:
            return verdict
    return Verdict.UNKNOWN
