"""The queue in virtual time: MAIL-RULES C, restarts, and the operator's actions."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from mxlab.backends.sim.backend import simulate
from mxlab_services import events
from mxlab_services.config import RetryConfig
from mxlab_services.control.requests import QueueEdit, QueueFlush, QueueList
from mxlab_services.errors import ControlError
from mxlab_services.message import Recipient
from mxlab_services.queue.ports import Deferred, Delivered, Failed, Job, Result, Route
from mxlab_services.reply import Reply
from mxlab_services.storage.memory_disk import MemoryDisk
from tests.support.fakes import EPOCH, OK, REFUSED, FakeRelay, QueueLab, accepts

BOB = "bob@example.test"
HOUR = 3600.0
DAY = 24 * HOUR


def in_virtual_time(test: Callable[[], Awaitable[None]]) -> Callable[[], None]:
    """Run a test on the simulation's loop; five days take milliseconds."""

    def run() -> None:
        async def main() -> None:
            await test()

        simulate(main)

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    return run


def refuses(route: Route, job: Job, address: str) -> Result:
    return REFUSED


def rejects(route: Route, job: Job, address: str) -> Result:
    return Failed(Reply(550, "5.1.1", "no such user"), route.targets[0].host)


def greylists(route: Route, job: Job, address: str) -> Result:
    return Deferred(Reply(450, "4.7.1", "try again"), route.targets[0].host)


@in_virtual_time
async def test_the_first_attempt_is_immediate_and_ends_the_message() -> None:
    async with QueueLab() as mta:
        queue_id = await mta.send(BOB)
        await asyncio.sleep(1)
        kinds = [body.kind for _, body, _ in mta.heard.events]
        assert kinds == ["message.accepted", "attempt.started", "queue.removed"]
        assert mta.heard.times("attempt.started") == [0.0]
        assert await mta.spool.count() == 0
        assert mta.relay.jobs[0].queue_id == queue_id
        assert mta.relay.jobs[0].content.lower().startswith(b"received:")


@in_virtual_time
async def test_local_mail_goes_to_the_mailbox_with_the_fields_of_final_delivery() -> None:
    async with QueueLab() as mta:
        await mta.send("carol@local.test")
        await asyncio.sleep(1)
        (stored,) = await mta.mailboxes.read("carol@local.test")
        lines = stored.content.split(b"\r\n")
        assert lines[0] == b"Return-Path: <alice@client.test>"
        assert lines[1] == b"Delivered-To: carol@local.test"
        (told,) = mta.heard.of("mailbox.delivered")
        assert isinstance(told, events.MailboxDelivered)
        assert told.name == stored.name


@in_virtual_time
async def test_c1_a_dead_destination_costs_messages_plus_attempts() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = refuses
        for _ in range(500):
            await mta.send(BOB)
        await asyncio.sleep(HOUR)
        probes = len(mta.heard.of("destination.dead"))
        assert 3 <= probes <= 8
        assert len(mta.relay.jobs) <= probes + 1  # two at a time, the first time
        assert len(mta.heard.of("queue.deferred")) == len(mta.relay.jobs)
        mta.relay.answer = accepts
        await asyncio.sleep(2 * HOUR)
        assert await mta.spool.count() == 0
        assert len(mta.relay.jobs) <= 500 + probes + 2
        assert len(mta.heard.of("destination.alive")) == 1


@in_virtual_time
async def test_c1_what_a_slow_disk_held_up_is_not_tried_once_the_destination_is_dead() -> None:
    async with QueueLab(relay=FakeRelay(seconds=0.1)) as mta:
        mta.relay.answer = refuses
        read, waits = mta.spool.content, iter([0.0, 0.5])

        async def slowly(queue_id: str) -> bytes:
            await asyncio.sleep(next(waits, 0.0))
            return await read(queue_id)

        mta.spool.content = slowly  # type: ignore[method-assign]
        first = await mta.send(BOB)
        await mta.send(BOB)
        await asyncio.sleep(1)
        assert [job.queue_id for job in mta.relay.jobs] == [first]
        mta.relay.answer = accepts
        await asyncio.sleep(HOUR)
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_c1_the_listing_tells_of_the_suspension() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = refuses
        first = await mta.send(BOB)
        await asyncio.sleep(1)
        second = await mta.send(BOB)
        entries = {e.queue_id: e for e in await mta.queue.operator.entries(QueueList())}
        assert entries[first].recipients[0].delay_reason == "connection refused"
        reason = entries[second].recipients[0].delay_reason
        assert reason == "delivery temporarily suspended: connection refused"
        assert entries[second].queue_name == "deferred"
        assert entries[second].attempts == 0
        assert entries[second].next_attempt == entries[first].next_attempt


@in_virtual_time
async def test_c1_a_dns_failure_suspends_the_destination_too() -> None:
    async with QueueLab() as mta:
        failure = Deferred(Reply(451, "4.4.3", "SERVFAIL"))
        mta.router.failures["example.test"] = Route("example.test", (), (), failure=failure)
        for _ in range(20):
            await mta.send(BOB)
        await asyncio.sleep(10)
        assert len(mta.relay.jobs) <= 2


@in_virtual_time
async def test_c2_concurrency_starts_low_grows_on_success_and_is_bounded() -> None:
    async with QueueLab(relay=FakeRelay(seconds=1.0), most=8) as mta:
        for _ in range(200):
            await mta.send(BOB)
        await asyncio.sleep(0.5)
        assert mta.relay.running == 2
        await asyncio.sleep(60)
        assert mta.relay.most == 8
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_c2_concurrency_falls_on_failure() -> None:
    async with QueueLab(relay=FakeRelay(seconds=1.0), most=8) as mta:
        for _ in range(100):
            await mta.send(BOB)
        await asyncio.sleep(6.5)
        assert mta.relay.running == 8
        mta.relay.answer = lambda *_: Deferred(Reply(421, "4.3.2", "too busy"), "mx")
        await asyncio.sleep(2)
        assert mta.relay.running == 1


@in_virtual_time
async def test_a_lone_message_follows_the_schedule_and_bounces_at_its_lifetime() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = greylists
        await mta.send(BOB)
        await asyncio.sleep(6 * DAY)
        times = [at for at in mta.heard.times("attempt.started") if at < 5 * DAY]
        gaps = [later - earlier for earlier, later in pairwise(times)]
        assert gaps[:4] == pytest.approx([300, 300, 600, 1200], abs=0.1)
        assert max(gaps) == pytest.approx(4000, abs=0.1)
        (bounced,) = mta.heard.of("bounce.sent")
        assert isinstance(bounced, events.Bounced)
        assert (bounced.action, bounced.to) == ("failed", "alice@client.test")
        assert mta.heard.times("bounce.sent") == pytest.approx([5 * DAY], abs=1)


@in_virtual_time
async def test_d3_one_delay_warning_and_a_report_at_the_end() -> None:
    retry = RetryConfig("postfix", lifetime=DAY, warning=4 * HOUR)
    async with QueueLab(retry) as mta:
        mta.relay.answer = lambda route, job, address: (
            accepts(route, job, address) if address.endswith("client.test") else REFUSED
        )
        await mta.send(BOB)
        await mta.send(BOB, sender="")
        await asyncio.sleep(2 * DAY)
        told = [body for body in mta.heard.of("bounce.sent") if isinstance(body, events.Bounced)]
        assert [body.action for body in told] == ["delayed", "failed"]
        assert mta.heard.times("bounce.sent") == pytest.approx([4 * HOUR, DAY], abs=1)
        assert len(mta.heard.of("bounce.suppressed")) == 1
        reports = [job.content for job in mta.relay.jobs if job.envelope.sender == ""]
        final = next(report for report in reports if b"Action: failed" in report)
        assert b"Status: 5.4.7" in final
        assert b"connection refused" in final
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_d1_a_failure_of_a_null_sender_is_not_reported() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = rejects
        await mta.send(BOB, sender="")
        await mta.send(Recipient(BOB, notify="NEVER"))
        await asyncio.sleep(1)
        assert not mta.heard.of("bounce.sent")
        assert len(mta.heard.of("bounce.suppressed")) == 2
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_b_outcomes_are_per_recipient() -> None:
    def answer(route: Route, job: Job, address: str) -> Result:
        match address.partition("@")[0]:
            case "no":
                return rejects(route, job, address)
            case "later":
                return greylists(route, job, address)
        return Delivered(OK, route.targets[0].host)

    async with QueueLab() as mta:
        mta.relay.answer = answer
        queue_id = await mta.send("no@example.test", "later@example.test", "yes@example.test")
        await asyncio.sleep(1)
        left = await mta.spool.get(queue_id)
        assert [pending.address for pending in left.pending] == ["later@example.test"]
        (bounced,) = mta.heard.of("bounce.sent")
        assert isinstance(bounced, events.Bounced)
        assert bounced.recipients == ["no@example.test"]
        assert len(mta.heard.of("attempt.started")) == 2  # it, and the notification


@in_virtual_time
async def test_c4_flush_ignores_the_dead_list() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = refuses
        ids = [await mta.send(BOB) for _ in range(5)]
        other = await mta.send("dan@elsewhere.test")
        await asyncio.sleep(1)
        mta.relay.answer = accepts
        tried = len(mta.relay.jobs)
        assert await mta.queue.operator.flush(QueueFlush(queue_id=ids[4])) == 1
        await asyncio.sleep(1)
        assert mta.relay.jobs[tried].queue_id == ids[4]
        assert await mta.queue.operator.flush(QueueFlush(site="Example.test.")) <= 5
        await asyncio.sleep(1)
        assert [e.queue_id for e in await mta.queue.operator.entries(QueueList())] == [other]
        assert await mta.queue.operator.flush(QueueFlush()) == 1
        await asyncio.sleep(1)
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_the_operator_holds_releases_deletes_and_expires() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = greylists
        one, two, three = [await mta.send(BOB, sender=f"s{n}@x.test") for n in range(3)]
        await asyncio.sleep(1)
        edit = mta.queue.operator.edit
        assert await edit(QueueEdit("hold", ["ALL"])) == 3
        mta.relay.answer = accepts
        await asyncio.sleep(6 * DAY)
        names = {e.queue_name for e in await mta.queue.operator.entries(QueueList())}
        assert names == {"hold"}
        assert await edit(QueueEdit("delete", [one])) == 1
        assert await edit(QueueEdit("expire", [two])) == 1
        assert await edit(QueueEdit("release", [three])) == 1
        await asyncio.sleep(1)
        assert await mta.spool.count() == 0
        assert len(mta.heard.of("bounce.sent")) == 1
        with pytest.raises(ControlError, match="no message"):
            await edit(QueueEdit("hold", [one]))


@in_virtual_time
async def test_a_restart_goes_on_with_what_was_durable() -> None:
    disk = MemoryDisk()
    async with QueueLab(disk=disk) as mta:
        mta.relay.answer = refuses
        for _ in range(10):
            await mta.send(BOB)
        await asyncio.sleep(1)
    async with QueueLab(disk=disk) as mta:
        await asyncio.sleep(HOUR)
        assert len(mta.relay.jobs) == 10
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_an_outcome_waits_for_the_disk_and_is_not_repeated() -> None:
    async with QueueLab(relay=FakeRelay(seconds=1.0)) as mta:
        await mta.send(BOB)
        await asyncio.sleep(0.5)
        await mta.spool.restrict(read_only=True)
        await asyncio.sleep(60)
        await mta.spool.restrict()
        await asyncio.sleep(60)
        assert len(mta.relay.jobs) == 1
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_entries_come_in_pages() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = refuses
        ids = [await mta.send(BOB) for _ in range(5)]
        page = await mta.queue.operator.entries(QueueList(limit=3))
        rest = await mta.queue.operator.entries(QueueList(after=page[-1].queue_id, limit=3))
        assert [e.queue_id for e in (*page, *rest)] == ids
        assert page[0].arrival_time == int(EPOCH)


@in_virtual_time
async def test_d3_success_is_reported_where_asked_and_the_host_does_not_carry_it() -> None:
    asked = Recipient(BOB, notify="SUCCESS")
    async with QueueLab() as mta:
        await mta.send(asked)
        await mta.send(Recipient("carol@local.test", notify="SUCCESS"))
        await asyncio.sleep(1)
        (local,) = mta.heard.of("bounce.sent")
        assert isinstance(local, events.Bounced)
        assert (local.action, local.recipients) == ("delivered", ["carol@local.test"])
        mta.relay.answer = lambda route, job, address: Delivered(OK, "mx", carries_dsn=False)
        await mta.send(asked)
        await asyncio.sleep(1)
        assert len(mta.heard.of("bounce.sent")) == 2
        assert any(b"Action: relayed" in job.content for job in mta.relay.jobs)


@in_virtual_time
async def test_a_warning_comes_in_time_although_an_older_message_waits() -> None:
    retry = RetryConfig("postfix", lifetime=5 * DAY, warning=4 * HOUR)
    async with QueueLab(retry) as mta:
        mta.relay.answer = lambda route, job, address: (
            accepts(route, job, address) if address.endswith("client.test") else REFUSED
        )
        await mta.send(BOB)
        await asyncio.sleep(DAY)
        await mta.send(BOB)
        await asyncio.sleep(DAY)
        assert mta.heard.times("bounce.sent") == pytest.approx([4 * HOUR, DAY + 4 * HOUR], abs=1)


@in_virtual_time
async def test_many_destinations_do_not_hinder_each_other() -> None:
    async with QueueLab() as mta:
        mta.relay.answer = lambda route, job, address: (
            REFUSED if route.domain.startswith("dead") else accepts(route, job, address)
        )
        for n in range(50):
            await mta.send(f"x@dead{n}.test", f"y@alive{n}.test")
        await asyncio.sleep(1)
        left = await mta.queue.operator.entries(QueueList())
        assert [len(entry.recipients) for entry in left] == [1] * 50
        assert len(mta.heard.of("destination.dead")) == 50
        await asyncio.sleep(6 * DAY)
        assert len(mta.heard.of("queue.removed")) >= 50
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_a_bug_in_a_part_defers_and_loses_nothing() -> None:
    def breaks(route: Route, job: Job, address: str) -> Result:
        raise RuntimeError("a bug")

    async with QueueLab() as mta:
        mta.relay.answer = breaks
        await mta.send(BOB)
        await asyncio.sleep(HOUR)
        assert 2 <= len(mta.relay.jobs) <= 6
        mta.relay.answer = accepts
        await asyncio.sleep(2 * HOUR)
        assert await mta.spool.count() == 0


@in_virtual_time
async def test_closing_waits_for_a_running_attempt_and_records_its_outcome() -> None:
    disk = MemoryDisk()
    async with QueueLab(disk=disk, relay=FakeRelay(seconds=2.0)) as mta:
        await mta.send(BOB)
        await asyncio.sleep(1)
    assert not disk.messages


@in_virtual_time
async def test_a_message_to_two_destinations_is_removed_once_and_told_once() -> None:
    async with QueueLab(relay=FakeRelay(seconds=1.0)) as mta:
        queue_id = await mta.send(BOB, "dan@elsewhere.test")
        await asyncio.sleep(0.5)
        (entry,) = await mta.queue.operator.entries(QueueList())
        assert entry.queue_name == "active"
        assert await mta.queue.operator.edit(QueueEdit("expire", [queue_id])) == 0
        assert await mta.queue.operator.edit(QueueEdit("delete", [queue_id])) == 1
        await asyncio.sleep(10)
        assert len(mta.heard.of("queue.removed")) == 1
        assert len(mta.heard.of("attempt.started")) == 2
