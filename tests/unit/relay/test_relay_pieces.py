"""A reply is complete when its last line is (RFC 5321 §4.2.1), in whatever pieces TCP brings it."""

import asyncio
import re
import ssl
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from mxlab.plan.tls import Authority
from mxlab_services.config import TlsConfig
from mxlab_services.queue.ports import Deferred, Delivered, Failed
from mxlab_services.reply import Reply
from mxlab_services.smtp.client.dialog import Dialog
from tests.support.relay_lab import RelayLab
from tests.support.sim_relay import BOB, CAROL, CONTENT, RFC, SimRelay
from tests.support.smtp_sink import PAUSE, Sink

Pieces = Callable[[bytes], Sequence[bytes]]
THREE_LINES = "250-2.1.5 first\r\n250-2.1.5 second\r\n250 2.1.5 third"
VERBS = ("greeting", "EHLO", "MAIL", "RCPT", "DATA", "dot")
EXTENSIONS = pytest.mark.parametrize(
    "extensions", [("PIPELINING", "SIZE"), ("8BITMIME",)], ids=["pipelined", "serial"]
)
WAYS: dict[str, Pieces] = {
    "byte by byte": lambda reply: [reply[n : n + 1] for n in range(len(reply))],
    "line by line": lambda reply: reply.splitlines(keepends=True),
    "between CR and LF": lambda reply: re.findall(rb"\n?[^\n]+|\n", reply),
    "within the code": lambda reply: [reply[:2], reply[2:]],
    "after the code": lambda reply: [reply[:3], reply[3:]],
    "within the last line": lambda reply: [reply[:-4], reply[-4:]],
    "all but LF": lambda reply: [reply[:-1], reply[-1:]],
}
ALL_WAYS = pytest.mark.parametrize("way", WAYS)


def sink(way: str, *verbs: str, **options: Any) -> Sink:
    """A host that writes its replies to `verbs` (all, unless given) in pieces."""

    def cut(verb: str, reply: bytes) -> Sequence[bytes]:
        return WAYS[way](reply) if not verbs or verb in verbs else [reply]

    return Sink(cut=cut, **options)


def test_the_ways_leave_nothing_out() -> None:
    reply = f"{THREE_LINES}\r\n".encode()
    assert all(b"".join(way(reply)) == reply and len(way(reply)) > 1 for way in WAYS.values())


@ALL_WAYS
@EXTENSIONS
def test_b7_every_reply_in_pieces_is_one_delivery(way: str, extensions: Sequence[str]) -> None:
    peer = sink(way, extensions=extensions, script={"RCPT": [THREE_LINES]})
    world = SimRelay(peer)
    assert all(isinstance(result, Delivered) for result in world.run(world.send))
    assert len(peer.received) == 1
    assert peer.received[0].content == CONTENT
    [tried] = world.tried
    assert tried.stage == "done"
    assert "S: 250-2.1.5 second" in tried.dialog


@EXTENSIONS
@pytest.mark.parametrize("verb", VERBS)
def test_b7_a_reply_to_one_verb_alone_in_pieces(verb: str, extensions: Sequence[str]) -> None:
    peer = sink("within the last line", verb, extensions=extensions)
    world = SimRelay(peer)
    [result] = world.run(world.send)
    assert isinstance(result, Delivered)
    assert (len(peer.received), peer.connections) == (1, 1)


def test_b7_ehlo_falls_back_to_helo_and_both_replies_come_in_pieces() -> None:
    peer = sink("byte by byte", script={"EHLO": ["500-5.5.1 what\r\n500 5.5.1 is that?"]})
    world = SimRelay(peer)
    assert isinstance(world.run(world.send)[0], Delivered)
    assert peer.commands("HELO") == ["HELO client.test"]


class Raw:
    """A host that says the replies to all that is pipelined up to DATA in pieces of `size`."""

    REPLIES = b"250 2.1.0 ok\r\n550 5.1.1 nobody\r\n250-2.1.5 fine\r\n250 2.1.5 ok\r\n354 go on\r\n"

    def __init__(self, size: int) -> None:
        self._size = size
        self.content = b""

    async def start(self, address: str, port: int = 0) -> None:
        self._server = await asyncio.start_server(self._talk, address, port)

    async def stop(self) -> None:
        self._server.close()

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 raw\r\n")
        await reader.readuntil(b"\r\n")
        writer.write(b"250-raw\r\n250 PIPELINING\r\n")
        await reader.readuntil(b"DATA\r\n")
        for start in range(0, len(self.REPLIES), self._size):
            writer.write(self.REPLIES[start : start + self._size])
            await asyncio.sleep(PAUSE)
        self.content = await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 2.0.0 taken\r\n")
        await reader.readuntil(b"QUIT\r\n")
        writer.close()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 13, 17, 31, 64])
def test_b7_a_piece_may_hold_the_end_of_one_pipelined_reply_and_the_start_of_the_next(
    size: int,
) -> None:
    peer = Raw(size)
    world = SimRelay(peer)
    refused, taken = world.run(lambda: world.send(CAROL, BOB))
    assert isinstance(refused, Failed)
    assert isinstance(taken, Delivered)
    assert peer.content == CONTENT + b".\r\n"


@ALL_WAYS
def test_b7_starttls_and_all_after_it_in_pieces(way: str, tmp_path: Path) -> None:
    issued = Authority("test").issue(["mx1.example.test"], "10.0.0.1")
    chain = tmp_path / "chain.pem"
    chain.write_text(issued.certificate + issued.key)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(chain)
    peer = sink(way, extensions=["STARTTLS", "PIPELINING"], tls=server)
    world = SimRelay(peer, tls=TlsConfig("", "", issued.ca))
    assert isinstance(world.run(world.send)[0], Delivered)
    assert peer.connections == 1
    [tried] = world.tried
    assert any("certificate verified" in line for line in tried.dialog)


@ALL_WAYS
def test_c4_the_reply_to_etrn_in_pieces(way: str) -> None:
    peer = sink(way, script={"ETRN": ["253-2.0.0 so\r\n253 2.0.0 many"]})
    world = SimRelay(peer)

    async def story() -> tuple[Reply, list[str]]:
        dialog = Dialog()
        place = "mx1.example.test", "10.0.0.1", "example.test"
        return await world.relay.etrn(*place, dialog), dialog

    reply, dialog = world.run(story)
    assert reply == Reply(253, "2.0.0", "so many")
    assert "S: 253-2.0.0 so" in dialog


@ALL_WAYS
def test_quit_waits_for_all_of_its_reply_before_it_closes(way: str) -> None:
    peer = sink(way, script={"QUIT": ["221-2.0.0 well\r\n221 2.0.0 bye"]})
    world = SimRelay(peer)

    async def story() -> list[str]:
        dialog = Dialog()
        await world.relay.etrn("mx1.example.test", "10.0.0.1", "example.test", dialog)
        await peer.all_closed()
        return dialog

    assert world.run(story)[-3:] == ["C: QUIT", "S: 221-2.0.0 well", "S: 221 2.0.0 bye"]


def test_a_kept_connection_on_which_half_a_reply_came_unasked_is_not_used_again() -> None:
    """421 as a server leaves: its first bytes would become the start of the reply to MAIL."""

    def cut(verb: str, reply: bytes) -> Sequence[bytes]:
        return [reply.removesuffix(b"\r\n")] if b"421" in reply else [reply]

    peer = Sink({"dot": ["250 2.0.0 taken\r\n421 4.4", "250 2.0.0 Ok: queued"]}, cut=cut)
    world = SimRelay(peer)

    async def story() -> list[object]:
        return [*await world.send(), *await world.send()]

    assert [type(result) for result in world.run(story)] == [Delivered, Delivered]
    mails = [number for number, line in peer.lines if line.startswith("MAIL")]
    assert mails == [1, 2]


@pytest.mark.parametrize("verb", ["greeting", "EHLO", "MAIL", "DATA", "dot"])
def test_a_reply_whose_last_line_never_comes_is_awaited_for_its_whole_time(verb: str) -> None:
    within = {"dot": RFC.dot, "DATA": RFC.data}.get(verb, RFC.mail)
    peer = Sink({verb: ["250-2.0.0 more to come|hang"]})
    world = SimRelay(peer)
    [result] = world.run(world.send)
    assert isinstance(result, Deferred)
    assert result.unknown == (verb == "dot")
    assert f"no reply within {within:g} s with mx1.example.test[10.0.0.1]:25" in result.reply.text
    [tried] = world.tried
    assert within <= tried.seconds < within + 1


def test_the_time_for_a_reply_is_for_all_of_it() -> None:
    """A peer that trickles its reply byte by byte gets no more time than one that is silent."""
    reply = "250 2.0.0 " + "x" * int(RFC.dot / PAUSE)
    peer = sink("byte by byte", "dot", script={"dot": [reply]})
    world = SimRelay(peer)
    [result] = world.run(world.send)
    assert isinstance(result, Deferred)
    assert result.unknown
    assert f"no reply within {RFC.dot:g} s" in result.reply.text


@pytest.mark.parametrize("end", ["cut", "reset"])
def test_half_a_reply_to_the_final_dot_and_then_the_end_is_unknown(end: str) -> None:
    """A line without its end is none: 25 may have become 250 or 251, or 5yz for that matter."""

    def cut(verb: str, reply: bytes) -> Sequence[bytes]:
        return [b"2", b"5", b"0 2.0.0 tak"] if verb == "dot" else [reply]

    peer = Sink({"dot": [f"250 2.0.0 taken|{end}"]}, cut=cut)
    world = SimRelay(peer)
    [result] = world.run(world.send)
    assert isinstance(result, Deferred)
    assert result.unknown
    assert "lost connection with mx1" in result.reply.text


class Stock:
    """A stock aiosmtpd server: it writes each line of its reply to EHLO by itself."""

    def __init__(self) -> None:
        self.received: list[bytes] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802
        self.received.append(envelope.content)
        return "250 OK"

    async def start(self, address: str, port: int = 0) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: SMTP(self, hostname="b.test", loop=loop), address, port
        )
        self.port: int = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        self._server.close()


@pytest.mark.parametrize("seed", range(10))
def test_a_stock_aiosmtpd_server_takes_mail_at_the_first_attempt(seed: int) -> None:
    peer = Stock()
    world = SimRelay(peer, seed=seed)
    assert isinstance(world.run(world.send)[0], Delivered)
    assert peer.received == [CONTENT]
    assert [tried.stage for tried in world.tried] == ["done"]


async def test_a_stock_aiosmtpd_server_on_real_sockets() -> None:
    """In a thread of its own, so that its lines reach the relay while it waits for them."""
    lab, peer = RelayLab(), Stock()
    lab.sinks.append(None)
    ready: Future[int] = Future()
    over = threading.Event()

    async def serve() -> None:
        await peer.start("127.77.0.1")
        ready.set_result(peer.port)
        await asyncio.to_thread(over.wait)
        await peer.stop()

    server = asyncio.create_task(asyncio.to_thread(asyncio.run, serve()))
    try:
        lab.port = await asyncio.wrap_future(ready)
        for _ in range(30):
            assert isinstance(await lab.one(), Delivered)
            lab.relay.renew()  # a new connection: EHLO again
        assert len(peer.received) == 30
        assert [tried.stage for tried in lab.tried] == ["done"] * 30
    finally:
        await lab.close()
        over.set()
        await server
