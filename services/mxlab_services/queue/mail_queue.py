"""The queue of one MTA, put together: the way in, attempts, lifetimes, the operator.

What differs between an MTA and a test comes in: where mail lies, where it goes, clock and chance.
"""

import random
from collections.abc import Callable, Collection

from mxlab_services.clock import Clock
from mxlab_services.directory import directory_of
from mxlab_services.events import Emit
from mxlab_services.ids import Ids
from mxlab_services.message import Queued
from mxlab_services.queue.commit import Settlement
from mxlab_services.queue.delivery import Attempts
from mxlab_services.queue.enqueue import Intake
from mxlab_services.queue.expiry import Sweeper
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.operator import Operator
from mxlab_services.queue.ports import Relay, Router
from mxlab_services.queue.scheduler import Scheduler
from mxlab_services.storage.ports import Mailboxes, Spool


class MailQueue:
    """The parts. `start` begins to deliver, `close` ends it; what comes in goes to `intake`."""

    def __init__(
        self,
        live: LiveConfig,
        local_domains: Collection[str],
        spool: Spool,
        mailboxes: Mailboxes,
        router: Router,
        relay: Relay,
        ids: Ids,
        clock: Clock,
        rng: random.Random,
        emit: Emit,
        told: Callable[[Queued], None] | None = None,
    ) -> None:
        """`told` is called with each message whose sender was told of a failure or a delay."""
        self._live = live
        self._look_up()
        live.when_changed(self._look_up)
        self.intake = Intake(live.config.hostname, spool, ids, clock, emit, self._members)
        self.settlement = Settlement(live, spool, self.intake, ids, clock, emit, told)
        attempts = Attempts(
            live, local_domains, spool, mailboxes, router, relay, self.settlement, clock, rng, emit,
            self._mailbox,
        )  # fmt: skip
        self.scheduler = Scheduler(spool, attempts, live, clock, rng, emit)
        self.sweeper = Sweeper(spool, self.scheduler, attempts, self.settlement, live, clock, emit)
        self.operator = Operator(spool, self.scheduler, self.sweeper, clock, emit)

    def start(self) -> None:
        """Go on with what waits in the spool, and take what comes in."""
        self.intake.when_accepted(self._accepted)
        self.scheduler.when_free(self.sweeper.wake)
        self.scheduler.start()
        self.sweeper.start()

    def _look_up(self) -> None:
        """Make of the configuration as it is now who has a mailbox here."""
        self._directory = directory_of(self._live.config)

    def _mailbox(self, address: str) -> str:
        return self._directory.mailbox(address)

    def _members(self, address: str) -> tuple[str, ...]:
        """To whom mail for an alias goes; nobody where it is none, or leads back to itself."""
        expansion = self._directory.expanded(address)
        return () if expansion is None or expansion.circle else expansion.members

    def _accepted(self, message: Queued) -> None:
        self.scheduler.wake(message)
        self.sweeper.accepted(message)
