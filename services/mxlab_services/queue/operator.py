"""What an operator sees of the queue and does to it: postqueue's and postsuper's habits."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Literal

from mxlab_services import events
from mxlab_services.clock import Clock
from mxlab_services.control.replies import QueueEntry, QueueRecipient
from mxlab_services.control.requests import QueueEdit, QueueFlush, QueueList
from mxlab_services.domain import fold_domain
from mxlab_services.errors import ControlError
from mxlab_services.message import Pending, Queued
from mxlab_services.queue.expiry import Sweeper
from mxlab_services.queue.scheduler import Scheduler
from mxlab_services.storage.ports import Spool

Action = Literal["hold", "release", "requeue", "delete", "expire"]
_GROUP = 200  # messages edited at a time
MOST = 10_000  # entries in one page
_REFUSED = -32602


class Operator:
    """Answers the queue requests of one MTA."""

    def __init__(
        self,
        spool: Spool,
        scheduler: Scheduler,
        sweeper: Sweeper,
        clock: Clock,
        emit: events.Emit,
    ) -> None:
        self._spool = spool
        self._scheduler = scheduler
        self._sweeper = sweeper
        self._clock = clock
        self._emit = emit

    async def entries(self, request: QueueList) -> list[QueueEntry]:
        """One page of the queue, by queue id."""
        if not 1 <= request.limit <= MOST:
            raise ControlError(f"limit: 1 to {MOST}, not {request.limit}", _REFUSED)
        found: list[QueueEntry] = []
        async with aclosing(self._spool.load(request.after)) as messages:  # type: ignore[type-var]
            async for message in messages:
                found.append(self._entry(message))
                if len(found) == request.limit:
                    break
        return found

    async def edit(self, request: QueueEdit) -> int:
        """Do it to the messages named, or to all; unknown ids are refused before anything is done.

        Counts messages; one that is just being tried can not be expired, and is not counted.
        """
        names = list(dict.fromkeys(request.queue_ids))
        chosen = [] if names == ["ALL"] else [await self._get(name) for name in names]
        done = 0
        try:
            if names == ["ALL"]:
                async for group in self._groups():
                    done += await self._edit_all(request.action, group)
            else:
                done = await self._edit_all(request.action, chosen)
        finally:
            self._scheduler.refresh()
            self._sweeper.wake()
        return done

    async def flush(self, request: QueueFlush) -> int:
        """Try now, dead destinations included (C4). Counts messages."""
        if request.site is not None and request.queue_id is not None:
            raise ControlError("give a site or a queue id, not both", _REFUSED)
        if request.queue_id is not None:
            return await self._flush_one(await self._get(request.queue_id))
        site = fold_domain(request.site) if request.site is not None else None
        return await self.flush_site(site)

    async def flush_site(self, site: str | None) -> int:
        """Try now what waits for a domain, or for None all that waits: ETRN (RFC 1985) and -f."""
        if site == "":
            raise ControlError("the site is empty", _REFUSED)
        count = await self._spool.requeue(self._clock.time(), domain=site or "")
        self._emit(events.Flushed(site or "all", count))
        self._scheduler.retry_now(site)
        return count

    async def _flush_one(self, message: Queued) -> int:
        if message.held:
            raise ControlError(f"{message.queue_id} is on hold; release it first")
        count = await self._spool.requeue(self._clock.time(), queue_id=message.queue_id)
        self._emit(events.Flushed(message.queue_id, count), message.key)
        self._scheduler.retry_first(message)
        return count

    async def _get(self, queue_id: str) -> Queued:
        try:
            return await self._spool.get(queue_id)
        except KeyError as error:
            raise ControlError(f"no message {queue_id} in this queue", _REFUSED) from error

    async def _groups(self) -> AsyncIterator[list[Queued]]:
        """All messages, some at a time, so that they share the disk's syncs and little memory."""
        group: list[Queued] = []
        async for message in self._spool.load():
            group.append(message)
            if len(group) == _GROUP:
                yield group
                group = []
        if group:
            yield group

    async def _edit_all(self, action: Action, messages: list[Queued]) -> int:
        return sum(await asyncio.gather(*(self._edit(action, message) for message in messages)))

    async def _edit(self, action: Action, message: Queued) -> int:
        queue_id = message.queue_id
        try:
            match action:
                case "hold" | "release":
                    await self._spool.hold(queue_id, action == "hold")
                case "requeue":
                    await self._spool.requeue(self._clock.time(), queue_id=queue_id)
                    self._scheduler.retry_first(message)
                case "delete":
                    await self._spool.remove(queue_id)
                    self._scheduler.deleted(queue_id)
                case "expire":
                    if not await self._sweeper.expire(message):
                        return 0
        except KeyError:  # it left the queue just now
            return 0
        self._emit(events.Edited(queue_id, action), message.key)
        if action == "delete":
            self._emit(events.Removed(queue_id), message.key)
        return 1

    def _entry(self, message: Queued) -> QueueEntry:
        pending = [self._scheduler.seen(p) for p in message.pending]
        return entry_of(message, pending, active=self._scheduler.active(message.queue_id))


def entry_of(message: Queued, pending: Sequence[Pending], *, active: bool) -> QueueEntry:
    """The message as `postqueue` shows it. `pending`: its recipients, with what is known now."""
    return QueueEntry(
        queue_name=_name(message, active, any(p.reason for p in pending)),
        queue_id=message.queue_id,
        arrival_time=int(message.arrived),
        message_size=message.size,
        sender=message.sender,
        recipients=[QueueRecipient(p.address, p.reason) for p in pending],
        message=message.key,
        digest=message.digest,
        attempts=max(p.attempts for p in message.pending),
        next_attempt=None if message.held else min(p.next_attempt for p in pending),
    )


def _name(
    message: Queued, active: bool, delayed: bool
) -> Literal["incoming", "active", "deferred", "hold"]:
    if message.held:
        return "hold"
    if active:
        return "active"
    return "deferred" if delayed else "incoming"
