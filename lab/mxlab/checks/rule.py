"""What has to be said of a condition so that it can be judged: while the story runs, and from what
lies where in the end."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable

from mxlab.backends.base import Lab
from mxlab.checks.reasons import explained
from mxlab.checks.result import Case, CheckResult
from mxlab.history.trace import MessageFate, Trace
from mxlab.model.topology import Topology


class Rule(ABC):
    """How a condition is judged. One that is only told by events needs the first three."""

    @abstractmethod
    def seems(self, trace: Trace) -> bool:
        """Whether it holds by the events so far."""

    @abstractmethod
    def observed(self, trace: Trace) -> str:
        """What the events say instead, in a few words."""

    def in_the_end(self, case: Case) -> CheckResult:
        """Whether it holds by the final evidence."""
        text = self.observed(case.trace)
        return CheckResult(1, () if self.seems(case.trace) else (text,), text, text)

    def begin(self, trace: Trace, now: float) -> None:  # noqa: B027 - most look at what is so
        """Leave out what was seen before lab time `now`, where it is about what is seen."""

    async def confirmed(self, trace: Trace, lab: Lab) -> bool:
        """Whether the nodes say so too."""
        return self.seems(trace)

    async def holds(self, trace: Trace, lab: Lab) -> bool:
        """Whether it holds by the events, and the nodes confirm it."""
        return self.seems(trace) and await self.confirmed(trace, lab)

    def missing(self, fate: MessageFate) -> Collection[str]:
        """The recipients of a message for whom it is not where it is wanted; "": for any."""
        return ()

    def reasons(self, trace: Trace, now: float) -> list[str]:
        """What stands in its way at lab time `now`, the most frequent first."""
        units = [(key, who) for key, fate in trace.fates.items() for who in self.missing(fate)]
        return explained(units, trace, now) or [self.otherwise(trace)]

    def rests_on(self, topology: Topology) -> Iterable[tuple[str, str]]:
        """By what it is seen while the story runs: a host, and what that has to tell (see
        `SoftwareEntry.tells`)."""
        return ()

    def rests_on_in_the_end(self, topology: Topology) -> Iterable[tuple[str, str]]:
        """The same of `in_the_end`."""
        return ()

    @property
    def certain(self) -> bool:
        """Whether it holds for certain once it seems to, whatever is not told."""
        return True

    def otherwise(self, trace: Trace) -> str:
        """What stands in its way where no message does."""
        return "no message of it is left to wait for"
