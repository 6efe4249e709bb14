"""Chaos finds every planted fault, and shrinks what it finds to a few steps."""

import pytest

from mxlab.chaos.search import search
from mxlab.chaos.trial import try_out
from tests.chaos_planted.faults import PLANTED

SEED = 1
RUNS = 1000  # within which each has to be found
SOONER = {"takes the first piece of a reply for silence": 100}
SHRINKING = 200  # trials; more make schedules nicer, not shorter
STEPS = 5


@pytest.mark.parametrize("name", PLANTED)
def test_chaos_finds_and_shrinks(name: str) -> None:
    with pytest.MonkeyPatch.context() as patch:
        PLANTED[name](patch)
        tally = search(seed=SEED, runs=SOONER.get(name, RUNS), shrinking=SHRINKING)
        assert tally.found is not None, f"not found in {tally.runs} runs"
        schedule = tally.found.schedule
        assert try_out(schedule) == tally.found  # it replays
    steps = schedule.scenario().steps
    assert len(steps) <= STEPS, "\n".join(map(str, steps))
    assert try_out(schedule).wrong == ()  # it is the fault that was found


def test_there_are_more_than_ten_faults() -> None:
    assert len(PLANTED) > 10
