"""The spool of the simulation: the same protocol over a MemoryDisk, without threads.

A change is made, and seen by readers, when the disk's sync ends, and only then does its caller go
on. A crash of the disk drops what is pending; a new MemorySpool on that disk has what was synced.
Everything is found by sorted lists: no method walks over messages that it does not answer.
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from mxlab_services.address import domain_of
from mxlab_services.message import Pending, Queued
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.ports import Destination, Settled

E = TypeVar("E", str, tuple[float, int], tuple[float, int, str])


class _Domain(Struct):
    """What waits for a domain, held or not: (next attempt, number of the message, address)."""

    ready: list[tuple[float, int, str]] = field(default_factory=list)
    held: list[tuple[float, int, str]] = field(default_factory=list)


class MemorySpool:
    """A Spool on a MemoryDisk. `damage` is always None: this disk does not rot."""

    damage = None

    def __init__(self, disk: MemoryDisk) -> None:
        self._disk = disk
        self._next = 0
        self._numbers: dict[str, int] = {}  # queue id -> number, in the order of arrival here
        self._names: dict[int, str] = {}
        self._ids: list[str] = []
        self._domains: dict[str, _Domain] = {}
        self._arrivals: list[tuple[float, int]] = []
        self._unwarned: list[tuple[float, int]] = []
        for message, _ in disk.messages.values():
            self._enter(message)

    # --- changes ---

    async def put(self, message: Queued, content: bytes) -> None:
        self._checked(message)
        await self._disk.commit(lambda: self._put(message, content))

    async def settle(self, settled: Settled, extra: Sequence[tuple[Queued, bytes]] = ()) -> bool:
        for message, _ in extra:
            self._checked(message)
        stored = tuple(extra)
        return await self._disk.commit(lambda: self._settle(settled, stored))

    async def hold(self, queue_id: str, held: bool) -> None:
        await self._disk.commit(lambda: self._hold(queue_id, held))

    async def requeue(self, now: float, *, domain: str = "", queue_id: str = "") -> int:
        return await self._disk.commit(lambda: self._requeue(now, domain, queue_id))

    async def remove(self, queue_id: str) -> None:
        await self._disk.commit(lambda: self._remove(queue_id))

    async def restrict(self, *, full: bool = False, read_only: bool = False) -> None:
        """The disk-full and read-only faults, until called again without."""
        self._disk.full = full
        self._disk.read_only = read_only

    # --- answers ---

    async def get(self, queue_id: str) -> Queued:
        return self._disk.messages[queue_id][0]

    async def content(self, queue_id: str) -> bytes:
        return self._disk.messages[queue_id][1]

    async def destinations(self) -> Sequence[Destination]:
        return [
            Destination(name, len(d.ready) + len(d.held), d.ready[0][0] if d.ready else None)
            for name, d in sorted(self._domains.items())
        ]

    async def due(self, domain: str, now: float, limit: int) -> Sequence[Queued]:
        chosen: dict[int, None] = {}
        waiting = self._domains.get(domain)
        for at, number, _ in waiting.ready if waiting and limit > 0 else ():
            if at > now:
                break
            if number not in chosen:
                if len(chosen) == limit:
                    break
                chosen[number] = None
        found = []
        for number in chosen:
            message = self._message(number)
            pending = tuple(
                p for p in message.pending
                if p.next_attempt <= now and domain_of(p.address) == domain
            )  # fmt: skip
            found.append(replace(message, pending=pending))
        return found

    async def arrived_before(
        self, at: float, limit: int, *, unwarned: bool = False
    ) -> Sequence[Queued]:
        arrivals = self._unwarned if unwarned else self._arrivals
        end = bisect_right(arrivals, (at, self._next))
        return [self._message(number) for _, number in arrivals[: min(end, max(0, limit))]]

    async def oldest(self, *, unwarned: bool = False) -> float | None:
        arrivals = self._unwarned if unwarned else self._arrivals
        return arrivals[0][0] if arrivals else None

    async def count(self) -> int:
        return len(self._numbers)

    async def load(self, after: str = "") -> AsyncIterator[Queued]:
        while (place := bisect_right(self._ids, after)) < len(self._ids):
            after = self._ids[place]
            yield self._disk.messages[after][0]

    async def close(self) -> None:
        await self._disk.idle()

    # --- what a sync does ---

    @staticmethod
    def _checked(message: Queued) -> None:
        if not message.pending:
            raise ValueError(f"message {message.queue_id} has no recipient")

    def _put(self, message: Queued, content: bytes) -> None:
        self._disk.check(adds=True)
        if message.queue_id in self._numbers:
            raise ValueError(f"queue id {message.queue_id} is in the spool already")
        self._disk.messages[message.queue_id] = (message, content)
        self._enter(message)

    def _settle(self, settled: Settled, extra: Sequence[tuple[Queued, bytes]]) -> bool:
        self._disk.check(adds=bool(extra))
        names = [message.queue_id for message, _ in extra]
        if len(set(names)) < len(names) or any(name in self._numbers for name in names):
            raise ValueError(f"a queue id is in the spool already: {', '.join(names)}")
        gone = self._record(settled)
        for message, content in extra:
            self._put(message, content)
        return gone

    def _record(self, settled: Settled) -> bool:
        if settled.queue_id not in self._numbers:  # deleted by hand during the attempt
            return True
        old = self._disk.messages[settled.queue_id][0]
        later = {pending.address: pending for pending in settled.deferred}
        done = set(settled.done)
        pending = tuple(_later(p, later) for p in old.pending if p.address not in done)
        if not pending:
            self._remove(settled.queue_id)
            return True
        warned = old.warned if settled.warned is None else settled.warned
        self._change(replace(old, pending=pending, warned=warned))
        return False

    def _hold(self, queue_id: str, held: bool) -> None:
        self._disk.check(adds=False)
        self._change(replace(self._disk.messages[queue_id][0], held=held))

    def _requeue(self, now: float, domain: str, queue_id: str) -> int:
        self._disk.check(adds=False)
        changed = 0
        for name in self._meant(domain, queue_id):
            message = self._disk.messages[name][0]
            meant = [not domain or domain_of(p.address) == domain for p in message.pending]
            if not any(meant):
                continue
            changed += 1
            if any(m and p.next_attempt > now for m, p in zip(meant, message.pending, strict=True)):
                pending = tuple(
                    replace(p, next_attempt=min(now, p.next_attempt)) if m else p
                    for m, p in zip(meant, message.pending, strict=True)
                )
                self._change(replace(message, pending=pending))
        return changed

    def _meant(self, domain: str, queue_id: str) -> Sequence[str]:
        if queue_id:
            return [queue_id] if queue_id in self._numbers else []
        if not domain:
            return [name for name in self._numbers if not self._disk.messages[name][0].held]
        waiting = self._domains.get(domain, _Domain())
        numbers = {number for _, number, _ in waiting.ready}
        return [self._names[number] for number in sorted(numbers)]

    def _remove(self, queue_id: str) -> None:
        self._disk.check(adds=False)
        message, _ = self._disk.messages.pop(queue_id)
        number = self._numbers.pop(queue_id)
        del self._names[number]
        _drop(self._ids, queue_id)
        _drop(self._arrivals, (message.arrived, number))
        if not message.warned:
            _drop(self._unwarned, (message.arrived, number))
        self._stop_waiting(message, number)

    def _change(self, message: Queued) -> None:
        old, content = self._disk.messages[message.queue_id]
        number = self._numbers[message.queue_id]
        self._disk.messages[message.queue_id] = (message, content)
        self._stop_waiting(old, number)
        self._wait(message, number)
        if message.warned != old.warned:
            entry = (message.arrived, number)
            _drop(self._unwarned, entry) if message.warned else insort(self._unwarned, entry)

    # --- the index ---

    def _message(self, number: int) -> Queued:
        return self._disk.messages[self._names[number]][0]

    def _enter(self, message: Queued) -> None:
        number = self._next
        self._next += 1
        self._numbers[message.queue_id] = number
        self._names[number] = message.queue_id
        insort(self._ids, message.queue_id)
        insort(self._arrivals, (message.arrived, number))
        if not message.warned:
            insort(self._unwarned, (message.arrived, number))
        self._wait(message, number)

    def _wait(self, message: Queued, number: int) -> None:
        for p in message.pending:
            waiting = self._domains.setdefault(domain_of(p.address), _Domain())
            entries = waiting.held if message.held else waiting.ready
            insort(entries, (p.next_attempt, number, p.address))

    def _stop_waiting(self, message: Queued, number: int) -> None:
        for p in message.pending:
            domain = domain_of(p.address)
            waiting = self._domains[domain]
            entries = waiting.held if message.held else waiting.ready
            _drop(entries, (p.next_attempt, number, p.address))
            if not waiting.ready and not waiting.held:
                del self._domains[domain]


def _later(pending: Pending, later: Mapping[str, Pending]) -> Pending:
    """The recipient with its new counters, where it has some."""
    new = later.get(pending.address)
    if new is None:
        return pending
    return replace(new, recipient=pending.recipient)


def _drop(entries: list[E], entry: E) -> None:
    """Take one entry out of a sorted list."""
    del entries[bisect_left(entries, entry)]
