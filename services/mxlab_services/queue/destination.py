"""What an MTA knows about one destination: how much it may try there at a time, and since when not.

Concurrency starts low, grows by one with each success and is halved by a failure of the host
(MAIL-RULES C2). A destination where no host answers is dead until a time that backs off per
destination, not per message (C1); then one probe decides. Lives in memory only.
"""

import asyncio
import random
from collections import deque

from msgspec import Struct, field

from mxlab_services.message import Queued
from mxlab_services.queue.retry import Schedule

FIRST = 2  # attempts at a time, to begin with


class Lane(Struct):
    """The state of one destination.

    `buffer` holds messages read ahead from the spool, `active` the queue ids being tried now.
    `limit`: attempts at a time, where the MTA grants so many. `changed` is set when an attempt
    ends, or when it grants more. `leftovers`: recipients may wait here for a later time.
    """

    domain: str
    limit: int = FIRST
    buffer: deque[Queued] = field(default_factory=deque)
    active: dict[str, None] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    dead_since: float | None = None
    dead_until: float = 0.0
    reason: str = ""
    failures: int = 0
    leftovers: bool = False
    again: bool = False
    pump: "asyncio.Task[None] | None" = None
    timer: asyncio.TimerHandle | None = None

    def suspended(self, now: float) -> bool:
        """Whether nothing is to be tried here now."""
        return self.dead_since is not None and now < self.dead_until

    @property
    def idle(self) -> bool:
        """Nothing is known about this destination that is worth keeping."""
        return not (self.active or self.buffer or self.pump) and self.dead_since is None

    def succeeded(self, most: int) -> None:
        """One more may be tried at a time, up to `most`."""
        self.limit = min(self.limit + 1, most)

    def failed(self, most: int) -> None:
        self.limit = max(1, min(self.limit, most) // 2)

    def died(self, now: float, reason: str, schedule: Schedule, rng: random.Random) -> bool:
        """No host answered; False where that was known already (attempts made side by side): then
        the pause lasts as if only this one had failed."""
        known = self.suspended(now)
        if self.dead_since is None:
            self.dead_since = now
        self.failures += not known
        pause = schedule.wait(self.failures, now - self.dead_since, rng)
        self.dead_until = max(self.dead_until, now + pause)
        if known:
            return False
        self.reason = reason
        self.limit = 1
        self.buffer.clear()
        return True

    def answered(self) -> bool:
        """A host answered, whatever it said; True where that is news."""
        if self.dead_since is None:
            return False
        self.dead_since, self.dead_until, self.failures, self.reason = None, 0.0, 0, ""
        self.limit = FIRST
        return True

    def probe_now(self) -> None:
        """Forget until when the destination is dead: somebody asked for a try (C4)."""
        self.dead_until = 0.0

    def cancel_timer(self) -> None:
        if self.timer is not None:
            self.timer.cancel()
            self.timer = None
