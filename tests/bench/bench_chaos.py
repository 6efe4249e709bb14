"""How fast chaos goes, how long it goes without a finding, and how it finds planted faults.

Prints the tables of docs/chaos.md.
"""

import time

import pytest

from mxlab.chaos.jobs import cores
from mxlab.chaos.search import search
from mxlab.chaos.trial import YEAR
from tests.bench.table import Table, machine
from tests.chaos_planted.faults import PLANTED

ONE = 2_000  # runs in one process
ALL = 10_000  # runs on all cores
RATE = 75.0  # schedules in a second of processor time, at least
SEED = 2026
STEPS = 5

pytestmark = pytest.mark.bench


def test_ten_thousand_schedules_without_a_finding() -> None:
    """One core by its processor time, all of them by the clock: what the command says."""
    table = Table(
        f"Chaos ({machine()})",
        "processes",
        "runs",
        "different",
        "findings",
        "simulated years",
        "runs a second",
    )
    began = time.process_time()
    alone = search(seed=SEED, runs=ONE)
    rate = alone.runs / (time.process_time() - began)
    together = search(seed=SEED, runs=ALL, jobs=cores())
    for processes, tally, speed in (
        ("one, for a second of processor time", alone, rate),
        (f"{cores()}, by the clock", together, together.runs / together.seconds),
    ):
        years = f"{tally.lab_seconds / YEAR:.1f}"
        different = tally.runs - tally.repeats
        table.row(
            processes, tally.runs, different, int(tally.found is not None), years, f"{speed:.0f}"
        )
    table.show()
    assert alone.found is None, alone.found
    assert together.found is None, together.found
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
