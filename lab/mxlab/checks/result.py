"""What a check judges, what it says of it, and what a check is."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

from mxlab.checks.failures import Failures, failures
from mxlab.checks.untold import Needs
from mxlab.history.evidence import Evidence
from mxlab.history.ledger import Ledger, Unit
from mxlab.history.trace import Trace
from mxlab_services.address import canonical


@dataclass(frozen=True)
class Case:
    """What is judged."""

    trace: Trace
    evidence: Evidence
    ledger: Ledger

    @cached_property
    def failures(self) -> Failures:
        """All failures of all nodes, of which two checks judge."""
        return failures(self.trace, self.evidence.topology)


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What a check says: how many things it looked at, what was wrong, and what it proves.

    `whole`: a pass needs evidence without gaps. `certain`: it holds whatever else a node's software
    may not have told.
    """

    looked_at: int
    wrong: tuple[str, ...]
    good: str
    bad: str
    whole: bool = True
    certain: bool = False


Judge = Callable[[Case], CheckResult]


@dataclass(frozen=True, slots=True)
class Check:
    """A check by its name: what it proves where it passes, when it fails (a sentence), how it is
    judged, and what it needs to be told for that."""

    name: str
    meaning: str
    fails: str
    judge: Judge
    needs: Needs = field(default_factory=dict)


def submitted(case: Case, word: str, good: Callable[[Unit], bool], batch: str = "") -> CheckResult:
    """Whether each message and recipient that was submitted (of one batch, or of all) is `word`;
    in the place of an alias, each of its members."""
    units = [
        unit
        for sent in case.evidence.submissions
        if not batch or sent.batch == batch
        for recipient in sent.recipients
        for unit in case.ledger.final(sent.message, canonical(recipient))
    ]
    wrong = tuple(f"{unit}: {unit.state}" for unit in units if not good(unit))
    text = f"{len(units) - len(wrong)} of {len(units)} are {word}"
    return CheckResult(len(units), wrong, text, text)
