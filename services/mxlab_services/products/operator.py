"""Answers what an operator asks about a product's queue, by the product's own tools."""

from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from mxlab_services.address import domain_of
from mxlab_services.control.replies import QueueEntry, QueueRecipient
from mxlab_services.control.requests import QueueEdit, QueueFlush, QueueList
from mxlab_services.control.rpc import Controls
from mxlab_services.domain import fold_domain
from mxlab_services.errors import ControlError
from mxlab_services.events import Edited, Flushed
from mxlab_services.faults.injector import INVALID
from mxlab_services.products.base import Held, MailServer, ToolFailed
from mxlab_services.products.telling import Telling
from mxlab_services.queue.operator import MOST
from mxlab_services.runtime import Counting

T = TypeVar("T")


class ProductOperator:
    """The queue of one product. `lab_time` makes lab time of the host's."""

    def __init__(
        self,
        server: Callable[[], MailServer],
        telling: Telling,
        emit: Counting,
        lab_time: Callable[[float], float],
    ) -> None:
        self._server = server
        self._telling = telling
        self._emit = emit
        self._lab_time = lab_time

    def answer(self, controls: Controls) -> None:
        """Answer the requests about the queue."""
        controls.add(QueueList, self.entries)
        controls.add(QueueEdit, self.edit)
        controls.add(QueueFlush, self.flush)

    async def queue(self) -> list[Held]:
        """What is in the queue. Raises ControlError."""
        return await by_tool(self._server().queue())

    async def entries(self, request: QueueList) -> list[QueueEntry]:
        """One page of the queue, by queue id."""
        if not 1 <= request.limit <= MOST:
            raise ControlError(f"limit: 1 to {MOST}, not {request.limit}", INVALID)
        held = sorted(await self.queue(), key=lambda one: one.queue_id)
        page = [one for one in held if one.queue_id > request.after][: request.limit]
        return [entry for one in page if (entry := await self._entry(one)) is not None]

    async def _entry(self, held: Held) -> QueueEntry | None:
        named = await by_tool(self._telling.name(held.queue_id))
        if named is None:  # it has left just now
            return None
        due = held.next_attempt
        return QueueEntry(
            queue_name=held.state,
            queue_id=held.queue_id,
            arrival_time=int(self._lab_time(held.arrived)),
            message_size=held.size,
            sender=held.sender,
            recipients=[QueueRecipient(to, why) for to, why in held.reasons.items()],
            message=named.key,
            digest=named.digest,
            attempts=max(named.attempts.values(), default=0),
            next_attempt=None if due is None else self._lab_time(due),
        )

    async def edit(self, request: QueueEdit) -> int:
        """Do it to the messages named, or to all; unknown ids are refused before anything is done.
        Counts messages."""
        there = {held.queue_id: held for held in await self.queue()}
        names = list(dict.fromkeys(request.queue_ids))
        if names == ["ALL"]:
            names = list(there)
        if unknown := [name for name in names if name not in there]:
            raise ControlError(f"no message {unknown[0]} in this queue", INVALID)
        if not names:
            return 0
        known = {name: await by_tool(self._telling.name(name)) for name in names}
        await by_tool(self._server().edit(request.action, names))
        for name, named in known.items():
            self._emit(Edited(name, request.action), named.key if named else None)
            if request.action == "delete":
                self._telling.deleted(name)
        await self._telling.idle()
        return len(names)

    async def flush(self, request: QueueFlush) -> int:
        """Try now. Counts messages, without those on hold."""
        if request.site is not None and request.queue_id is not None:
            raise ControlError("give a site or a queue id, not both", INVALID)
        there = await self.queue()
        if request.queue_id is not None:
            return await self._flush_one(request.queue_id, there)
        site = None if request.site is None else fold_domain(request.site)
        if site == "":
            raise ControlError("the site is empty", INVALID)
        count = sum(one.state != "hold" and _waits_for(one, site) for one in there)
        self._emit(Flushed(site or "all", count))
        await by_tool(self._server().flush(site=site))
        return count

    async def _flush_one(self, queue_id: str, there: Sequence[Held]) -> int:
        held = next((one for one in there if one.queue_id == queue_id), None)
        if held is None:
            raise ControlError(f"no message {queue_id} in this queue", INVALID)
        if held.state == "hold":
            raise ControlError(f"{queue_id} is on hold; release it first")
        named = await by_tool(self._telling.name(queue_id))
        self._emit(Flushed(queue_id, 1), named.key if named else None)
        await by_tool(self._server().flush(queue_id=queue_id))
        return 1


async def by_tool(answer: Awaitable[T]) -> T:
    """What a product's tool answers. Raises ControlError with what it wrote where it failed."""
    try:
        return await answer
    except ToolFailed as error:
        raise ControlError(str(error)) from error


def _waits_for(held: Held, site: str | None) -> bool:
    return site is None or any(domain_of(recipient) == site for recipient in held.reasons)
