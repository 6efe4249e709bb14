"""Searches one block of runs for a schedule that breaks an invariant, and shrinks it.

The seed and the block's number decide which schedules are tried, and in which order. What is drawn
a second time is a run, but not played again: it would come to the same, event by event. The block
ends with the first finding, when it has had its runs, when time is up, or when it is interrupted.
"""

import contextlib
import gc
from collections.abc import Callable, Iterator
from dataclasses import replace

import msgspec
from hypothesis import HealthCheck, Phase, Verbosity, given, settings
from hypothesis import seed as seeded
from hypothesis.errors import Flaky

from mxlab.backends.sim.guard import guarded
from mxlab.chaos.schedule import ChaosSchedule
from mxlab.chaos.smaller import smaller, weight
from mxlab.chaos.space import schedules
from mxlab.chaos.tally import BLOCK, Quest, Tally
from mxlab.chaos.trial import try_out
from mxlab.model.finding import Finding, Verdict


class _Enough(BaseException):
    """The block has had its runs or its time; not an Exception, since Hypothesis would take one
    for a failing test."""


class _Broken(Exception):
    """An invariant does not hold."""


def search_block(
    quest: Quest, number: int, progress: Callable[[Tally], None] = lambda _: None
) -> Tally:
    """Try the schedules of block `number` until one fails, and shrink that. KeyboardInterrupt ends
    it too, and is noted in the tally."""
    return _Block(quest, number, progress).search()


class _Block:
    def __init__(self, quest: Quest, number: int, progress: Callable[[Tally], None]) -> None:
        self._quest, self._number, self._progress = quest, number, progress
        self._most = quest.runs_in(number)
        self._tally = Tally()
        self._passed: set[bytes] = set()  # the scenarios, encoded, in which nothing was wrong
        self._check = ""  # the invariant that was broken first: shrinking keeps to it
        self._shrinking = quest.shrinking * 3 // 4  # trials; the rest is for what Hypothesis leaves

    def search(self) -> Tally:
        plan = settings(
            max_examples=BLOCK,  # also where fewer are wanted: it decides what is tried
            phases=(Phase.generate, Phase.shrink),
            database=None,
            deadline=None,
            report_multiple_bugs=False,
            verbosity=Verbosity.quiet,
            print_blob=False,
            suppress_health_check=list(HealthCheck),
        )
        tally = self._tally
        seed = f"{self._quest.seed}/{self._number}"
        try:
            with contextlib.suppress(_Enough, _Broken):
                seeded(seed)(plan(given(schedules(self._quest.size))(self._one)))()
            self._shrinking = self._quest.shrinking
            with contextlib.suppress(_Enough):
                self._pare()
        except Flaky:
            if tally.found is not None:
                text = "the same schedule did not fail again: the simulation does not repeat itself"
                flaky = Finding("repeatable", Verdict.FAIL, text)
                tally.found = replace(tally.found, wrong=(*tally.found.wrong, flaky))
        except KeyboardInterrupt:
            tally.interrupted = True
        return tally

    def _pare(self) -> None:
        """Leave out of a finding, one by one, what it does not need."""
        found = None
        while self._tally.found is not None and self._tally.found is not found:
            found = self._tally.found
            for schedule in smaller(found.schedule):
                if self._tally.found is found and weight(schedule) < weight(found.schedule):
                    with contextlib.suppress(_Broken):
                        self._one(schedule)

    def _one(self, schedule: ChaosSchedule) -> None:
        tally, quest = self._tally, self._quest
        shrinking = tally.found is not None
        if shrinking and tally.shrinking >= self._shrinking:
            raise _Enough
        if not shrinking and (tally.runs >= self._most or quest.late()):
            raise _Enough
        story = b"" if shrinking else msgspec.msgpack.encode(schedule.scenario())
        if story in self._passed:
            tally.runs += 1
            tally.repeats += 1
            self._progress(tally)
            return
        trial = try_out(schedule)
        gc.collect(0)  # a world is full of cycles, and still in the processor's cache
        if shrinking:
            tally.shrinking += 1
        else:
            tally.runs += 1
            tally.lab_seconds += trial.lab_seconds
            tally.reached.update(trial.reached)
        broken = [finding.check for finding in trial.wrong]
        if broken and (not shrinking or self._check in broken):
            if not shrinking:
                self._check = broken[0]
                tally.found_after = tally.runs
            if tally.found is None or weight(schedule) < weight(tally.found.schedule):
                tally.found = trial
            self._progress(tally)
            raise _Broken
        if not shrinking:
            self._passed.add(story)
        self._progress(tally)


@contextlib.contextmanager
def at_full_speed() -> Iterator[None]:
    """Garbage is collected after each trial only, and what is there now is left out of it."""
    enabled = gc.isenabled()
    gc.collect()
    gc.freeze()
    gc.disable()
    try:
        with guarded():
            yield
    finally:
        gc.unfreeze()
        if enabled:
            gc.enable()
