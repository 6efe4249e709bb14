"""How long the proof of an exercise takes, and how much of that the reading of its file."""

import time
from pathlib import Path

import pytest

from mxlab.cli.hands import type_command
from mxlab.exercise.draft import draft_exercise
from mxlab.learn.proof import SEATS, Subject, proven, walk_simulated
from tests.bench.table import Table, machine

SECONDS = 3.0  # of processor time that one exercise may take, over all its seats

pytestmark = pytest.mark.bench


def test_one_exercise_over_its_seats() -> None:
    """The draft that `mxlab exercise new` writes, in one process."""
    subject = Subject(Path("draft/exercise.yaml"), draft_exercise("draft"), "draft")
    walk_simulated(subject, SEATS, type_command)  # what is loaded once
    began = time.process_time()
    for seed in range(SEATS):
        subject.exercise(seed)
    reading = time.process_time() - began
    began = time.process_time()
    proof = proven(subject, [walk_simulated(subject, n, type_command) for n in range(SEATS)])
    whole = time.process_time() - began
    table = Table(f"Proof of an exercise ({machine()})", "seats", "seconds", "of it reading")
    table.row(str(SEATS), f"{whole:.2f}", f"{reading / whole:.0%}")
    table.show()
    assert not proof.refusals
    assert whole < SECONDS
