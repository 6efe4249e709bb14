"""How fast chaos goes, how long it goes without a finding, and how it finds planted faults.

Prints the tables of docs/chaos.md.
"""

import time

import pytest

from mxlab.chaos.search import search
from mxlab.chaos.trial import YEAR
from tests.bench.table import Table, machine
from tests.chaos_planted.faults import PLANTED

RUNS = 10_000
RATE = 50.0  # schedules in a second of processor time, at least
SEED = 2026
STEPS = 6

pytestmark = pytest.mark.bench


def test_ten_thousand_schedules_without_a_finding() -> None:
    began = time.process_time()
    tally = search(seed=SEED, runs=RUNS)
    seconds = time.process_time() - began
    table = Table(
        f"Chaos on one core ({machine()})", "runs", "findings", "simulated years", "runs a second"
    )
    rate = tally.runs / seconds
    years = tally.lab_seconds / YEAR
    table.row(tally.runs, int(tally.found is not None), f"{years:.1f}", f"{rate:.0f}")
    table.show()
    assert tally.found is None, tally.found
    assert rate >= RATE


def test_planted_faults_are_found() -> None:
    table = Table(
        "Planted faults", "fault", "found by run", "steps", "the smallest schedule", "broken"
    )
    for name, plant in PLANTED.items():
        with pytest.MonkeyPatch.context() as patch:
            plant(patch)
            tally = search(seed=SEED, runs=2000)
        assert tally.found is not None, name
        steps = tally.found.schedule.scenario().steps
        words = "; ".join(map(str, steps))
        broken = ", ".join(finding.check for finding in tally.found.wrong)
        table.row(name, tally.found_after, len(steps), words, broken)
        assert len(steps) <= STEPS, words
    table.show()
