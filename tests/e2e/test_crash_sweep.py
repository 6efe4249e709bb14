"""The real process is killed at every step of accepting and of relaying one message, and restarted.

::

    a client ──> node (killed at each step in turn) ──> the next server
                 stored? ......... handed on? ... settled?

What must come of it follows from where it died. Let a message be *stored* once its commit is on
disk, *handed on* once the next server has it, and *settled* once that is committed. Nothing that
was acknowledged is lost; a copy too many comes only of a message that was stored without the 250
being read (its sender tries again), or handed on with the 250 not read, or read and not yet settled
(the node tries again). A mailbox knows what it has: there a second try leaves no second copy. The
number of copies is therefore known exactly, and it is compared exactly.
"""

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from mxlab_services import events
from mxlab_services.control.replies import MailboxEntry
from mxlab_services.control.requests import MailboxList, Ping, RecordRead, Submit
from mxlab_services.message import content_digest
from tests.support.process_lab import ProcessLab, Sent

pytestmark = pytest.mark.asyncio(loop_scope="module")
ALICE, BOB = "alice@client.test", "bob@example.test"

# The steps of one message in their order, parted by what has happened at them.
NOT_STORED = ("put.before", "put.uncommitted")
STORED = ("put.committed", "put.after", "event-message.accepted")
ACKNOWLEDGED = ("content.before", "content.after", "event-attempt.started")
REPLY = ("250.before", "250.after")
TO_MAILBOX = (
    "deliver.before",
    "deliver.write.before",
    "deliver.write.after",
    "deliver.rename.before",
)
IN_MAILBOX = ("deliver.rename.after", "deliver.after", "event-mailbox.delivered")
TO_HOST = (
    "event-lookup", "event-route", "connect.before", "reply-to-connecting", "send-EHLO.before",
    "send-EHLO.after", "connect.after", "send-MAIL.before", "send-MAIL.after", "reply-to-MAIL",
    "reply-to-RCPT", "reply-to-DATA", "send-dot.before",
)  # fmt: skip
AT_HOST = (
    "send-dot.after", "reply-to-the-final-dot", "event-relay.tried", "event-relay.outcome",
)  # fmt: skip
NOT_SETTLED = ("settle.before", "settle.uncommitted")
SETTLED = ("settle.committed", "settle.after", "event-queue.removed")

ACCEPTING = NOT_STORED + STORED + REPLY + ACKNOWLEDGED
DELIVERING = TO_MAILBOX + IN_MAILBOX + NOT_SETTLED + SETTLED
RELAYING = TO_HOST + AT_HOST + NOT_SETTLED + SETTLED
HANDED_ON = AT_HOST + NOT_SETTLED


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def lab() -> AsyncIterator[ProcessLab]:
    folder = Path(tempfile.mkdtemp(prefix="mxlab-crash-"))  # short, for the sockets' names
    found = ProcessLab(folder)
    try:
        await found.start("dns", "mx1", "mx2", "client")
        yield found
    finally:
        await found.end()
        shutil.rmtree(folder)


def message(name: str) -> bytes:
    return (
        f"Message-ID: <{name}@client.test>\r\nSubject: {name}\r\n\r\n.stuffed\r\nthe end\r\n"
    ).encode()


async def arrived(lab: ProcessLab, subject: str) -> list[MailboxEntry]:
    return [entry for entry in await lab.ask("mx1", MailboxList(BOB)) if entry.subject == subject]


async def crash_of_a_server(lab: ProcessLab, node: str, step: str) -> None:
    """Send a message to a node that dies at `step`; send again if no 250 was read; count."""
    await lab.start("mx1", "mx2")  # what a failed case left dead
    name, before = f"{node}-{step}", len(lab.of(events.Accepted, "mx1"))
    content = message(name)
    lab.arm(node, step)
    sent: Sent = await lab.send(node, ALICE, BOB, content)
    assert await lab.died(node) == -signal.SIGKILL
    assert sent == "unknown" or step not in (*NOT_STORED, *STORED, "250.before")
    await lab.start(node)
    unread = 0
    if sent == "unknown":
        assert await lab.send(node, ALICE, BOB, content) == "acked"
        unread = step not in NOT_STORED
    copies = 1 + unread + (node == "mx2" and step in HANDED_ON)
    if node == "mx2":
        await lab.drained("mx2")
        await lab.until(lambda: len(lab.of(events.Accepted, "mx1")) >= before + copies)
    await lab.drained("mx1")
    found = await arrived(lab, name)
    assert len(found) == copies, step
    assert {entry.digest for entry in found} == {content_digest(content)}
    for server in ("mx1", "mx2"):
        assert (await lab.ask(server, Ping())).queued == 0
        assert not lab.of(events.SpoolDamaged, server)


@pytest.mark.parametrize("step", ACCEPTING + DELIVERING)
async def test_b4_a_primary_killed_while_it_accepts_and_delivers(
    lab: ProcessLab, step: str
) -> None:
    await crash_of_a_server(lab, "mx1", step)


@pytest.mark.parametrize("step", ACCEPTING + RELAYING)
async def test_b4_a_backup_killed_while_it_accepts_and_relays(lab: ProcessLab, step: str) -> None:
    await crash_of_a_server(lab, "mx2", step)


@pytest.mark.parametrize(
    "step",
    NOT_STORED + STORED + ("content.before", "record.invoked.before", "record.invoked.after")
    + TO_HOST + AT_HOST + ("record.ended.before", "record.ended.after") + NOT_SETTLED + SETTLED,
)  # fmt: skip
async def test_b4_a_client_killed_while_it_submits_and_relays(lab: ProcessLab, step: str) -> None:
    await lab.start("mx1", "client")
    name, before = f"client-{step}", len(lab.of(events.Accepted, "mx1"))
    lab.arm("client", step)
    try:
        told = len(await lab.ask("client", Submit(ALICE, [BOB], subject=name)))
    except ConnectionError:
        told = 0
    assert await lab.died("client") == -signal.SIGKILL
    await lab.start("client")
    await lab.drained("client")
    handed_on = step in (*HANDED_ON, "record.ended.before", "record.ended.after")
    copies = 0 if step in NOT_STORED else 1 + handed_on
    assert copies >= told
    await lab.until(lambda: len(lab.of(events.Accepted, "mx1")) >= before + copies)
    await lab.drained("mx1")
    found = await arrived(lab, name)
    assert len(found) == copies, step
    assert len({entry.message for entry in found}) == min(copies, 1)
    assert (await lab.ask("client", Ping())).queued == 0
    record = await lab.ask("client", RecordRead())
    # Each copy has a transaction of its own on the client's record; an `invoked` that never ended
    # is the acknowledgement that was not read.
    mine = sorted(entry.outcome for entry in record if found and entry.message == found[0].message)
    if step in (*AT_HOST, "record.ended.before") and not step.startswith("event-"):
        assert mine == ["acked", "invoked"]
    assert len(mine) - mine.count("refused") >= copies
