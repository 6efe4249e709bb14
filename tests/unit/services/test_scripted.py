"""A server that replies by a script: what it says, what it keeps, and who hears of it when."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from mxlab_services.clock import ScaledClock
from mxlab_services.config import PeerConfig
from mxlab_services.control.peers import PeerEvent, PeerRead, PeerReply, PeerRule, PeerScript
from mxlab_services.control.rpc import Controls
from mxlab_services.events import Emitter
from mxlab_services.node import start_node
from mxlab_services.runtime import NoStorage, Parts

HOST = "127.0.0.1"


class Peer:
    """A node of the role, and a client of it."""

    def __init__(self, controls: Controls, port: int) -> None:
        self.ask, self.port = controls, port

    async def dial(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection(HOST, self.port)

    async def said(self, *lines: str) -> list[str]:
        """The replies to these lines, the greeting first, until the server closes."""
        reader, writer = await self.dial()
        writer.write("".join(f"{line}\r\n" for line in lines).encode())
        replies = (await reader.read()).decode().splitlines()
        writer.close()
        return replies

    async def record(self) -> list[PeerEvent]:
        return await self.ask(PeerRead())


@pytest.fixture
async def peer(unused_tcp_port: int) -> AsyncIterator[Peer]:
    clock = ScaledClock()
    parts = Parts(clock, Emitter("p", clock, lambda _: None), NoStorage())
    config = PeerConfig(node="p", address=HOST, hostname="p.test", smtp_port=unused_tcp_port)
    node = await start_node(config, parts)
    yield Peer(node.controls, unused_tcp_port)
    await node.stop("the test is over")


MAIL = ("EHLO c.test", "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "DATA")


async def test_without_a_script_it_takes_everything_and_keeps_each_byte(peer: Peer) -> None:
    replies = await peer.said(*MAIL, "..dots", "text", ".", "QUIT")
    assert [reply[:3] for reply in replies] == ["220", "250", "250", "250", "354", "250", "221"]
    record = await peer.record()
    assert [one.text for one in record if one.word == "content"] == ["..dots\r\ntext\r\n"]
    assert [one.text for one in record if one.word == "line"][1] == "MAIL FROM:<a@b.test>\r\n"
    assert [one.number for one in record] == list(range(1, len(record) + 1))
    assert (record[0].word, record[-1].word) == ("open", "close")


async def test_replies_follow_each_other_and_the_last_may_stay(peer: Peer) -> None:
    once = PeerRule("RCPT", [PeerReply("451 later")], "TO:<c@", stays=False)
    for_good = PeerRule("MAIL", [PeerReply("250 one"), PeerReply("550 no")], "<a@")
    await peer.ask(PeerScript((once, for_good)))
    replies = await peer.said(
        "MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "RCPT TO:<c@d.test>", "RCPT TO:<x@d.test>",
        "MAIL FROM:<a@b.test>", "MAIL FROM:<a@b.test>", "MAIL FROM:<z@b.test>", "QUIT",
    )  # fmt: skip
    assert [reply[:3] for reply in replies[1:]] == [
        "250", "451", "250", "250", "550", "550", "250", "221",
    ]  # fmt: skip


async def test_a_transaction_that_was_refused_goes_no_further(peer: Peer) -> None:
    await peer.ask(PeerScript((PeerRule("MAIL", [PeerReply("451 later")]),)))
    replies = await peer.said(*MAIL, "QUIT")
    assert [reply[:3] for reply in replies] == ["220", "250", "451", "503", "503", "221"]


async def test_a_reply_may_be_of_several_lines_in_pieces(peer: Peer) -> None:
    await peer.ask(PeerScript((PeerRule("NOOP", [PeerReply("250-a\n250 b", pieces=2)]),)))
    assert (await peer.said("NOOP", "QUIT"))[1:3] == ["250-a", "250 b"]


@pytest.mark.parametrize("then", ["cut", "reset"])
async def test_it_may_leave_in_the_place_of_a_reply(peer: Peer, then: str) -> None:
    await peer.ask(PeerScript((PeerRule("DOT", [PeerReply(then=then)]),)))  # type: ignore[arg-type]
    reader, writer = await peer.dial()
    writer.write("\r\n".join([*MAIL, "text", ".", ""]).encode())
    heard = b""
    try:
        while data := await reader.read(1000):
            heard += data
    except ConnectionResetError:
        assert then == "reset"
    writer.close()
    assert b"taken" not in heard
    assert any(one.word == "content" for one in await peer.record())


async def test_what_comes_before_the_reply_that_was_due_is_told(peer: Peer) -> None:
    await peer.ask(PeerScript((PeerRule("MAIL", [PeerReply("250 slow", wait=0.05)]),)))
    await peer.said("MAIL FROM:<a@b.test>", "RCPT TO:<c@d.test>", "QUIT")
    assert [one.text for one in await peer.record() if one.word == "early"] == [
        "RCPT TO:<c@d.test>\r\nQUIT\r\n"
    ]


async def test_it_can_refuse_connections_and_take_them_again(peer: Peer) -> None:
    await peer.ask(PeerScript(listening=False))
    with pytest.raises(ConnectionRefusedError):
        await peer.dial()
    await peer.ask(PeerScript(offers=("SIZE 5",)))
    assert (await peer.said("EHLO c.test", "QUIT"))[1:3] == ["250-p.test", "250 SIZE 5"]


async def test_who_waits_hears_at_once_and_who_waits_in_vain_hears_nothing(peer: Peer) -> None:
    assert await peer.ask(PeerRead(0, 0.01)) == []
    waiting = asyncio.create_task(peer.ask(PeerRead(0, 60.0)))
    await peer.said("QUIT")
    assert (await waiting)[0].word == "open"
