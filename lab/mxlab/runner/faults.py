"""The faults of a run that are open.

Every fault's undo is recorded before it is injected; `heal_all` undoes what is still open, the last
first, whatever else failed.
"""

from mxlab.errors import LabError
from mxlab.faults import FAULTS, fault_called, inject, undo
from mxlab.model.finding import Finding, Verdict
from mxlab.model.step import Fault
from mxlab.runner.progress import Phase, Report
from mxlab.runner.watch import Watch
from mxlab_services.events import LabFault, LabHealed


class OpenFaults:
    """What was injected and is not healed, by id."""

    def __init__(self, watch: Watch, progress: Report) -> None:
        self._watch, self._lab, self._progress = watch, watch.lab, progress
        self._open: dict[str, Fault] = {}

    async def inject(self, step: Fault) -> None:
        mechanism = step.mechanism
        self._open[step.id] = step  # the way back, on record before the way there
        await inject(self._lab, step.id, mechanism)
        self._watch.emit(LabFault(step.id, mechanism.kind, mechanism.host))

    async def heal(self, name: str) -> None:
        """Undo it; to heal twice is no mistake."""
        step = self._open.get(name)
        if step is None:
            return
        mechanism = step.mechanism
        await undo(self._lab, name, mechanism)
        del self._open[name]
        self._watch.emit(LabHealed(name))
        if mechanism.kind in FAULTS:
            await self._set_again(mechanism.host)

    async def heal_all(self) -> list[Finding]:
        """Undo every fault that is still open, the last first; a finding for each that stays."""
        failed = []
        for name in list(reversed(self._open)):
            self._progress(Phase(f"healing {name}"))
            try:
                await self.heal(name)
            except LabError as error:
                failed.append(Finding(f"heal {name}", Verdict.FAIL, str(error)))
        return failed

    async def _set_again(self, host: str) -> None:
        """What strikes inside a node ended with its life, but is not healed yet."""
        for name, step in list(self._open.items()):
            mechanism = step.mechanism
            inside = fault_called(mechanism.kind).ends_with_life and mechanism.host == host
            if inside and await self._lab.nodes[host].state() == "running":
                self._progress(Phase(f"setting {name} again"))
                await inject(self._lab, name, mechanism)
