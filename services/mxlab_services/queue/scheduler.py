"""Decides when each queued message is tried, destination by destination.

Guarantee: a message is tried at once when it is accepted and again when its time comes, at most
once at a time for each destination; nothing here polls. Memory does not grow with the queue: each
destination reads a few messages ahead, the rest lies in the spool. While a destination is dead its
messages are neither tried nor rewritten, so an outage costs messages plus attempts, not their
product (MAIL-RULES C1).

Long: one state of destinations, which every method keeps in step with the spool.
"""

import asyncio
import logging
import random
from collections.abc import Callable, Iterable

from msgspec.structs import replace

from mxlab_services import events
from mxlab_services.address import domain_of
from mxlab_services.clock import Clock
from mxlab_services.errors import SpoolError
from mxlab_services.message import Pending, Queued
from mxlab_services.queue.delivery import Attempts
from mxlab_services.queue.destination import Lane
from mxlab_services.queue.live import LiveConfig
from mxlab_services.queue.ports import Deferred, Result
from mxlab_services.queue.room import Room
from mxlab_services.storage.ports import Spool

log = logging.getLogger(__name__)

ACTIVE = 200  # attempts at a time, over all destinations
LARGE = 256 * 1024  # bytes; content above that is read only when there is room for it
CONTENT = 64 * 1024 * 1024  # bytes of such content in memory at a time
AHEAD = 10  # messages read ahead for a destination, at least
_CLOSING = 5.0  # real seconds that running attempts get to end when the node stops
_TICK = 0.001  # real seconds: no timer is shorter, so that time passes before it fires
_DISK_WAIT = 1.0  # real seconds before the spool is asked again after it refused


class Scheduler:
    """Tries what is due, at most `limits.destination_concurrency` attempts at a time for one
    destination."""

    def __init__(
        self,
        spool: Spool,
        attempts: Attempts,
        live: LiveConfig,
        clock: Clock,
        rng: random.Random,
        emit: events.Emit,
    ) -> None:
        self._spool = spool
        self._attempts = attempts
        self._live = live
        self._clock = clock
        self._rng = rng
        self._emit = emit
        self._lanes: dict[str, Lane] = {}
        self._tasks: dict[asyncio.Task[None], None] = {}  # a dict, because a set has no order
        self._room = asyncio.Semaphore(ACTIVE)
        self._contents = Room(CONTENT)
        self._running: dict[str, int] = {}  # queue id -> attempts that run
        self._claimed: dict[str, None] = {}  # queue ids that attempts must leave alone
        self._deleted: dict[str, None] = {}  # queue ids deleted while an attempt ran
        self._when_free: Callable[[], None] | None = None
        self._refreshing: asyncio.Task[None] | None = None
        self._stale = False
        self._refreshes = 0
        self._closed = False
        live.when_changed(self._look_again)

    # --- what others ask ---

    def start(self) -> None:
        """Look up what waits in the spool, and go on with it."""
        self.refresh()

    def wake(self, message: Queued) -> None:
        """A message is in the spool, due now."""
        for domain in dict.fromkeys(domain_of(pending.address) for pending in message.pending):
            self._kick(self._lane(domain))

    def refresh(self) -> None:
        """The spool was changed by other hands than ours: read again what is due when."""
        self._refreshes += 1
        for lane in self._lanes.values():
            lane.buffer.clear()
        self._reread()

    def retry_now(self, domain: str | None = None) -> None:
        """Ignore for once that the destination (or, for None, any) is dead (C4)."""
        self._attempts.forget()
        for lane in self._lanes.values():
            if domain is None or lane.domain == domain:
                lane.probe_now()
        self.refresh()

    def forget(self) -> None:
        """Every destination is as one of which nothing is known."""
        self._attempts.forget()
        for lane in self._lanes.values():
            lane.answered()
        self.refresh()

    def retry_first(self, message: Queued) -> None:
        """Try this message before all others of its destinations, dead or not."""
        self._attempts.forget()
        for domain in dict.fromkeys(domain_of(pending.address) for pending in message.pending):
            lane = self._lane(domain)
            lane.probe_now()
            meant = tuple(p for p in message.pending if domain_of(p.address) == domain)
            if message.queue_id not in lane.active:
                lane.buffer.appendleft(replace(message, pending=meant))
            self._kick(lane)

    def active(self, queue_id: str) -> bool:
        """Whether an attempt of this message is running."""
        return queue_id in self._running

    def seen(self, pending: Pending) -> Pending:
        """A recipient as it is while its destination is dead: suspended until the next probe."""
        lane = self._lanes.get(domain_of(pending.address))
        now = self._clock.time()
        if lane is None or pending.next_attempt > now or not lane.suspended(now):
            return pending
        reason = f"delivery temporarily suspended: {lane.reason}"
        return replace(pending, next_attempt=lane.dead_until, reason=reason)

    def claim(self, queue_id: str) -> bool:
        """Keep attempts away from a message until `release`; False while one is running."""
        if queue_id in self._running or queue_id in self._claimed:
            return False
        self._claimed[queue_id] = None
        return True

    def release(self, queue_id: str) -> None:
        """Undo `claim`."""
        del self._claimed[queue_id]
        self._reread()

    def deleted(self, queue_id: str) -> None:
        """A message was deleted; an attempt that runs tells no more of its end."""
        if queue_id in self._running:
            self._deleted[queue_id] = None

    def when_free(self, call: Callable[[], None]) -> None:
        """Call `call` whenever an attempt has ended that left its message in the queue."""
        self._when_free = call

    async def close(self) -> None:
        """Start nothing more; give what is running some real seconds to end, then cancel it."""
        self._closed = True
        for lane in self._lanes.values():
            lane.cancel_timer()
        pumps = [lane.pump for lane in self._lanes.values() if lane.pump is not None]
        readers = [task for task in (*pumps, self._refreshing) if task is not None]
        for task in readers:
            task.cancel()
        await asyncio.gather(*readers, return_exceptions=True)
        if self._tasks:
            await asyncio.wait(list(self._tasks), timeout=_CLOSING)
            late = list(self._tasks)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    # --- when ---

    @property
    def _most(self) -> int:
        return self._live.config.limits.destination_concurrency

    def _look_again(self) -> None:
        """More may be tried at a time than before, or less."""
        for lane in self._lanes.values():
            lane.changed.set()

    def _lane(self, domain: str) -> Lane:
        lane = self._lanes.get(domain)
        if lane is None:
            lane = self._lanes[domain] = Lane(domain)
        return lane

    def _kick(self, lane: Lane) -> None:
        """Something may be due at this destination: see to it, now or when it is not dead."""
        if self._closed:
            return
        if lane.suspended(self._clock.time()):
            self._at(lane, lane.dead_until)
        elif lane.pump is None:
            lane.cancel_timer()
            lane.again = False
            lane.pump = asyncio.create_task(self._pump(lane))
        else:
            lane.again = True

    def _at(self, lane: Lane, at: float) -> None:
        """Kick the destination at lab time `at`."""
        lane.cancel_timer()
        if not self._closed:
            delay = self._clock.real(at - self._clock.time())
            loop = asyncio.get_running_loop()
            lane.timer = loop.call_later(max(delay, _TICK), self._kick, lane)

    def _reread(self) -> None:
        self._stale = True
        if self._refreshing is None and not self._closed:
            self._refreshing = asyncio.create_task(self._refresh())

    async def _refresh(self) -> None:
        """Ask the spool what is due when, and set the timers of all idle destinations."""
        try:
            while self._stale:
                self._stale = False
                try:
                    waiting = {d.domain: d for d in await self._spool.destinations()}
                except SpoolError as error:
                    log.error("the spool does not say what is due: %s", error)
                    await asyncio.sleep(_DISK_WAIT)
                    self._stale = True
                    continue
                for domain in [d for d, lane in self._lanes.items() if lane.idle]:
                    if domain not in waiting:
                        self._lanes.pop(domain).cancel_timer()
                for domain, destination in waiting.items():
                    lane = self._lane(domain)
                    lane.leftovers = True
                    if destination.next_attempt is None:
                        continue
                    at = max(destination.next_attempt, lane.dead_until)
                    if at <= self._clock.time():
                        self._kick(lane)
                    elif lane.pump is None:
                        self._at(lane, at)
        finally:
            self._refreshing = None

    async def _pump(self, lane: Lane) -> None:
        """Try what is due at one destination until nothing is, or it is dead."""
        try:
            while not lane.suspended(self._clock.time()):
                while len(lane.active) >= min(lane.limit, self._most):
                    lane.changed.clear()
                    await lane.changed.wait()
                if lane.suspended(self._clock.time()):
                    break
                if not lane.buffer and not await self._read_ahead(lane):
                    break
                await self._room.acquire()
                if lane.suspended(self._clock.time()) or not self._begin(lane):
                    self._room.release()
        finally:
            lane.pump = None
        if lane.suspended(self._clock.time()):
            self._at(lane, lane.dead_until)
        elif lane.again:
            self._kick(lane)
        elif lane.active or self._claimed:
            pass  # whose end looks again
        elif lane.leftovers:
            lane.leftovers = False
            self._reread()
        elif lane.idle:
            self._lanes.pop(lane.domain, None)

    async def _read_ahead(self, lane: Lane) -> bool:
        """Fill the buffer with messages that are due and not being tried; False if there is none.

        What is being tried when the reading begins may be read as due although it is settled when
        the reading ends: it is left out. Nothing else begins here meanwhile.
        """
        while True:
            lane.again = False
            refreshes = self._refreshes
            busy = lane.active | self._claimed
            limit = len(busy) + max(AHEAD, 2 * min(lane.limit, self._most))
            try:
                due = await self._spool.due(lane.domain, self._clock.time(), limit)
            except SpoolError as error:
                log.error("the spool does not say what is due at %s: %s", lane.domain, error)
                await asyncio.sleep(_DISK_WAIT)
                continue
            if refreshes != self._refreshes:
                continue
            busy |= {message.queue_id: None for message in lane.buffer}
            lane.buffer.extend(message for message in due if message.queue_id not in busy)
            if lane.buffer:
                return True
            if not lane.again:
                return False

    # --- one attempt ---

    def _begin(self, lane: Lane) -> bool:
        """Begin an attempt of the next message; False where there is none to begin."""
        if not lane.buffer:
            return False
        message = lane.buffer.popleft()
        if message.queue_id in lane.active or message.queue_id in self._claimed:
            return False
        lane.active[message.queue_id] = None
        self._running[message.queue_id] = self._running.get(message.queue_id, 0) + 1
        task = asyncio.create_task(self._try(lane, message))
        self._tasks[task] = None
        task.add_done_callback(self._tasks.pop)
        return True

    async def _try(self, lane: Lane, message: Queued) -> None:
        gone = True
        try:
            async with self._contents.of(message.size if message.size > LARGE else 0):
                content = await self._attempts.content(message.queue_id)
                if lane.suspended(self._clock.time()):  # found dead while the disk was slow
                    gone = False
                elif content is not None:
                    results = await self._attempts.deliver(lane.domain, message, content)
                    self._learn(lane, results.values(), message.key)
                    gone = await self._attempts.conclude(message, content, results, lane.dead_until)
                    if gone and message.queue_id not in self._deleted:
                        self._emit(events.Removed(message.queue_id), message.key)
        except Exception:  # a bug: the message stays; keep away from it for a while
            log.exception("the outcome of an attempt of %s is not recorded", message.queue_id)
            gone = False
            self._died(lane, "internal error; see the log", message.key)
        finally:
            self._ended(lane, message.queue_id, gone)

    def _ended(self, lane: Lane, queue_id: str, gone: bool) -> None:
        del lane.active[queue_id]
        left = self._running.pop(queue_id) - 1
        if left:
            self._running[queue_id] = left
        else:
            self._deleted.pop(queue_id, None)
        self._room.release()
        lane.changed.set()
        if not gone:
            lane.leftovers = True
            if self._when_free is not None:
                self._when_free()
        if lane.pump is None and lane.leftovers:
            self._kick(lane)
        elif lane.idle and self._lanes.get(lane.domain) is lane:
            del self._lanes[lane.domain]

    def _learn(self, lane: Lane, results: Iterable[Result], key: str) -> None:
        """What the results say about the destination itself."""
        outcomes = list(results)
        dead = [r for r in outcomes if isinstance(r, Deferred) and r.dead]
        if dead:
            self._died(lane, str(dead[0].reply), key)
            return
        silent = all(isinstance(r, Deferred) and not r.reply.code for r in outcomes)
        # Found dead meanwhile: what answered this attempt did so before that.
        overtaken = silent and lane.suspended(self._clock.time())
        if not overtaken and lane.answered():
            self._emit(events.DestinationAlive(lane.domain), key)
        troubled = any(
            isinstance(r, Deferred) and (r.unknown or r.reply.code in (0, 421)) for r in outcomes
        )
        if troubled:
            lane.failed(self._most)
        else:
            lane.succeeded(self._most)

    def _died(self, lane: Lane, reason: str, key: str) -> None:
        if lane.died(self._clock.time(), reason, self._live.schedule, self._rng):
            self._emit(events.DestinationDead(lane.domain, lane.dead_until, reason), key)
