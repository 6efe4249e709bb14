"""Settings of a node that runs, changed by an operator."""

from collections.abc import Mapping

from mxlab.backends.base import Node
from mxlab.errors import UsageError
from mxlab.scenario.settings import setting_value
from mxlab_services.control.replies import Setting
from mxlab_services.control.requests import ConfigChange, ConfigList


async def change_settings(
    node: Node, changes: Mapping[str, object]
) -> tuple[dict[str, Setting], list[Setting]]:
    """Change all of them or none; texts are as `mxlab config` takes them. Returns what every
    setting was before, and those that are otherwise now. Raises UsageError, Refused."""
    before = {setting.key: setting for setting in await node.request(ConfigList())}
    values = {}
    for key, given in changes.items():
        if key in before and (why := before[key].fixed):
            raise UsageError(f"{key} of {node.config.node} cannot be changed", why)
        values[key] = setting_value(key, given, before)
    return before, await node.request(ConfigChange(values))
