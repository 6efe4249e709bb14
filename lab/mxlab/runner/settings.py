"""The settings of hosts that a run has changed.

What each was before is recorded before it is changed; `put_back` restores it, whatever else failed.
"""

from typing import Any

from mxlab.backends.base import Lab
from mxlab.errors import LabError
from mxlab.model.finding import Finding, Verdict
from mxlab.model.step import Config
from mxlab.runner.progress import Phase, Report
from mxlab.scenario.settings import setting_value
from mxlab_services.control.requests import ConfigChange, ConfigList


class ChangedSettings:
    """What they were, by host and key."""

    def __init__(self, lab: Lab, progress: Report) -> None:
        self._lab, self._progress = lab, progress
        self._before: dict[str, dict[str, Any]] = {}

    async def change(self, step: Config) -> None:
        """Change them, all or none. Raises UsageError, Refused, NodeUnreachable."""
        node = self._lab.nodes[step.host]
        values = {key: setting_value(key, given) for key, given in step.settings.items()}
        now = {setting.key: setting.value for setting in await node.request(ConfigList())}
        before = self._before.setdefault(step.host, {})
        for key in values:  # the way back, on record before the way there
            before.setdefault(key, now[key])
        await node.request(ConfigChange(values))

    async def put_back(self) -> list[Finding]:
        """Set all to what they were; a finding for each host where that failed."""
        failed = []
        for host, before in list(self._before.items()):
            self._progress(Phase(f"putting settings of {host} back"))
            try:
                await self._lab.nodes[host].request(ConfigChange(before))
                del self._before[host]
            except LabError as error:
                failed.append(Finding(f"settings {host}", Verdict.FAIL, str(error)))
        return failed
