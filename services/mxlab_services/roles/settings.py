"""Answers what a node's settings are, and changes those of an MTA while it runs.

Guarantee: a change is kept for the next start before it holds and is told; all of it, or nothing.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from mxlab_services.config import MtaConfig, NodeConfig
from mxlab_services.control.replies import Setting
from mxlab_services.control.requests import ConfigChange, ConfigList
from mxlab_services.control.rpc import Controls
from mxlab_services.errors import ConfigError, ControlError, SpoolError
from mxlab_services.events import ConfigChanged, Emit
from mxlab_services.faults.injector import INVALID
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.retry import schedule_of
from mxlab_services.runtime import Overrides
from mxlab_services.settings import changed, settings, why_fixed


def answer_fixed(config: NodeConfig, controls: Controls) -> None:
    """Answer for a node whose settings cannot be changed."""

    async def entries(_: ConfigList) -> list[Setting]:
        return settings(config)

    async def change(request: ConfigChange) -> list[Setting]:
        for key in (*request.values, *request.reset):
            raise ControlError(f"`{key}` of {config.node}: {why_fixed(config, key)}", INVALID)
        return []

    controls.add(ConfigList, entries)
    controls.add(ConfigChange, change)


def resumed(config: MtaConfig, overrides: Overrides) -> MtaConfig:
    """The configuration with what was changed before the last stop. Raises ConfigError."""
    kept = overrides.load()
    try:
        return changed(config, kept)
    except ConfigError as error:
        raise ConfigError(f"a setting that was changed before this start: {error}") from error


class Settings:
    """The settings of one MTA. `first` is the configuration that it was given."""

    def __init__(
        self, first: MtaConfig, live: LiveConfig, overrides: Overrides, emit: Emit
    ) -> None:
        self._first = first
        self._live = live
        self._overrides = overrides
        self._emit = emit

    def answer(self, controls: Controls) -> None:
        """Answer the requests about the settings."""
        controls.add(ConfigList, self._entries)
        controls.add(ConfigChange, self._change)

    async def _entries(self, _: ConfigList) -> list[Setting]:
        return settings(self._live.config)

    async def _change(self, request: ConfigChange) -> list[Setting]:
        before, first = self._live.config, _by_key(self._first)
        for key in (*request.values, *request.reset):
            if (why := why_fixed(before, key)) and key in first:
                raise ControlError(f"`{key}` of {before.node}: {why}", INVALID)
        wanted = request.values | {key: first.get(key) for key in request.reset}
        try:
            self._check(before, wanted)
            after = changed(before, wanted)
            schedule_of(after.retry)
            old, new = _by_key(before), _by_key(after)
            kept = {key: value for key, value in new.items() if value != first[key]}
            await self._take_over(before, after, kept)
        except ConfigError as error:
            raise ControlError(str(error), INVALID) from error
        except SpoolError as error:
            raise ControlError(str(error)) from error
        self._live.change(after)
        for key, value in new.items():
            if old[key] != value:
                self._emit(ConfigChanged(key, _text(old[key]), _text(value)))
        return [setting for setting in settings(after) if setting.key in wanted]

    def _check(self, before: MtaConfig, wanted: Mapping[str, Any]) -> None:
        """Raise ConfigError for a setting that this MTA does not have."""

    async def _take_over(self, before: MtaConfig, after: MtaConfig, kept: dict[str, Any]) -> None:
        """Keep what differs from the first configuration for the next start. Raises SpoolError."""
        self._overrides.save(kept)


def _by_key(config: MtaConfig) -> dict[str, Any]:
    return {setting.key: setting.value for setting in settings(config)}


def _text(value: Any) -> str:
    return msgspec.json.encode(value).decode()
