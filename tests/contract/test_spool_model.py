"""Both spools against a plain dictionary, over random changes and questions."""

import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from mxlab_services.address import domain_of
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.memory_spool import MemorySpool
from mxlab_services.storage.ports import Destination, Settled, Spool
from mxlab_services.storage.sqlite.spool import SqliteSpool

ADDRESSES = [f"{local}@{domain}" for local in "ab" for domain in ("x.test", "Y.test", "y.test.")]
DOMAINS = ["x.test", "y.test"]
QUEUE_IDS = [f"Q{n}" for n in range(6)]

queue_ids = st.sampled_from(QUEUE_IDS)
times = st.integers(0, 5).map(float)
pendings = st.builds(
    Pending, st.builds(Recipient, st.sampled_from(ADDRESSES)), st.integers(0, 3), times,
    st.text(st.characters(exclude_categories=["Cs"]), max_size=3),
)  # fmt: skip
messages = st.builds(
    Queued, queue_ids, st.just("<k>"), st.just("d"), st.sampled_from(["", "s@x.test"]),
    st.just(3), times,
    st.lists(pendings, min_size=1, max_size=4, unique_by=lambda p: p.address).map(tuple),
    held=st.booleans(), warned=st.booleans(),
)  # fmt: skip
contents = st.binary(max_size=8)


@dataclass(frozen=True)
class Put:
    message: Queued
    content: bytes


@dataclass(frozen=True)
class Settle:
    settled: Settled
    extra: list[tuple[Queued, bytes]]


@dataclass(frozen=True)
class Hold:
    queue_id: str
    held: bool


@dataclass(frozen=True)
class Requeue:
    now: float
    domain: str
    queue_id: str


@dataclass(frozen=True)
class Remove:
    queue_id: str


@dataclass(frozen=True)
class Reopen:
    pass


Step = Put | Settle | Hold | Requeue | Remove | Reopen
steps = st.lists(
    st.one_of(
        st.builds(Put, messages, contents),
        st.builds(Put, messages, contents),
        st.builds(
            Settle,
            st.builds(
                Settled, queue_ids, st.lists(st.sampled_from(ADDRESSES), max_size=4).map(tuple),
                st.lists(pendings, max_size=3, unique_by=lambda p: p.address).map(tuple),
                st.sampled_from([None, True, False]),
            ),
            st.lists(st.tuples(messages, contents), max_size=1),
        ),
        st.builds(Hold, queue_ids, st.booleans()),
        st.builds(Requeue, times, st.sampled_from(["", *DOMAINS]), st.sampled_from(["", "Q1"])),
        st.builds(Remove, queue_ids),
        st.builds(Reopen),
    ),
    max_size=25,
)  # fmt: skip


class Model:
    """What a spool should hold, in the order in which it was put."""

    def __init__(self) -> None:
        self.messages: dict[str, Queued] = {}
        self.contents: dict[str, bytes] = {}

    def put(self, message: Queued, content: bytes) -> str | None:
        if message.queue_id in self.messages:
            return "ValueError"
        self.messages[message.queue_id] = message
        self.contents[message.queue_id] = content
        return None

    def settle(self, step: Settle) -> bool | str:
        if any(message.queue_id in self.messages for message, _ in step.extra):
            return "ValueError"
        settled = step.settled
        gone = True
        if settled.queue_id in self.messages:
            old = self.messages[settled.queue_id]
            new = {p.address: p for p in settled.deferred}
            pending = tuple(
                replace(new.get(p.address, p), recipient=p.recipient)
                for p in old.pending
                if p.address not in settled.done
            )
            gone = not pending
            warned = old.warned if settled.warned is None else settled.warned
            self.messages[settled.queue_id] = replace(old, pending=pending, warned=warned)
            if gone:
                self.remove(settled.queue_id)
        for message, content in step.extra:
            self.put(message, content)
        return gone

    def hold(self, queue_id: str, held: bool) -> str | None:
        if queue_id not in self.messages:
            return "KeyError"
        self.messages[queue_id] = replace(self.messages[queue_id], held=held)
        return None

    def requeue(self, now: float, domain: str, queue_id: str) -> int:
        counted = 0
        for name, message in self.messages.items():
            if name != queue_id if queue_id else message.held:
                continue
            meant = [not domain or domain_of(p.address) == domain for p in message.pending]
            counted += any(meant)
            self.messages[name] = replace(
                message,
                pending=tuple(
                    replace(p, next_attempt=min(p.next_attempt, now)) if m else p
                    for p, m in zip(message.pending, meant, strict=True)
                ),
            )
        return counted

    def remove(self, queue_id: str) -> str | None:
        if queue_id not in self.messages:
            return "KeyError"
        del self.messages[queue_id], self.contents[queue_id]
        return None

    def destinations(self) -> list[Destination]:
        waiting: dict[str, list[float | None]] = {}
        for message in self.messages.values():
            for p in message.pending:
                at = None if message.held else p.next_attempt
                waiting.setdefault(domain_of(p.address), []).append(at)
        return [
            Destination(name, len(at), min((t for t in at if t is not None), default=None))
            for name, at in sorted(waiting.items())
        ]

    def due(self, domain: str, now: float) -> list[Queued]:
        found: list[tuple[float, int, Queued]] = []
        for n, message in enumerate(self.messages.values()):
            pending = tuple(
                p
                for p in message.pending
                if domain_of(p.address) == domain and p.next_attempt <= now
            )
            if pending and not message.held:
                first = min(p.next_attempt for p in pending)
                found.append((first, n, replace(message, pending=pending)))
        return [message for _, _, message in sorted(found, key=lambda item: item[:2])]

    def arrived(self, at: float, unwarned: bool) -> list[Queued]:
        found = [
            m for m in self.messages.values() if m.arrived <= at and not (unwarned and m.warned)
        ]
        return sorted(found, key=lambda m: m.arrived)


async def apply(spool: Spool, step: Step) -> object:
    try:
        match step:
            case Put(message, content):
                await spool.put(message, content)
            case Settle(settled, extra):
                return await spool.settle(settled, extra)
            case Hold(queue_id, held):
                await spool.hold(queue_id, held)
            case Requeue(now, domain, queue_id):
                return await spool.requeue(now, domain=domain, queue_id=queue_id)
            case Remove(queue_id):
                await spool.remove(queue_id)
            case Reopen():
                pass
    except (KeyError, ValueError) as error:
        return type(error).__name__
    return None


def apply_to_model(model: Model, step: Step) -> object:
    match step:
        case Put(message, content):
            return model.put(message, content)
        case Settle():
            return model.settle(step)
        case Hold(queue_id, held):
            return model.hold(queue_id, held)
        case Requeue(now, domain, queue_id):
            return model.requeue(now, domain, queue_id)
        case Remove(queue_id):
            return model.remove(queue_id)
        case Reopen():
            return None


async def compare(spool: Spool, model: Model) -> None:
    names = sorted(model.messages)
    assert [m async for m in spool.load()] == [model.messages[name] for name in names]
    assert [m async for m in spool.load("Q2")] == [model.messages[n] for n in names if n > "Q2"]
    for name in names:
        assert await spool.content(name) == model.contents[name]
        assert await spool.get(name) == model.messages[name]
    assert await spool.count() == len(names)
    assert list(await spool.destinations()) == model.destinations()
    for domain in DOMAINS:
        assert list(await spool.due(domain, 3.0, 99)) == model.due(domain, 3.0)
        assert list(await spool.due(domain, 5.0, 2)) == model.due(domain, 5.0)[:2]
    for unwarned in (False, True):
        arrived = model.arrived(3.0, unwarned)
        assert list(await spool.arrived_before(3.0, 99, unwarned=unwarned)) == arrived
        assert list(await spool.arrived_before(3.0, 1, unwarned=unwarned)) == arrived[:1]
        everything = model.arrived(99.0, unwarned)
        oldest = everything[0].arrived if everything else None
        assert await spool.oldest(unwarned=unwarned) == oldest


@settings(max_examples=300)
@given(steps)
def test_the_memory_spool_is_as_the_model(story: list[Step]) -> None:
    async def run() -> None:
        disk, model = MemoryDisk(), Model()
        spool = MemorySpool(disk)
        for step in story:
            assert await apply(spool, step) == apply_to_model(model, step)
            if isinstance(step, Reopen):
                disk.crash()
                spool = MemorySpool(disk)
            await compare(spool, model)

    asyncio.run(run())


@settings(max_examples=80)
@given(steps)
def test_the_sqlite_spool_is_as_the_model(story: list[Step]) -> None:
    async def run(path: Path) -> None:
        model = Model()
        spool = await SqliteSpool.open(path)
        try:
            for step in story:
                assert await apply(spool, step) == apply_to_model(model, step)
                if isinstance(step, Reopen):
                    await spool.close()
                    spool = await SqliteSpool.open(path)
                    assert spool.damage is None
                await compare(spool, model)
        finally:
            await spool.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "spool.db"))


@settings(max_examples=80)
@given(st.lists(steps, max_size=6))
def test_a_group_of_changes_ends_as_if_made_one_by_one(groups: list[list[Step]]) -> None:
    async def run(path: Path) -> None:
        model = Model()
        spool = await SqliteSpool.open(path)
        try:
            for group in groups:
                outcomes = await asyncio.gather(*(apply(spool, step) for step in group))
                assert outcomes == [apply_to_model(model, step) for step in group]
            await compare(spool, model)
        finally:
            await spool.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(Path(folder) / "spool.db"))
