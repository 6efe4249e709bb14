"""The Spool protocol, over both of its implementations."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.message import Pending, Queued, Recipient
from mxlab_services.storage.memory_disk import MemoryDisk
from mxlab_services.storage.memory_spool import MemorySpool
from mxlab_services.storage.ports import Destination, Settled, Spool
from mxlab_services.storage.sqlite.spool import SqliteSpool

AnySpool = SqliteSpool | MemorySpool
Reopen = Callable[[AnySpool], Awaitable[AnySpool]]


@pytest.fixture(params=["sqlite", "memory"])
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Awaitable[AnySpool]]:
    """Opens the spool of one implementation, the same one each time."""
    disk = MemoryDisk()

    async def sqlite() -> AnySpool:
        return await SqliteSpool.open(tmp_path / "spool" / "spool.db")

    async def memory() -> AnySpool:
        return MemorySpool(disk)

    return sqlite if request.param == "sqlite" else memory


@pytest.fixture
async def spool(opener: Callable[[], Awaitable[AnySpool]]) -> AsyncIterator[AnySpool]:
    opened = await opener()
    yield opened
    await opened.close()


@pytest.fixture
def reopen(opener: Callable[[], Awaitable[AnySpool]]) -> Reopen:
    async def close_and_open(spool: AnySpool) -> AnySpool:
        await spool.close()
        return await opener()

    return close_and_open


def message(
    number: int, *recipients: Pending | str, at: float = 0.0, arrived: float | None = None
) -> Queued:
    pending = tuple(
        r if isinstance(r, Pending) else Pending(Recipient(r), next_attempt=at)
        for r in recipients or ("bob@example.test",)
    )
    return Queued(
        queue_id=f"Q{number:05}",
        key=f"<{number}@client.test>",
        digest="d" * 64,
        sender="alice@client.test",
        size=10,
        arrived=float(number) if arrived is None else arrived,
        pending=pending,
    )


async def queue_ids(spool: Spool, after: str = "") -> list[str]:
    return [m.queue_id async for m in spool.load(after)]


async def test_a_message_comes_back_whole_also_after_reopening(
    spool: AnySpool, reopen: Reopen
) -> None:
    put = Queued(
        "Q1", "<key@x>", "digest", "", 12345, 17.25,
        (
            Pending(Recipient("bob@example.test", "SUCCESS,DELAY", "rfc822;b"), 3, 5.5, "450", 4.5),
            Pending(Recipient("jörg@exämple.test", "NEVER", "")),
        ),
        eightbit=True, smtputf8=True, ret="HDRS", envid="QQ314", held=True, warned=True,
    )  # fmt: skip
    content = bytes(range(256)) * 100
    await spool.put(put, content)
    for _ in range(2):
        assert await spool.get("Q1") == put
        assert await spool.content("Q1") == content
        assert [m async for m in spool.load()] == [put]
        assert await spool.count() == 1
        spool = await reopen(spool)
    await spool.close()


async def test_nothing_is_found_in_an_empty_spool(spool: AnySpool) -> None:
    assert await spool.count() == 0
    assert await spool.oldest() is None
    assert list(await spool.destinations()) == []
    assert list(await spool.due("example.test", 1e12, 10)) == []
    assert list(await spool.arrived_before(1e12, 10)) == []
    assert await queue_ids(spool) == []
    assert await spool.requeue(0.0) == 0
    assert spool.damage is None


@pytest.mark.parametrize("method", ["get", "content", "remove", "hold"])
async def test_an_unknown_queue_id_is_a_key_error(spool: AnySpool, method: str) -> None:
    await spool.put(message(1), b"x")
    calls: dict[str, Callable[[], Awaitable[object]]] = {
        "get": lambda: spool.get("NONE"),
        "content": lambda: spool.content("NONE"),
        "remove": lambda: spool.remove("NONE"),
        "hold": lambda: spool.hold("NONE", True),
    }
    with pytest.raises(KeyError, match="NONE"):
        await calls[method]()
    assert await queue_ids(spool) == ["Q00001"]


async def test_a_queue_id_is_put_once_and_the_rest_of_the_group_is_not_harmed(
    spool: AnySpool,
) -> None:
    await spool.put(message(1), b"first")
    results = await asyncio.gather(
        spool.put(message(2), b"two"),
        spool.put(message(1), b"second"),
        spool.put(message(3), b"three"),
        spool.settle(Settled("Q00001"), [(message(2), b"again")]),
        spool.remove("NONE"),
        spool.put(message(4), b"four"),
        return_exceptions=True,
    )
    assert [type(r) for r in results] == [
        type(None), ValueError, type(None), ValueError, KeyError, type(None),
    ]  # fmt: skip
    assert await spool.content("Q00001") == b"first"
    assert await queue_ids(spool) == ["Q00001", "Q00002", "Q00003", "Q00004"]
    assert await spool.count() == 4


async def test_a_message_without_recipients_is_refused(spool: AnySpool) -> None:
    with pytest.raises(ValueError, match="no recipient"):
        await spool.put(replace(message(1), pending=()), b"x")
    assert await spool.count() == 0


async def test_settle_drops_what_is_done_and_keeps_the_rest(spool: AnySpool) -> None:
    a, b, c = (f"{name}@example.test" for name in "abc")
    await spool.put(message(1, a, b, c), b"x")
    later = Pending(Recipient(b), attempts=1, next_attempt=60.0, reason="450 later", tried=9.0)
    assert await spool.settle(Settled("Q00001", (a,), (later,), warned=True)) is False
    left = await spool.get("Q00001")
    assert left.pending == (later, Pending(Recipient(c)))
    assert left.warned
    assert await spool.settle(Settled("Q00001", (c,))) is False
    assert (await spool.get("Q00001")).warned
    assert await spool.settle(Settled("Q00001", (b,))) is True
    assert await spool.count() == 0
    assert list(await spool.destinations()) == []


async def test_settle_keeps_the_recipients_own_wishes(spool: AnySpool) -> None:
    wish = Recipient("bob@example.test", "FAILURE", "rfc822;bob")
    await spool.put(message(1, Pending(wish)), b"x")
    await spool.settle(
        Settled("Q00001", deferred=(Pending(Recipient("bob@example.test"), 2, 9.0, "r"),))
    )
    assert (await spool.get("Q00001")).pending == (Pending(wish, 2, 9.0, "r"),)


async def test_settle_stores_notifications_with_the_outcome(spool: AnySpool) -> None:
    await spool.put(message(1), b"x")
    notice = message(2, "alice@client.test")
    assert await spool.settle(Settled("Q00001", ("bob@example.test",)), [(notice, b"sorry")])
    assert await queue_ids(spool) == ["Q00002"]
    assert await spool.content("Q00002") == b"sorry"


async def test_settle_of_a_message_deleted_meanwhile_still_stores_the_notification(
    spool: AnySpool,
) -> None:
    assert await spool.settle(Settled("NONE", ("bob@example.test",)), [(message(1), b"n")]) is True
    assert await queue_ids(spool) == ["Q00001"]


async def test_a_notification_cannot_take_the_queue_id_of_what_it_is_about(
    spool: AnySpool,
) -> None:
    await spool.put(message(1), b"first")
    done = tuple(pending.address for pending in message(1).pending)
    with pytest.raises(ValueError, match="in the spool already"):
        await spool.settle(Settled("Q00001", done), [(message(1), b"about it")])
    assert await spool.content("Q00001") == b"first"
    assert await spool.get("Q00001") == message(1)


async def test_due_is_by_domain_and_time_longest_due_first(spool: AnySpool) -> None:
    await spool.put(message(1, at=30.0), b"")
    await spool.put(message(2, at=10.0), b"")
    await spool.put(message(3, at=20.0), b"")
    await spool.put(message(4, "x@other.test", at=5.0), b"")
    await spool.put(message(5, at=10.0), b"")
    assert [m.queue_id for m in await spool.due("example.test", 25.0, 10)] == [
        "Q00002", "Q00005", "Q00003",
    ]  # fmt: skip
    assert [m.queue_id for m in await spool.due("example.test", 30.0, 2)] == ["Q00002", "Q00005"]
    assert list(await spool.due("example.test", 9.9, 10)) == []
    assert list(await spool.due("example.test", 30.0, 0)) == []


async def test_due_shows_only_the_recipients_that_are_due_there(spool: AnySpool) -> None:
    due = [Pending(Recipient(f"{n}@example.test"), next_attempt=float(n)) for n in (3, 1, 9)]
    elsewhere = Pending(Recipient("e@other.test"), next_attempt=0.0)
    await spool.put(message(1, due[0], elsewhere, due[1], due[2]), b"")
    await spool.put(message(2, at=2.0), b"")
    found = await spool.due("example.test", 5.0, 10)
    assert [(m.queue_id, m.pending) for m in found] == [
        ("Q00001", (due[0], due[1])),
        ("Q00002", message(2, at=2.0).pending),
    ]


async def test_domains_are_compared_without_case_and_final_dot(spool: AnySpool) -> None:
    await spool.put(message(1, "a@Example.TEST", "b@example.test."), b"")
    assert list(await spool.destinations()) == [Destination("example.test", 2, 0.0)]
    assert len((await spool.due("example.test", 0.0, 1))[0].pending) == 2


async def test_held_messages_wait_uncounted_for_time_until_released(spool: AnySpool) -> None:
    await spool.put(message(1, at=1.0), b"")
    await spool.put(message(2, at=2.0), b"")
    await spool.hold("Q00001", True)
    assert (await spool.get("Q00001")).held
    assert [m.queue_id for m in await spool.due("example.test", 9.0, 9)] == ["Q00002"]
    assert list(await spool.destinations()) == [Destination("example.test", 2, 2.0)]
    await spool.hold("Q00002", True)
    assert list(await spool.destinations()) == [Destination("example.test", 2, None)]
    await spool.hold("Q00001", False)
    assert [m.queue_id for m in await spool.due("example.test", 9.0, 9)] == ["Q00001"]


async def test_destinations_are_listed_by_name(spool: AnySpool) -> None:
    await spool.put(message(1, "a@b.test", "b@a.test", "c@b.test", at=7.0), b"")
    await spool.put(message(2, "d@b.test", at=3.0), b"")
    assert list(await spool.destinations()) == [
        Destination("a.test", 1, 7.0), Destination("b.test", 3, 3.0),
    ]  # fmt: skip


async def test_requeue_makes_due_all_or_a_domain_or_a_message(spool: AnySpool) -> None:
    await spool.put(message(1, "a@a.test", "b@b.test", at=100.0), b"")
    await spool.put(message(2, "c@a.test", at=100.0), b"")
    await spool.put(message(3, "d@b.test", at=1.0), b"")
    assert await spool.requeue(5.0, domain="b.test") == 2
    assert [m.queue_id for m in await spool.due("b.test", 5.0, 9)] == ["Q00003", "Q00001"]
    assert list(await spool.due("a.test", 5.0, 9)) == []
    assert await spool.requeue(6.0, queue_id="Q00002") == 1
    assert [m.queue_id for m in await spool.due("a.test", 6.0, 9)] == ["Q00002"]
    assert await spool.requeue(7.0) == 3
    assert [m.queue_id for m in await spool.due("a.test", 7.0, 9)] == ["Q00002", "Q00001"]
    assert await spool.requeue(7.0, queue_id="NONE") == 0
    assert await spool.requeue(7.0, domain="none.test") == 0
    assert await spool.requeue(7.0, domain="a.test", queue_id="Q00003") == 0


async def test_requeue_leaves_held_messages_alone_but_for_their_id(spool: AnySpool) -> None:
    for number in (1, 2):
        await spool.put(message(number, "a@a.test", at=100.0), b"")
    await spool.hold("Q00001", held=True)
    assert await spool.requeue(5.0) == 1
    assert await spool.requeue(5.0, domain="a.test") == 1
    assert (await spool.get("Q00001")).pending[0].next_attempt == 100.0
    assert await spool.requeue(6.0, queue_id="Q00001") == 1
    assert (await spool.get("Q00001")).pending[0].next_attempt == 6.0


async def test_arrivals_are_listed_oldest_first_and_apart_when_unwarned(spool: AnySpool) -> None:
    for number, arrived in ((1, 30.0), (2, 10.0), (3, 20.0), (4, 10.0)):
        await spool.put(message(number, arrived=arrived), b"")
    await spool.settle(Settled("Q00002", warned=True))
    assert [m.queue_id for m in await spool.arrived_before(20.0, 9)] == [
        "Q00002", "Q00004", "Q00003",
    ]  # fmt: skip
    assert [m.queue_id for m in await spool.arrived_before(99.0, 9, unwarned=True)] == [
        "Q00004", "Q00003", "Q00001",
    ]  # fmt: skip
    assert [m.queue_id for m in await spool.arrived_before(99.0, 1)] == ["Q00002"]
    assert list(await spool.arrived_before(9.0, 9)) == []
    assert await spool.oldest() == 10.0
    await spool.remove("Q00004")
    assert await spool.oldest(unwarned=True) == 20.0


async def test_load_goes_on_after_a_queue_id_and_over_pages(spool: AnySpool) -> None:
    await asyncio.gather(*(spool.put(message(n), b"") for n in range(1200)))
    assert await queue_ids(spool) == [f"Q{n:05}" for n in range(1200)]
    assert await queue_ids(spool, "Q01197") == ["Q01198", "Q01199"]


async def test_removed_is_gone(spool: AnySpool, reopen: Reopen) -> None:
    await spool.put(message(1), b"x")
    await spool.remove("Q00001")
    with pytest.raises(KeyError):
        await spool.content("Q00001")
    spool = await reopen(spool)
    assert await spool.count() == 0
    await spool.put(message(1), b"y")
    assert await spool.content("Q00001") == b"y"
    await spool.close()


async def test_a_full_disk_refuses_whole_and_works_again_with_space(spool: AnySpool) -> None:
    large = bytes(100_000)
    await spool.put(message(1), b"x")
    await spool.restrict(full=True)
    results = await asyncio.gather(
        *(spool.put(message(n), large) for n in range(2, 6)), return_exceptions=True
    )
    assert [type(r) for r in results] == [SpoolFull] * 4
    with pytest.raises(SpoolFull):
        await spool.settle(Settled("Q00001", ("bob@example.test",)), [(message(9), large)])
    assert await queue_ids(spool) == ["Q00001"]
    await spool.restrict()
    await spool.put(message(2), large)
    assert await queue_ids(spool) == ["Q00001", "Q00002"]
    assert await spool.content("Q00002") == large


async def test_a_full_disk_still_lets_messages_leave(spool: AnySpool) -> None:
    await spool.put(message(1), b"x")
    await spool.restrict(full=True)
    assert await spool.settle(Settled("Q00001", ("bob@example.test",)))
    assert await spool.count() == 0


async def test_a_read_only_disk_refuses_every_change(spool: AnySpool) -> None:
    await spool.put(message(1), b"x")
    await spool.restrict(read_only=True)
    refused = await asyncio.gather(
        spool.put(message(2), b"x"),
        spool.settle(Settled("Q00001", ("bob@example.test",))),
        spool.hold("Q00001", True),
        spool.requeue(1.0),
        spool.remove("Q00001"),
        return_exceptions=True,
    )
    assert [type(r) for r in refused] == [SpoolError] * 5
    assert await spool.get("Q00001") == message(1)
    await spool.restrict()
    await spool.put(message(2), b"x")
    assert await spool.count() == 2


async def test_a_cancelled_caller_does_not_disturb_the_others(spool: AnySpool) -> None:
    tasks = [asyncio.create_task(spool.put(message(n), b"x")) for n in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert [n for n, r in enumerate(results) if r is not None] == [3]
    assert set(await queue_ids(spool)) >= {f"Q{n:05}" for n in range(10) if n != 3}


async def test_close_may_be_called_again(spool: AnySpool) -> None:
    await spool.put(message(1), b"x")
    await spool.close()
    await spool.close()


def test_both_are_spools() -> None:
    for kind in (SqliteSpool, MemorySpool):
        checked: type[Spool] = kind
        assert checked is kind
