"""The agent around a product, over a fake one: a program of its own with a queue and a log."""

import asyncio
import errno
import os
import signal
from pathlib import Path

import pytest

from mxlab_services import events
from mxlab_services.control.requests import (
    ConfigChange,
    MailboxList,
    MailboxRead,
    Ping,
    QueueEdit,
    QueueFlush,
    QueueList,
)
from mxlab_services.errors import ConfigError, ControlError, NodeBroken
from mxlab_services.message import content_digest
from mxlab_services.products.base import Held
from mxlab_services.products.names import Names
from tests.support.fake_product import FakeServer
from tests.support.product_lab import HOME, configured, free_port, product, talk, transaction
from tests.support.smtp_sink import Sink

CONTENT = b"Message-ID: <one@client.test>\r\nSubject: hello\r\n\r\n..dots\r\n.\xff end\r\n"
PLAIN = CONTENT.replace(b"\xff", b"x")


def stuffed(content: bytes) -> bytes:
    return (b"\r\n" + content).replace(b"\r\n.", b"\r\n..")[2:].removesuffix(b"\r\n")


async def test_a_message_is_taken_delivered_and_told_in_order(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(CONTENT)))
        await lab.told.until(events.Removed)
        assert lab.told.kinds == [
            "node.ready", "message.accepted", "attempt.started", "mailbox.delivered",
            "queue.removed",
        ]  # fmt: skip
        accepted = lab.told.of(events.Accepted)[0]
        assert accepted.digest == content_digest(CONTENT)
        assert (accepted.peer, accepted.helo) == ("127.0.0.1", "client.client.test")
        assert (accepted.subject, accepted.recipients) == ("hello", ["bob@example.test"])
        delivered = lab.told.of(events.MailboxDelivered)[0]
        assert delivered.digest == content_digest(CONTENT)
        assert {event.message for event in lab.told.events[1:]} == {"<one@client.test>"}
        assert [event.source for event in lab.told.events] == ["", "log", "log", "log", "log"]
        entry = (await lab.ask(MailboxList()))[0]
        assert (entry.digest, entry.name) == (delivered.digest, delivered.name)
        assert (await lab.ask(MailboxRead("bob@example.test", entry.name))).endswith(CONTENT)


async def test_mail_waits_for_a_host_that_is_down_and_a_flush_brings_it(tmp_path: Path) -> None:
    sink, port = Sink(), free_port()
    config = configured(tmp_path, relay_domains=["example.test"])
    routes = {"example.test": [("mx1.example.test", "127.0.0.1", port)]}
    async with product(config, routes=routes) as lab:
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        await lab.told.until(events.Deferred)
        entry = (await lab.ask(QueueList()))[0]
        assert (entry.message, entry.digest) == ("<one@client.test>", content_digest(PLAIN))
        assert (entry.queue_name, entry.attempts) == ("deferred", 1)
        assert (await lab.ask(Ping())).queued == 1
        await sink.start(HOME, port)
        assert await lab.ask(QueueFlush(site="other.test")) == 0
        assert await lab.ask(QueueFlush(site="example.test")) == 1
        await lab.told.until(events.Removed)
        assert lab.told.kinds[1:] == [
            "message.accepted", "attempt.started", "relay.tried", "relay.outcome",
            "queue.deferred", "queue.flushed", "queue.flushed", "attempt.started", "relay.tried",
            "relay.outcome", "queue.removed",
        ]  # fmt: skip
        assert [one.attempt for one in lab.told.of(events.AttemptStarted)] == [1, 2]
        assert [one.stage for one in lab.told.of(events.Tried)] == ["connect", "done"]
    await sink.stop()
    assert sink.received[0].content.endswith(PLAIN)


async def test_messages_are_held_released_and_deleted(tmp_path: Path) -> None:
    config = configured(tmp_path, relay_domains=["example.test"])
    async with product(config) as lab:
        for _ in range(2):
            await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        await lab.told.until(events.Deferred, 2)
        first, second = [entry.queue_id for entry in await lab.ask(QueueList())]
        assert await lab.ask(QueueEdit("hold", [first])) == 1
        assert (await lab.ask(QueueList()))[0].queue_name == "hold"
        with pytest.raises(ControlError, match="on hold"):
            await lab.ask(QueueFlush(queue_id=first))
        with pytest.raises(ControlError, match="no message NONE"):
            await lab.ask(QueueEdit("delete", [first, "NONE"]))
        with pytest.raises(ControlError, match="fake: cannot expire"):
            await lab.ask(QueueEdit("expire", [first]))
        assert await lab.ask(QueueEdit("delete", [first])) == 1
        assert await lab.ask(QueueEdit("delete", ["ALL"])) == 1
        assert await lab.ask(QueueList()) == []
        assert [one.queue_id for one in lab.told.of(events.Removed)] == [first, second]


async def test_a_refused_recipient_is_told(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"], recipients=["bob@example.test"])
    async with product(config) as lab:
        lines = transaction(b"nobody@example.test", b"")[:3]
        assert (await talk(lab.address, *lines))[-1].startswith(b"550 5.1.1")
        refused = await lab.told.until(events.Refused)
        assert (refused.verb, refused.recipient) == ("RCPT", "nobody@example.test")


async def test_a_permanent_failure_is_told_to_the_sender(tmp_path: Path) -> None:
    sink = Sink({"RCPT": ["550 5.1.1 no such user"]})
    await sink.start(HOME)
    config = configured(tmp_path, relay_domains=["example.test"])
    async with product(config, routes={"example.test": [("mx1", HOME, sink.port)]}) as lab:
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        bounced = await lab.told.until(events.Bounced)
        assert (bounced.about, bounced.to) == ("<one@client.test>", "alice@client.test")
        assert (bounced.recipients, bounced.status) == (["bob@example.test"], ["5.1.1"])
        assert lab.told.of(events.Accepted)[1].queue_id == bounced.queue_id
        assert lab.stats["backscatter"] == 1
    await sink.stop()


async def test_a_product_that_ends_breaks_the_node(tmp_path: Path) -> None:
    async with product(configured(tmp_path, local_domains=["example.test"])) as lab:
        assert lab.agent.child is not None
        os.kill(lab.agent.child.pid, signal.SIGKILL)
        text = await asyncio.wait_for(lab.agent.failure, 10)
        assert text.startswith("exim was ended by signal 9; its last lines:\n  fact Serving")


async def test_a_product_that_does_not_start_says_why(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    command = ["/bin/sh", "-c", "echo no such thing >&2; exit 75"]
    with pytest.raises(NodeBroken, match="exit code 75; its last lines:\n  no such thing"):
        async with product(config, command=command):
            pass
    with pytest.raises(FileNotFoundError):
        async with product(config, command=["/nowhere/mta"]):
            pass
    with pytest.raises(ConfigError, match="smarthost"):
        async with product(configured(tmp_path, smarthost="hub.test")):
            pass


async def test_ready_is_who_greets_and_then_waits_for_the_peer_to_close(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As Exim does: it holds its reply to QUIT back, as the peer may close first."""
    heard = asyncio.Queue[bytes]()

    async def holds_back(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(28)  # of the PROXY protocol
        writer.write(b"220 slow.example.test\r\n")
        heard.put_nowait(await reader.read())
        writer.write(b"221 bye\r\n")
        writer.close()

    async def empty(_: FakeServer) -> list[Held]:
        return []

    monkeypatch.setattr(FakeServer, "queue", empty)
    server = await asyncio.start_server(holds_back, HOME, 0)
    port = server.sockets[0].getsockname()[1]
    config = configured(tmp_path, local_domains=["example.test"])
    async with server, product(config, port, command=["/bin/sleep", "60"]) as lab:
        assert lab.told.kinds == ["node.ready"]
        assert heard.get_nowait() == b"QUIT\r\n"


async def test_lines_that_are_not_understood_are_kept_and_counted(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    log = tmp_path / "log"
    async with product(config, log=log) as lab:
        with log.open("ab") as file:
            file.write(b"what is th")
            file.flush()
            file.write(b"is \xff\nnote fine\nfact HostTried {}\n")
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        await lab.told.until(events.Removed)
        assert lab.stats["log-lines-not-understood"] == 2  # the last one fails the grammar
    assert "what is this" in capfd.readouterr().err


async def test_what_is_in_the_queue_is_known_in_the_next_life(tmp_path: Path) -> None:
    config = configured(tmp_path, relay_domains=["example.test"])
    async with product(config) as lab:
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        await lab.told.until(events.Deferred)
        queue_id = lab.told.of(events.Accepted)[0].queue_id
    (tmp_path / "agent" / "names.jsonl").rename(tmp_path / "names")
    async with product(config) as lab:  # the node died before it told of the message
        accepted = await lab.told.until(events.Accepted)
        assert (accepted.queue_id, lab.told.events[1].source) == (queue_id, "queue")
        assert accepted.digest == content_digest(PLAIN)
    async with product(config) as lab:
        assert (await lab.ask(QueueList()))[0].message == "<one@client.test>"
        await lab.ask(QueueEdit("delete", ["ALL"]))
        assert lab.told.of(events.Accepted) == []


async def test_what_left_the_queue_unheard_is_told_of_in_the_next_life(tmp_path: Path) -> None:
    """The node dies between the product's deed and our reading of its log, or the product is at
    work before we have looked at its queue."""
    config = configured(tmp_path, relay_domains=["example.test"])
    async with product(config) as lab:
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        await lab.told.until(events.Deferred)
        queue_id = lab.told.of(events.Accepted)[0].queue_id
    for file in (tmp_path / "fake" / "queue").iterdir():
        file.unlink()
    async with product(config) as lab:
        removed = await lab.told.until(events.Removed)
        assert (removed.queue_id, lab.told.events[-1].source) == (queue_id, "queue")
        assert lab.told.events[-1].message == "<one@client.test>"
    async with product(config) as lab:  # it is told once
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        await lab.told.until(events.Deferred)
        assert lab.told.of(events.Removed) == []


async def test_a_setting_that_the_product_has_is_changed_and_kept(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"], recipients=["bob@example.test"])
    carol = transaction(b"carol@example.test", b"")[:3]
    async with product(config) as lab:
        assert (await talk(lab.address, *carol))[-1][:3] == b"550"
        both = ["bob@example.test", "carol@example.test"]
        (setting,) = await lab.ask(ConfigChange({"recipients": both}))
        assert (setting.key, setting.value) == ("recipients", both)
        assert (await talk(lab.address, *carol))[-1][:3] == b"250"
        assert lab.told.of(events.ConfigChanged)[0].key == "recipients"
        for values, why in (
            ({"limits.hops": 3}, "exim has no such setting"),
            ({"limits.hops": "x"}, "expected `int`"),
            ({"smarthost": "x"}, "it is decided when the lab comes up"),
            ({"recipients": []}, "no users at all"),
        ):
            with pytest.raises(ControlError, match=why):
                await lab.ask(ConfigChange(values))
        assert (await talk(lab.address, *carol))[-1][:3] == b"250"
    async with product(config) as lab:
        assert (await talk(lab.address, *carol))[-1][:3] == b"250"
        await lab.ask(ConfigChange(reset=["recipients"]))
        assert (await talk(lab.address, *carol))[-1][:3] == b"550"


async def test_on_a_full_disk_it_goes_on_telling(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Names, "add", full)
    async with product(configured(tmp_path, local_domains=["example.test"])) as lab:
        await talk(lab.address, *transaction(b"bob@example.test", stuffed(PLAIN)))
        await lab.told.until(events.Removed)
        assert lab.told.kinds[1:] == [
            "message.accepted", "attempt.started", "mailbox.delivered", "queue.removed",
        ]  # fmt: skip
    assert "No space left" in caplog.text
