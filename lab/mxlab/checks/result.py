"""What a check judges, and what it says of it."""

from collections.abc import Callable
from dataclasses import dataclass

from mxlab.history.evidence import Evidence
from mxlab.history.ledger import Ledger
from mxlab.history.trace import Trace


@dataclass(frozen=True, slots=True)
class Case:
    """What is judged."""

    trace: Trace
    evidence: Evidence
    ledger: Ledger


@dataclass(frozen=True, slots=True)
class Opinion:
    """What a check says: how many things it looked at, what was wrong, and what it proves.

    `whole`: a pass needs evidence without gaps.
    """

    looked_at: int
    wrong: tuple[str, ...]
    good: str
    bad: str
    whole: bool = True


Check = Callable[[Case], Opinion]
