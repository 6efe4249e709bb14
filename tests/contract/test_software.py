"""What every mail server of a node does for the lab: ours, a fake, and each product of others.

One expectation for all: what a server truly does otherwise stands here by its name.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from mxlab_services import events
from mxlab_services.control.requests import (
    ConfigList,
    Forget,
    MailboxList,
    MailboxRead,
    Ping,
    QueueEdit,
    QueueFlush,
    QueueList,
    RecordRead,
    Stats,
    Submit,
)
from mxlab_services.errors import ControlError
from mxlab_services.faults.kinds import DiskFull, ReplyWith
from mxlab_services.faults.requests import FaultClear, FaultSet
from mxlab_services.message import content_digest
from tests.support.product_lab import talk
from tests.support.software_lab import SoftwareLab, software_lab

BOB, CAROL = "bob@example.test", "carol@example.test"
PRODUCTS = ("exim", "opensmtpd", "postfix")
HEEDS_NO_SIZE = ("opensmtpd",)  # of MAIL (RFC 1870): it refuses after the final dot
REAL = [pytest.mark.docker, pytest.mark.long, pytest.mark.nightly]
SOFTWARE = ["mxlab", "fake", *(pytest.param(one, marks=REAL) for one in PRODUCTS)]


@pytest.fixture(params=SOFTWARE)
def software(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
async def backup(software: str, tmp_path: Path) -> AsyncIterator[SoftwareLab]:
    async with software_lab(software, "mx2", tmp_path) as lab:
        yield lab


@pytest.fixture
async def primary(software: str, tmp_path: Path) -> AsyncIterator[SoftwareLab]:
    async with software_lab(software, "mx1", tmp_path) as lab:
        yield lab


@pytest.fixture
async def client(software: str, tmp_path: Path) -> AsyncIterator[SoftwareLab]:
    async with software_lab(software, "client", tmp_path) as lab:
        yield lab


def message(name: str, size: int = 0) -> bytes:
    """Its lines, of which some begin with dots."""
    head = f"From: alice@client.test\r\nTo: bob@example.test\r\nSubject: {name}\r\n".encode()
    head += f"Message-ID: <{name}@client.test>\r\n\r\n".encode()
    return head + b".\r\n..two\r\n" + b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * (size // 72)


async def send(lab: SoftwareLab, name: str, recipient: str = BOB, size: int = 0) -> bytes:
    """Hand a message in at the node under test; the reply to its final dot."""
    stuffed = (b"\r\n" + message(name, size)).replace(b"\r\n.", b"\r\n..")[2:]
    replies = await talk(
        lab.address, b"EHLO client.client.test", b"MAIL FROM:<alice@client.test>",
        b"RCPT TO:<%s>" % recipient.encode(), b"DATA", stuffed + b".", b"QUIT",
    )  # fmt: skip
    assert replies[-1][:3] == b"221", replies
    return replies[-2]


async def hold_up(lab: SoftwareLab, *names: str) -> None:
    """Have these wait at the backup, the primary being dead."""
    await lab.bench.kill("mx1")
    for name in names:
        assert (await send(lab, name))[:3] == b"250"
    await lab.until(events.Accepted, len(names))
    await waiting(lab, len(names))


async def waiting(lab: SoftwareLab, count: int) -> None:
    """Each of so many has a reason to wait, and none is under way."""

    async def settled() -> bool:
        entries = await lab.ask(QueueList())
        reasons = [one.delay_reason for entry in entries for one in entry.recipients]
        still = all(one.queue_name != "active" for one in entries)
        return still and len(entries) == count and all(reasons)

    await lab.until(events.Deferred)
    await asked(settled)


async def asked(so: Callable[[], Awaitable[bool]]) -> None:
    """Ask until it is so: nobody tells."""
    async with asyncio.timeout(30):
        while not await so():  # noqa: ASYNC110
            await asyncio.sleep(0.2)


async def arrived(lab: SoftwareLab, count: int) -> set[str]:
    """The names of what lies in the primary's mailboxes, once there are so many."""
    await lab.until(events.MailboxDelivered, count, "mx1")
    return {entry.message for entry in await lab.ask(MailboxList(), "mx1")}


async def flushed(lab: SoftwareLab, request: QueueFlush, count: int) -> set[str]:
    """What a flush of so many messages brings into the primary's mailboxes. The kernel may still
    hold that there is no way to a host that was gone: then the flush is for nothing, and is said
    again."""
    seen = len(lab.of(events.Deferred))
    assert await lab.ask(request) == count
    async with asyncio.timeout(25):
        while len(lab.of(events.MailboxDelivered, "mx1")) < count:
            if len(lab.of(events.Deferred)) > seen:
                seen = len(lab.of(events.Deferred))
                await lab.ask(request)
            else:
                await lab.bench.news()
    return await arrived(lab, count)


# --- as backup -----------------------------------------------------------------------------------


async def test_it_queues_while_the_primary_is_dead_and_a_flush_brings_all(
    backup: SoftwareLab,
) -> None:
    await hold_up(backup, "one", "two")
    entries = await backup.ask(QueueList())
    assert {entry.message for entry in entries} == {"<one@client.test>", "<two@client.test>"}
    assert {entry.digest for entry in entries} == {
        content_digest(message("one")), content_digest(message("two")),
    }  # fmt: skip
    assert {entry.sender for entry in entries} == {"alice@client.test"}
    assert all(entry.recipients[0].delay_reason for entry in entries)
    assert (await backup.ask(Ping())).queued == 2
    await backup.bench.start("mx1")
    found = await flushed(backup, QueueFlush(), 2)
    assert found == {"<one@client.test>", "<two@client.test>"}
    await backup.until(events.Removed, 2)
    assert await backup.ask(QueueList()) == []
    boxes = await backup.ask(MailboxList(BOB), "mx1")
    assert {one.digest for one in boxes} == {entry.digest for entry in entries}


async def test_a_flush_of_one_brings_that_one(backup: SoftwareLab) -> None:
    await hold_up(backup, "one", "two")
    names = {entry.message: entry.queue_id for entry in await backup.ask(QueueList())}
    await backup.bench.start("mx1")
    await backup.ask(Forget())
    request = QueueFlush(queue_id=names["<two@client.test>"])
    assert await flushed(backup, request, 1) == {"<two@client.test>"}
    with pytest.raises(ControlError):
        await backup.ask(QueueFlush(queue_id="NOSUCHID"))


async def test_a_flush_of_a_site_brings_what_waits_for_it(backup: SoftwareLab) -> None:
    await hold_up(backup, "one", "two")
    assert await backup.ask(QueueFlush(site="client.test")) == 0
    await backup.bench.start("mx1")
    assert len(await flushed(backup, QueueFlush(site="Example.test"), 2)) == 2


async def test_messages_are_held_released_and_deleted(backup: SoftwareLab) -> None:
    await hold_up(backup, "one", "two", "three")
    names = {entry.message: entry.queue_id for entry in await backup.ask(QueueList())}
    one, two, three = (names[f"<{name}@client.test>"] for name in ("one", "two", "three"))
    assert await backup.ask(QueueEdit("hold", [one, two])) == 2
    assert await backup.ask(QueueEdit("delete", [three])) == 1
    states = {entry.queue_id: entry.queue_name for entry in await backup.ask(QueueList())}
    assert states == {one: "hold", two: "hold"}
    await backup.bench.start("mx1")
    assert await backup.ask(QueueFlush()) == 0
    with pytest.raises(ControlError, match="hold"):
        await backup.ask(QueueFlush(queue_id=one))
    assert await backup.ask(QueueEdit("release", [one])) == 1
    assert await flushed(backup, QueueFlush(), 1) == {"<one@client.test>"}
    with pytest.raises(ControlError):
        await backup.ask(QueueEdit("hold", ["NOSUCHID"]))
    edited = [(body.queue_id, body.action) for body in backup.of(events.Edited)]
    assert edited == [(one, "hold"), (two, "hold"), (three, "delete"), (one, "release")]
    assert backup.of(events.Removed)[0].queue_id == three


async def test_what_was_acknowledged_survives_a_kill(backup: SoftwareLab) -> None:
    await hold_up(backup, "one", "two")
    before = await backup.ask(QueueList())
    await backup.bench.kill("mx2")
    await backup.bench.start("mx2")
    await backup.until(events.NodeReady, 2)
    after = await backup.ask(QueueList())
    assert [(one.queue_id, one.message, one.digest) for one in after] == [
        (one.queue_id, one.message, one.digest) for one in before
    ]
    assert backup.of(events.NodeReady)[-1].queued == 2
    assert len(backup.of(events.Accepted)) == 2
    await backup.bench.start("mx1")
    found = await flushed(backup, QueueFlush(), 2)
    assert found == {"<one@client.test>", "<two@client.test>"}
    await backup.until(events.Removed, 2)
    assert len(await backup.ask(MailboxList(), "mx1")) == 2


async def test_it_starts_after_it_was_killed_at_work(backup: SoftwareLab) -> None:
    """In a session's data and amid attempts: locks and half-written files are left behind."""
    await hold_up(backup, "one")
    for number in (2, 3):
        reader, writer = await asyncio.open_connection(*backup.address)
        for line in (
            b"HELO client.client.test", b"MAIL FROM:<alice@client.test>",
            b"RCPT TO:<bob@example.test>", b"DATA",
        ):  # fmt: skip
            await reader.readline()
            writer.write(line + b"\r\n")
        assert (await reader.readline())[:3] == b"354"
        writer.write(b"Message-ID: <half@client.test>\r\n\r\nwithout an end\r\n")
        await backup.ask(QueueFlush())
        await backup.bench.kill("mx2")
        writer.close()
        await backup.bench.start("mx2")
        await backup.until(events.NodeReady, number)
        assert [one.message for one in await backup.ask(QueueList())] == ["<one@client.test>"]
    assert (await send(backup, "two"))[:3] == b"250"
    await backup.bench.start("mx1")
    await backup.until(events.Accepted, 2)
    names = {"<one@client.test>", "<two@client.test>"}
    await asked(lambda: _comes(backup, names))


async def _comes(lab: SoftwareLab, names: set[str]) -> bool:
    """Whether all is at the primary; else what waits is flushed."""
    await lab.ask(QueueFlush())
    return {one.message for one in await lab.ask(MailboxList(), "mx1")} == names


async def test_mail_that_came_while_it_was_paused_is_taken_after(backup: SoftwareLab) -> None:
    await hold_up(backup, "one")
    await backup.bench.pause("mx2")
    sending = asyncio.create_task(send(backup, "two"))
    await backup.bench.start("mx1")
    assert not sending.done()
    await backup.bench.resume("mx2")
    assert (await asyncio.wait_for(sending, 25))[:3] == b"250"
    await asked(lambda: _comes(backup, {"<one@client.test>", "<two@client.test>"}))


async def test_a_full_disk_takes_no_mail_and_lets_what_is_there_go_on(
    backup: SoftwareLab, software: str
) -> None:
    await hold_up(backup, "one")
    await backup.ask(FaultSet("full", DiskFull("mx2")))
    lines = (b"EHLO c.test", b"MAIL FROM:<alice@client.test>", b"RCPT TO:<bob@example.test>")
    replies = await talk(backup.address, *lines, b"DATA", b"Subject: x\r\n\r\nx\r\n.")
    at_dot = software == "mxlab"  # a product has it from the proxy, at MAIL
    assert replies[5 if at_dot else 2].startswith(b"452"), replies
    await backup.bench.start("mx1")
    await asked(lambda: _comes(backup, {"<one@client.test>"}))
    await backup.ask(FaultClear("full"))
    assert (await send(backup, "two"))[:3] == b"250"
    await asked(lambda: _comes(backup, {"<one@client.test>", "<two@client.test>"}))


async def test_it_takes_mail_for_those_whom_it_knows_and_relays_for_nobody(
    backup: SoftwareLab,
) -> None:
    for recipient, code in (
        (b"bob@example.test", b"250"), (b"BOB@EXAMPLE.test", b"250"),
        (b"nobody@example.test", b"550"), (b"bob@elsewhere.test", b"55"),
        (b"postmaster@example.test", b"250"),
    ):  # fmt: skip
        replies = await talk(
            backup.address, b"EHLO [192.0.2.1]", b"MAIL FROM:<x@elsewhere.test>",
            b"RCPT TO:<%s>" % recipient, b"QUIT",
        )  # fmt: skip
        assert replies[3].startswith(code), (recipient, replies)
    refused = await backup.until(events.Refused, 2)
    assert [body.verb for body in refused] == ["RCPT", "RCPT"]
    assert [body.recipient for body in refused] == ["nobody@example.test", "bob@elsewhere.test"]


async def test_what_the_next_hop_refuses_for_good_is_told_to_the_sender(
    backup: SoftwareLab,
) -> None:
    await backup.ask(FaultSet("no", ReplyWith("mx1", "RCPT", 550, "5.1.1", "gone")), "mx1")
    await send(backup, "one")
    bounced = (await backup.until(events.Bounced))[0]
    assert (bounced.about, bounced.to) == ("<one@client.test>", "alice@client.test")
    assert (bounced.action, bounced.recipients) == ("failed", [BOB])
    assert bounced.status == ["5.1.1"]
    failed = [body for body in backup.of(events.Outcome) if body.outcome == "failed"]
    assert [(body.recipient, body.host) for body in failed] == [(BOB, "mx1.example.test")]
    await backup.until(events.Removed, 1)
    await backup.ask(FaultClear("no"), "mx1")


async def test_its_events_tell_a_message_in_order(backup: SoftwareLab) -> None:
    await send(backup, "one")
    await backup.until(events.Removed)
    kinds = backup.kinds("<one@client.test>")
    told = [kind for kind in kinds if not kind.startswith(("lookup", "route"))]
    assert told == [
        "message.accepted", "attempt.started", "relay.tried", "relay.outcome", "queue.removed",
    ]  # fmt: skip
    accepted = backup.of(events.Accepted)[0]
    assert accepted.digest == content_digest(message("one"))
    assert (accepted.sender, accepted.recipients) == ("alice@client.test", [BOB])
    assert accepted.helo == "client.client.test"
    outcome = backup.of(events.Outcome)[0]
    assert (outcome.outcome, outcome.host) == ("delivered", "mx1.example.test")
    taken = backup.of(events.Accepted, "mx1")[0]
    assert (taken.queue_id, taken.digest) == (outcome.remote_id, accepted.digest)
    assert taken.peer == backup.bench.door("mx2")[0]
    tried = backup.of(events.Tried)[0]
    assert (tried.host, tried.address) == ("mx1.example.test", backup.bench.door("mx1")[0])
    assert tried.stage == "done"


async def test_two_recipients_each_have_their_fate(backup: SoftwareLab) -> None:
    no = ReplyWith("mx1", "RCPT", 450, "4.2.1", "later", recipient=CAROL)
    await backup.ask(FaultSet("no", no), "mx1")
    stuffed = (b"\r\n" + message("one")).replace(b"\r\n.", b"\r\n..")[2:]
    await talk(
        backup.address, b"EHLO c.test", b"MAIL FROM:<alice@client.test>",
        b"RCPT TO:<bob@example.test>", b"RCPT TO:<carol@example.test>", b"DATA", stuffed + b".",
    )  # fmt: skip
    assert await arrived(backup, 1) == {"<one@client.test>"}
    deferred = (await backup.until(events.Deferred))[0]
    assert (deferred.recipients, deferred.attempt) == ([CAROL], 1)
    entry = (await backup.ask(QueueList()))[0]
    assert [one.address for one in entry.recipients] == [CAROL]
    await backup.ask(FaultClear("no"), "mx1")
    await backup.ask(QueueFlush())
    await backup.until(events.Removed)
    fates = [(body.recipient, body.outcome) for body in backup.of(events.Outcome)]
    assert sorted(fates) == [(BOB, "delivered"), (CAROL, "deferred"), (CAROL, "delivered")]
    assert [body.attempt for body in backup.of(events.AttemptStarted)] == [1, 2]


# --- as primary ----------------------------------------------------------------------------------


async def test_mail_lies_in_the_mailbox_as_it_was_sent(primary: SoftwareLab) -> None:
    await send(primary, "one", size=300_000)
    await primary.until(events.Removed)
    entry = (await primary.ask(MailboxList(BOB)))[0]
    content = message("one", 300_000)
    assert entry.digest == content_digest(content)
    assert (entry.message, entry.subject) == ("<one@client.test>", "one")
    assert (entry.address, entry.reverse_path) == (BOB, "alice@client.test")
    assert (await primary.ask(MailboxRead(BOB, entry.name))).endswith(content)
    delivered = primary.of(events.MailboxDelivered)[0]
    assert (delivered.name, delivered.digest) == (entry.name, entry.digest)
    assert delivered.recipient == BOB
    kinds = primary.kinds("<one@client.test>")
    assert kinds == ["message.accepted", "attempt.started", "mailbox.delivered", "queue.removed"]


async def test_a_tag_is_of_the_users_mailbox(primary: SoftwareLab) -> None:
    await send(primary, "one", "bob+list@example.test")
    await primary.until(events.Removed)
    entry = (await primary.ask(MailboxList(BOB)))[0]
    assert entry.recipient == "bob+list@example.test"


async def test_mailboxes_survive_a_kill(primary: SoftwareLab) -> None:
    for name in ("one", "two"):
        assert (await send(primary, name))[:3] == b"250"
    await primary.bench.kill("mx1")  # whether delivered or not yet
    await primary.bench.start("mx1")

    async def there() -> bool:
        return len(await primary.ask(MailboxList())) == 2

    await asked(there)
    found = await primary.ask(MailboxList())
    assert {entry.digest for entry in found} == {
        content_digest(message("one")), content_digest(message("two")),
    }  # fmt: skip


async def test_what_is_too_large_or_for_nobody_is_refused(
    primary: SoftwareLab, software: str
) -> None:
    limit = next(
        one.value for one in await primary.ask(ConfigList()) if one.key == "limits.message_size"
    )
    replies = await talk(
        primary.address, b"EHLO c.test", b"MAIL FROM:<alice@client.test> SIZE=%d" % (limit + 1),
        b"QUIT",
    )  # fmt: skip
    heeded = software not in HEEDS_NO_SIZE
    assert replies[2].startswith(b"552" if heeded else b"250"), replies
    if not heeded:
        assert (await send(primary, "one", size=limit * 11 // 10))[:3] == b"554"
    replies = await talk(
        primary.address, b"EHLO c.test", b"MAIL FROM:<>", b"RCPT TO:<nobody@example.test>", b"QUIT"
    )
    assert replies[3].startswith(b"550"), replies


async def test_every_line_of_its_log_is_understood(primary: SoftwareLab) -> None:
    for name in ("one", "two"):
        await send(primary, name)
    await primary.until(events.Removed, 2)
    assert (await primary.ask(Stats())).get("log-lines-not-understood", 0) == 0


# --- as client -----------------------------------------------------------------------------------


async def test_what_is_submitted_arrives_and_is_on_record(client: SoftwareLab) -> None:
    submit = Submit("alice@client.test", [BOB, CAROL], count=3, size=2000, batch="b")
    sent = await client.ask(submit)
    assert len({one.message for one in sent}) == 3
    accepted = await client.until(events.Accepted, 3)
    assert {(one.queue_id, one.digest) for one in accepted} == {
        (one.queue_id, one.digest) for one in sent
    }
    assert {one.batch for one in accepted} == {"b"}
    assert await arrived(client, 6) == {one.message for one in sent}
    await client.until(events.Removed, 3)
    boxes = await client.ask(MailboxList(), "mx1")
    assert {one.digest for one in boxes} == {one.digest for one in sent}
    record = await client.ask(RecordRead())
    assert sorted((one.message, one.recipient) for one in record) == sorted(
        (one.message, to) for one in sent for to in (BOB, CAROL)
    )
    assert {(one.outcome, one.host) for one in record} == {("acked", "mx1.example.test")}


async def test_while_the_primary_is_dead_the_backup_has_it(client: SoftwareLab) -> None:
    await client.bench.kill("mx1")
    (sent,) = await client.ask(Submit("alice@client.test", [BOB]))
    taken = (await client.until(events.Accepted, 1, "mx2"))[0]
    assert taken.digest == sent.digest
    await client.until(events.Removed)
    (entry,) = await client.ask(RecordRead())
    assert (entry.outcome, entry.host) == ("acked", "mx2.example.test")
    tried = [(one.host, one.stage) for one in client.of(events.Tried)]
    assert tried == [("mx1.example.test", "connect"), ("mx2.example.test", "done")]


async def test_what_is_refused_for_good_is_on_record_and_told(client: SoftwareLab) -> None:
    (sent,) = await client.ask(Submit("alice@client.test", ["nobody@example.test"]))
    bounced = (await client.until(events.Bounced))[0]
    assert (bounced.about, bounced.recipients) == (sent.message, ["nobody@example.test"])
    (entry,) = await client.ask(RecordRead())
    assert entry.outcome == "refused"
    assert "5.1.1" in entry.reply
