"""Searches the space of schedules for one that breaks an invariant, and shrinks it.

The seed decides which schedules are tried, and in which order. The search ends with the first
finding, when it has had its runs or its time, or when it is interrupted; then it answers what it
has.
"""

import contextlib
import gc
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky

from mxlab.chaos.schedule import Break, Mail, Pass, Schedule
from mxlab.chaos.space import SIZE, schedules
from mxlab.chaos.trial import Trial, try_out
from mxlab.model.finding import Finding, Verdict

SHRINKING = 500  # trials spent on making a finding smaller, at most
FOREVER = 10**9
SWEEP = 50  # trials between two collections of garbage: a world is full of cycles


@dataclass(slots=True)
class Tally:
    """How far a search is. `found_after`: the number of the run that failed first; `shrinking`:
    trials spent on shrinking since; `lab_seconds` of virtual time lie behind it."""

    runs: int = 0
    lab_seconds: float = 0.0
    seconds: float = 0.0
    found_after: int | None = None
    shrinking: int = 0
    found: Trial | None = None
    interrupted: bool = False


class _Enough(BaseException):
    """The search has had its runs or its time; not an Exception, since Hypothesis would take one
    for a failing test."""


class _Broken(Exception):
    """An invariant does not hold."""


def search(
    *,
    seed: int,
    runs: int | None = None,
    seconds: float | None = None,
    size: int = SIZE,
    shrinking: int = SHRINKING,
    progress: Callable[[Tally], None] = lambda _: None,
) -> Tally:
    """Try schedules of at most `size` actions until one fails, `runs` are tried, or `seconds` (of
    real time) have passed; without either bound, until interrupted."""
    return _Search(runs, seconds, shrinking, progress).search(seed, size)


class _Search:
    def __init__(
        self,
        runs: int | None,
        seconds: float | None,
        shrinking: int,
        progress: Callable[[Tally], None],
    ) -> None:
        self._runs, self._seconds, self._shrinking = runs, seconds, shrinking
        self._progress = progress
        self._began = time.monotonic()
        self._tally = Tally()
        self._check = ""  # the invariant that was broken first: shrinking keeps to it

    def search(self, seed: int, size: int) -> Tally:
        plan = settings(
            max_examples=self._runs or FOREVER,
            phases=(Phase.generate, Phase.shrink),
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        tally = self._tally
        try:
            with _own_collections():
                seeded(seed)(plan(given(schedules(size))(self._one)))()
        except (_Enough, _Broken):
            pass
        except Flaky:
            if tally.found is not None:
                text = "the same schedule did not fail again: the simulation does not repeat itself"
                flaky = Finding("repeatable", Verdict.FAIL, text)
                tally.found = replace(tally.found, wrong=(*tally.found.wrong, flaky))
        except KeyboardInterrupt:
            tally.interrupted = True
        tally.seconds = time.monotonic() - self._began
        return tally

    def _one(self, schedule: Schedule) -> None:
        tally = self._tally
        tally.seconds = time.monotonic() - self._began
        shrinking = tally.found is not None
        if shrinking and tally.shrinking >= self._shrinking:
            raise _Enough
        if not shrinking and self._seconds is not None and tally.seconds >= self._seconds:
            raise _Enough
        trial = try_out(schedule)
        if (tally.runs + tally.shrinking) % SWEEP == 0:
            gc.collect(0)
        if shrinking:
            tally.shrinking += 1
        else:
            tally.runs += 1
            tally.lab_seconds += trial.lab_seconds
        broken = [finding.check for finding in trial.wrong]
        if broken and (not shrinking or self._check in broken):
            if not shrinking:
                self._check = broken[0]
                tally.found_after = tally.runs
            if tally.found is None or weight(schedule) < weight(tally.found.schedule):
                tally.found = trial
            self._progress(tally)
            raise _Broken
        self._progress(tally)


@contextlib.contextmanager
def _own_collections() -> Iterator[None]:
    """Garbage is collected when `_one` says so only, and what is there now is left out of it."""
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()


def weight(schedule: Schedule) -> tuple[float, ...]:
    """The smaller, the easier to understand: few steps before all, then few messages, short waits,
    few hosts."""
    actions = schedule.actions
    return (
        len(schedule.scenario().steps),
        sum(a.count * len(a.recipients) for a in actions if isinstance(a, Mail)),
        sum(a.seconds for a in actions if isinstance(a, Pass)),
        len(schedule.topology.mx),
        sum(a.host for a in actions if isinstance(a, Break)),
        len(actions),
        schedule.seed,
    )
