"""An MTA's configuration as it is now: one place, through which its parts read it at each use.

Guarantee: a change is there for all parts at once, and is a configuration with which the MTA could
have been started.
"""

from collections.abc import Callable

from mxlab_services.config import MtaConfig
from mxlab_services.queue.retry import Schedule, schedule_of


class LiveConfig:
    """The configuration, and the retry schedule that it means."""

    def __init__(self, config: MtaConfig) -> None:
        """Raises ConfigError for a schedule that there is not."""
        self.schedule: Schedule = schedule_of(config.retry)
        self.config = config
        self._told: list[Callable[[], None]] = []

    def change(self, config: MtaConfig) -> None:
        """From now on it is this one. Raises ConfigError, with nothing changed."""
        self.schedule = schedule_of(config.retry)
        self.config = config
        for tell in self._told:
            tell()

    def when_changed(self, tell: Callable[[], None]) -> None:
        """Call `tell` after each change: for what a part has made of the configuration."""
        self._told.append(tell)
