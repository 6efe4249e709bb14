"""The end of a message's patience: delay warnings, and the bounce when its lifetime is over.

Guarantee: one warning per message; a message that is not held leaves the queue at its lifetime's
end, unless it is just being tried (then that attempt decides). Sleeps until the next message is of
that age; reads a few messages at a time.
"""

import asyncio
import logging
from collections.abc import Callable

from mxlab_services import events
from mxlab_services.clock import Clock
from mxlab_services.errors import SpoolError
from mxlab_services.message import Pending, Queued
from mxlab_services.queue.commit import Settlement
from mxlab_services.queue.delivery import Attempts, delayed, expired
from mxlab_services.queue.dsn import Fate
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.scheduler import Scheduler
from mxlab_services.storage.ports import Settled, Spool

log = logging.getLogger(__name__)

_PAGE = 50  # messages read at a time
_TICK = 0.001  # real seconds: the shortest sleep, so that time passes
_CLOSING = 5.0  # real seconds that what is being told gets to be told when the node stops
_DISK_WAIT = 1.0  # real seconds before the spool is asked again after it refused


class Sweeper:
    """Warns and gives up in time, from `start` until `close`."""

    def __init__(
        self,
        spool: Spool,
        scheduler: Scheduler,
        attempts: Attempts,
        settlement: Settlement,
        live: LiveConfig,
        clock: Clock,
        emit: events.Emit,
    ) -> None:
        self._spool = spool
        self._scheduler = scheduler
        self._attempts = attempts
        self._settlement = settlement
        self._live = live
        self._clock = clock
        self._emit = emit
        self._news = asyncio.Event()
        self._next: float | None = None  # lab time of the next sweep; None: nothing waits
        self._closed = False
        self._running: asyncio.Task[None] | None = None
        live.when_changed(self.wake)

    def wake(self) -> None:
        """Messages that were left alone (being tried, held) may be ready now."""
        self._news.set()

    def accepted(self, message: Queued) -> None:
        """A message is new in the queue."""
        schedule = self._live.schedule
        ages = [age for age in (schedule.warning, schedule.lifetime) if age > 0]
        if self._next is None or message.arrived + min(ages) < self._next:
            self._news.set()

    def start(self) -> None:
        """Sweep whenever a message has come of age."""
        self._running = asyncio.create_task(self.run())

    async def close(self) -> None:
        """Sweep no more. A message that is just given up or warned of gets some real seconds, so
        that what is durable is told too."""
        self._closed = True
        self._news.set()
        if self._running is not None:
            await asyncio.wait([self._running], timeout=_CLOSING)
            self._running.cancel()
            await asyncio.gather(self._running, return_exceptions=True)

    async def run(self) -> None:
        """Sweep whenever a message has come of age, until closed or cancelled."""
        while not self._closed:
            self._news.clear()
            self._next = None  # what comes during the sweep is news
            try:
                self._next = await self._sweep()
            except SpoolError as error:
                log.error("the spool does not say what is old: %s", error)
                await asyncio.sleep(_DISK_WAIT)
                continue
            delay = None
            if self._next is not None:
                delay = max(_TICK, self._clock.real(self._next - self._clock.time()))
            try:
                async with asyncio.timeout(delay):
                    await self._news.wait()
            except TimeoutError:
                continue

    async def expire(self, message: Queued) -> bool:
        """Bounce all recipients as if the lifetime were over; False while it is being tried."""
        done = tuple(pending.address for pending in message.pending)
        return await self._conclude(message, Settled(message.queue_id, done), expired)

    async def _warn(self, message: Queued) -> bool:
        """Tell the sender that the message is late; False while it is being tried."""
        return await self._conclude(message, Settled(message.queue_id, warned=True), delayed)

    async def _conclude(
        self, message: Queued, settled: Settled, fate: Callable[[Pending], Fate]
    ) -> bool:
        """Record what `settled` says, and tell the sender this fate of all that are pending."""
        if not self._scheduler.claim(message.queue_id):
            return False
        try:
            content = await self._attempts.content(message.queue_id)
            if content is None:
                return True
            fates = [fate(self._scheduler.seen(pending)) for pending in message.pending]
            end = message.arrived + self._live.schedule.lifetime
            until = end if settled.warned else None
            if await self._settlement.record(message, content, settled, fates, until):
                self._emit(events.Removed(message.queue_id), message.key)
            return True
        finally:
            self._scheduler.release(message.queue_id)

    async def _sweep(self) -> float | None:
        """Do what is due now; returns the lab time at which the next message is of age."""
        schedule = self._live.schedule
        lifetime, warning = schedule.lifetime, schedule.warning
        times = [await self._pass(lifetime, unwarned=False)]
        if 0 < warning < lifetime:
            times.append(await self._pass(warning, unwarned=True))
        return min((at for at in times if at is not None), default=None)

    async def _pass(self, age: float, *, unwarned: bool) -> float | None:
        """Expire (or warn of) all messages of `age`; returns when the next one is."""
        left: dict[str, None] = {}  # held, or being tried: not now
        while True:
            now = self._clock.time()
            page = await self._spool.arrived_before(now, len(left) + _PAGE, unwarned=unwarned)
            ready = [message for message in page if message.queue_id not in left]
            if not ready:
                return None
            for message in ready:
                if self._closed:
                    return None
                if message.arrived + age > now:
                    return message.arrived + age
                if message.held or not await (self._warn if unwarned else self.expire)(message):
                    left[message.queue_id] = None
