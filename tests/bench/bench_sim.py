"""What the simulation costs: an outage with 20 messages, and five-day outages with many."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.model.finding import Verdict
from mxlab.runner.result import RunResult
from mxlab.runner.runner import run
from mxlab.scenario.load import load, loads
from tests.bench.table import Table, machine

OUTAGE_SECONDS = 0.1  # of processor time, for primary-outage with its 20 messages
WHOLE_SECONDS = 1.0  # the same with the interpreter's start
DAYS = {1_000: 3.0, 10_000: 40.0}  # messages through five days -> seconds

FIVE_DAYS = """
mxlab: 1
title: Five days without any exchange
topology: {{domain: example.test, mx: [{{host: mx1, preference: 10}}], schedule: postfix}}
steps:
  - fault: {{id: down, kill: mx1}}
  - send: {{id: batch, count: {count}, from: alice@client.test, to: bob@example.test}}
  - wait: 118h
  - heal: down
  - eventually: {{within: 3h, delivered: batch}}
expect: [nothing-lost, nothing-forged, nothing-altered, duplicates-explained, mx-order,
  retry-spacing, queues-empty, all-delivered, nothing-bounced]
"""

pytestmark = pytest.mark.bench


def play(text: str) -> tuple[RunResult, float]:
    """Run it in the simulation; returns the result and the processor seconds."""
    scenario = load(text) if "\n" not in text else loads(text)
    began = time.process_time()
    result = simulate(lambda: run(scenario, SimBackend(), lab="bench", run_id="bench"))
    return result, time.process_time() - began


def test_an_outage_in_the_simulation() -> None:
    table = Table(
        f"primary-outage, 20 messages, in the simulation ({machine()})",
        "what",
        "seconds",
        "at most",
    )
    play("primary-outage")  # imports, and what is cached
    result, seconds = min((play("primary-outage") for _ in range(5)), key=lambda pair: pair[1])
    assert result.verdict is Verdict.PASS
    table.row("one run", f"{seconds:.3f}", OUTAGE_SECONDS)
    command = [str(Path(sys.executable).with_name("mxlab")), "run", "primary-outage"]
    whole = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([*command, "--backend", "sim"], check=True, capture_output=True)
        whole.append(time.perf_counter() - began)
    table.row("`mxlab run` with the interpreter's start", f"{min(whole):.2f}", WHOLE_SECONDS)
    table.show()
    assert seconds <= OUTAGE_SECONDS
    assert min(whole) <= WHOLE_SECONDS


def test_five_days_of_outage() -> None:
    table = Table(
        f"Five days of outage on the postfix schedule, in the simulation ({machine()})",
        "messages", "seconds", "at most", "events", "microseconds a message",
    )  # fmt: skip
    spent = {}
    for count, most in DAYS.items():
        result, seconds = play(FIVE_DAYS.format(count=count))
        assert result.verdict is Verdict.PASS, result.findings
        assert result.lab_seconds > 118 * 3600
        spent[count] = seconds
        each = 1e6 * seconds / count
        table.row(count, f"{seconds:.1f}", most, len(result.trace), f"{each:.0f}")
    table.show()
    for count, most in DAYS.items():
        assert spent[count] <= most
