"""The scenarios that ship, in every world: each passes, by what it expects of itself, and every
message has the same story in local processes and in containers as in the simulation.

::

    scenario.yaml ──> sim      ──┐
                  ──> process  ──┼── the same story of every message, the same verdict
                  ──> docker   ──┘
"""

import asyncio
import secrets
import time as host
from collections import Counter

import pytest

from mxlab.backends.base import Backend
from mxlab.backends.docker import DockerBackend
from mxlab.backends.process import ProcessBackend
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.model.finding import Verdict
from mxlab.model.scenario import BackendName
from mxlab.report.text import text
from mxlab.runner import runner
from mxlab.runner.result import RunResult
from mxlab.scenario.load import load, scenario_ids
from mxlab_services import events
from mxlab_services.config import TimeConfig


def told_in(world: BackendName) -> list[str]:
    """The scenarios that can be told in that world, by their own word."""
    return [name for name in scenario_ids() if world in (load(name).backends or (world,))]


def run_here(name: str, backend: Backend) -> RunResult:
    scenario = load(name)
    token = secrets.token_hex(4)
    epoch = host.time()  # noqa: TID251 - the lab begins now
    work = runner.run(
        scenario,
        backend,
        lab=f"e2e-{token}",
        run_id=token,
        time=TimeConfig(scenario.time_scale, epoch),
    )
    return asyncio.run(work)


def simulated(name: str) -> RunResult:
    scenario = load(name)
    return simulate(lambda: runner.run(scenario, SimBackend(), lab="e2e", run_id="e2e"))


def stories(result: RunResult) -> list[str]:
    """A line for each message: who took it, in order, and what became of it; times aside. Batch by
    batch: those of several senders are handed in at once."""
    lines = []
    numbers = Counter[str]()
    for sent in result.evidence.submissions:
        number = numbers[sent.batch]
        numbers[sent.batch] += 1
        hops = []
        # By the nodes' clock, which they share: their streams reach the lab in any order.
        for event in sorted(result.trace.of_message(sent.message), key=lambda event: event.at):
            match event.body:
                case events.Accepted():
                    hops.append(event.node)
                case events.MailboxDelivered(recipient=recipient):
                    hops.append(f"the mailbox of {recipient}")
                case events.Bounced(action=action):
                    hops.append(f"{action}, told by {event.node}")
                case events.Outcome(outcome="unknown", host=host):
                    hops.append(f"no last word from {host}")
                case _:
                    pass
        lines.append(f"{sent.batch}, message {number}: {' -> '.join(hops)}")
    return sorted(lines)


@pytest.mark.parametrize("name", told_in("sim"))
def test_in_the_simulation(name: str) -> None:
    result = simulated(name)
    assert result.verdict is Verdict.PASS, text(result)


@pytest.mark.long
@pytest.mark.parametrize("name", told_in("process"))
def test_in_local_processes(name: str) -> None:
    result = run_here(name, ProcessBackend())
    assert result.verdict is Verdict.PASS, text(result)
    assert stories(result) == stories(simulated(name))


@pytest.mark.docker
@pytest.mark.long
@pytest.mark.parametrize("name", told_in("docker"))
def test_in_containers(name: str) -> None:
    result = run_here(name, DockerBackend())
    assert result.verdict is Verdict.PASS, text(result)
    drawn = "loss" in load(name).needs  # which packets are lost, by the kernel
    if name in told_in("sim") and not drawn:
        assert stories(result) == stories(simulated(name))
