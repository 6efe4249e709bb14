"""The retry settings of one node in the course of a run, as its events tell them. Pure."""

import math

import msgspec

from mxlab_services.config import RetryConfig
from mxlab_services.events import ConfigChanged, Event
from mxlab_services.queue.retry import Schedule, schedule_of

_PART = "retry."


class Retrying:
    """Begins with the settings that the node came up with."""

    def __init__(self, config: RetryConfig) -> None:
        self._course = [(-math.inf, config)]

    def take(self, event: Event) -> None:
        """Take the node's next event."""
        body = event.body
        if isinstance(body, ConfigChanged) and body.key.startswith(_PART):
            new = {body.key.removeprefix(_PART): msgspec.json.decode(body.new)}
            self._course.append((event.at, msgspec.structs.replace(self._course[-1][1], **new)))

    def schedules(self, since: float) -> list[Schedule]:
        """Those by which a node may have gone from lab time `since` on, the last one last: what is
        told after a change may have been decided before it."""
        ends = [at for at, _ in self._course[1:]] + [math.inf]
        return [
            schedule_of(config)
            for (_, config), end in zip(self._course, ends, strict=True)
            if end >= since
        ]
