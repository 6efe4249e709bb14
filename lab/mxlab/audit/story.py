"""A story, played in the simulation, and judged again before each of its steps."""

from collections.abc import Sequence
from dataclasses import dataclass

from mxlab.audit.every import hold
from mxlab.audit.judging import Flaw, RuleOutcome
from mxlab.audit.of_lab import setup_of_lab
from mxlab.backends.base import Order, refuse_products
from mxlab.backends.sim.backend import SimBackend, simulate
from mxlab.faults import refuse_unsupported
from mxlab.model.scenario import Scenario, fault_kinds
from mxlab.model.step import AnyStep, Ask, Say
from mxlab.runner.runner import silent
from mxlab.runner.steps import StepFailed, Steps
from mxlab.runner.watch import watching
from mxlab_services.config import TimeConfig


@dataclass(frozen=True, slots=True)
class StoryFlaw:
    """A flaw, and after which step it was first there; 0: from the start."""

    steps: int
    outcome: RuleOutcome
    flaw: Flaw


@dataclass(frozen=True, slots=True)
class StoryAudit:
    """Each flaw that is there at some time of a story, once, and why it could not be played on."""

    flaws: tuple[StoryFlaw, ...]
    failed: str = ""


def flaws_of_story(scenario: Scenario, rules: Sequence[str] = ()) -> StoryAudit:
    """The story judged by these rules, or by all. Raises Unsupported for one that the simulation
    cannot play."""
    backend = SimBackend()
    refuse_unsupported(backend, fault_kinds(scenario))
    refuse_products(scenario.topology, backend)
    order = Order(
        "audit", "audit", scenario.topology, TimeConfig(scenario.time_scale), scenario.seed
    )
    return simulate(lambda: _played(backend, order, scenario, rules))


async def _played(
    backend: SimBackend, order: Order, scenario: Scenario, rules: Sequence[str]
) -> StoryAudit:
    found: dict[tuple[str, Flaw], StoryFlaw] = {}
    failed, acted = "", 0
    async with backend.deploy(order, silent) as lab, watching(lab) as watch:

        async def look(step: AnyStep) -> None:
            nonlocal acted
            if isinstance(step, Say | Ask):
                return  # nothing happens in it: the next one is looked at before
            for outcome in hold(await setup_of_lab(lab), rules):
                for flaw in outcome.flaws:
                    found.setdefault((outcome.id, flaw), StoryFlaw(acted, outcome, flaw))
            acted = steps.done + 1

        steps = Steps(scenario, watch, silent, gate=look)
        try:
            await steps.run()
        except StepFailed as error:
            failed = f"step {steps.done + 1}: {error.finding.text}"
    return StoryAudit(tuple(found.values()), failed)
