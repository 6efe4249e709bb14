"""The beginning of a story, played in a lab that is up, which is left as it is then."""

import msgspec

from mxlab.backends.base import Lab
from mxlab.model.finding import Finding
from mxlab.model.scenario import Scenario
from mxlab.runner.progress import Report
from mxlab.runner.runner import silent
from mxlab.runner.steps import StepFailed, Steps
from mxlab.runner.watch import watching


async def play_beginning(
    lab: Lab, scenario: Scenario, until: int, progress: Report = silent
) -> Finding | None:
    """The first `until` steps. Nothing is undone: faults stay in force, and what was sent is on its
    way. Returns what was wrong with the step that failed, if one did; the rest is not played then.
    """
    begun = msgspec.structs.replace(scenario, steps=scenario.steps[:until])
    async with watching(lab) as watch:
        await watch.finish()  # what was before a reset is not of this beginning
        try:
            await Steps(begun, watch, progress).run()
        except StepFailed as failed:
            return failed.finding
    return None
