"""SMTP faults over loopback: what each does, on which occasions, and that clearing ends it."""

import asyncio
import ssl
from pathlib import Path

import msgspec
import pytest

from mxlab.plan.tls import Authority
from mxlab_services.errors import ControlError, SpoolError, SpoolFull
from mxlab_services.events import FaultStruck
from mxlab_services.faults.kinds import (
    AnyFault,
    Bandwidth,
    Cut,
    Delay,
    DiskFull,
    Greylist,
    Latency,
    LoseAck,
    MailboxFull,
    ReadOnly,
    Refuse,
    ReplyWith,
    Reset,
    SlowClose,
    Tarpit,
    TlsBroken,
    Verb,
)
from mxlab_services.message import Envelope, Origin, Recipient
from mxlab_services.storage.sqlite.spool import SqliteSpool
from tests.support.edge_lab import CONFIG
from tests.support.fault_lab import ALICE, BOB, OK, EdgeDesk, Talk, edge_desk

GONE = (EOFError, ConnectionError)
STEPS: list[tuple[Verb, list[str]]] = [
    ("EHLO", ["451"]),
    ("MAIL", ["250", "451"]),
    ("RCPT", ["250", "250", "451"]),
    ("DATA", ["250", "250", "250", "451"]),
    ("DOT", ["250", "250", "250", "354", "451"]),
]


@pytest.mark.parametrize(("verb", "codes"), STEPS)
async def test_a_reply_at_a_verb_strikes_the_nth_and_leaves_the_rest(
    verb: Verb, codes: list[str]
) -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(ReplyWith("mx1", verb, 451, "4.7.0", "not now", nth=2))
        assert [await talk.send() for _ in range(3)] == [OK, codes, OK]
        assert len(desk.taken) == 2
        state = await desk.state()
        assert (state.met, state.struck) == (3, 1)
        assert desk.struck() == [("f", "reply", verb)]
        await desk.clear()
        assert await talk.send() == OK


async def test_a_reply_has_its_code_and_words_and_a_reset_of_the_state() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(ReplyWith("mx1", "MAIL", 550, "5.7.1", "go away", first=1))
        await talk.say("EHLO x")
        assert await talk.say(f"MAIL FROM:<{ALICE}>") == "550 5.7.1 go away"
        assert (await talk.say(f"RCPT TO:<{BOB}>"))[:3] == "503"
        assert (await talk.say(f"MAIL FROM:<{ALICE}>"))[:3] == "250"


async def test_a_reply_without_an_enhanced_code_gets_one_where_there_must_be_one() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(ReplyWith("mx1", "EHLO", 550, text="no", first=1), "ehlo")
        await desk.put(ReplyWith("mx1", "MAIL", 450, text="no"), "mail")
        assert await talk.say("EHLO x") == "550 no"
        await talk.say("EHLO x")
        assert await talk.say(f"MAIL FROM:<{ALICE}>") == "450 4.0.0 no"


async def test_a_reply_strikes_the_first_n_only() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(ReplyWith("mx1", "DOT", 452, first=2))
        assert [(await talk.send())[-1] for _ in range(4)] == ["452", "452", "250", "250"]


async def test_chance_is_decided_by_the_seed() -> None:
    async def run() -> list[str]:
        async with edge_desk() as desk, desk.talk() as talk:
            await desk.put(ReplyWith("mx1", "MAIL", 451, chance=0.5))
            return [(await talk.send())[-1] for _ in range(16)]

    first = await run()
    assert set(first) == {"250", "451"}
    assert await run() == first


async def test_a_fault_may_be_for_one_sender_recipient_or_peer() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(ReplyWith("mx1", "RCPT", 450, recipient="BOB@example.test"))
        assert (await talk.send(recipient=BOB))[-1] == "450"
        assert await talk.send(recipient="carol@example.test") == OK
        await desk.clear()
        await desk.put(ReplyWith("mx1", "DOT", 451, sender=""))
        assert (await talk.send(sender=""))[-1] == "451"
        assert await talk.send() == OK
        await desk.put(ReplyWith("mx1", "MAIL", 452, peer="127.0.0.0/8"), "peer")
        await desk.put(ReplyWith("mx1", "EHLO", 454, peer="192.0.2.1"), "other")
        assert await talk.send() == ["250", "452"]
        assert (await desk.state("other")).met == 0


async def test_a_reply_at_connect_and_421_end_the_session() -> None:
    async with edge_desk() as desk:
        await desk.put(ReplyWith("mx1", "CONNECT", 554, "5.3.2", "no service", first=1))
        async with desk.talk("554") as talk:
            assert await talk.reader.read() == b""
        async with desk.talk() as talk:
            await desk.put(ReplyWith("mx1", "MAIL", 421, "4.3.2", "later"), "end")
            await talk.say("EHLO x")
            assert (await talk.say(f"MAIL FROM:<{ALICE}>"))[:3] == "421"
            assert await talk.reader.read() == b""
        await desk.clear("end")
        assert await desk.delivers()


async def _whole(talk: Talk) -> None:
    await talk.reply()
    await talk.send()


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
async def test_a_reset_at_a_verb_is_a_reset(verb: Verb) -> None:
    async with edge_desk() as desk:
        await desk.put(Reset("mx1", verb, nth=1))
        async with desk.talk("") as talk:
            with pytest.raises(ConnectionResetError):
                await _whole(talk)
        assert not desk.taken
        assert desk.struck() == [("f", "reset", verb)]
        assert await desk.delivers()


async def test_a_cut_comes_after_exactly_so_many_bytes() -> None:
    hello = b"EHLO x\r\n"
    async with edge_desk() as desk:
        await desk.put(Cut("mx1", len(hello) + 3, first=1))
        async with desk.talk() as talk:
            talk.writer.write(hello + b"NOO")
            assert (await talk.reply())[:3] == "250"
            talk.writer.write(b"P")
            with pytest.raises(ConnectionResetError):
                await talk.reply()
        assert await desk.delivers()
        await desk.put(Cut("mx1", 0), "at once")
        async with desk.talk() as talk:
            with pytest.raises(ConnectionResetError):
                await talk.say("EHLO x")
        await desk.clear("at once")
        await desk.clear()
        assert await desk.delivers()


async def test_a_lost_ack_is_of_a_message_that_is_durable() -> None:
    async with edge_desk() as desk:
        await desk.put(LoseAck("mx1", nth=2, recipient="@example.test"))
        async with desk.talk() as talk:
            assert await talk.send() == OK
            with pytest.raises(EOFError):
                await talk.send()
        assert len(desk.taken) == 2
        assert desk.struck() == [("f", "lose-ack", "DOT")]
        await desk.clear()
        assert await desk.delivers()


async def test_delays_are_before_the_reply_at_their_verb() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        loop = asyncio.get_running_loop()
        await desk.put(Delay("mx1", "RCPT", 0.2, first=1))
        await talk.say("EHLO x")
        began = loop.time()
        await talk.say(f"MAIL FROM:<{ALICE}>")
        quick = loop.time() - began
        await talk.say(f"RCPT TO:<{BOB}>")
        assert quick < 0.15 < 0.2 <= loop.time() - began
        assert desk.struck() == [("f", "delay", "RCPT")]
        await talk.say(f"RCPT TO:<{BOB}>")
        assert (await desk.state()).met == 2


async def test_a_delay_at_the_dot_is_of_a_message_accepted() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(Delay("mx1", "DOT", 3600))
        sending = asyncio.create_task(talk.send())
        await desk.has_struck.wait()
        assert len(desk.taken) == 1
        closing = asyncio.create_task(desk.edge.close())  # a stop waits for no fault
        assert await sending == OK  # and the client is told even so
        assert (await talk.reply())[:3] == "421"
        await closing


async def test_tarpit_and_latency_are_of_every_reply_and_add_up() -> None:
    async with edge_desk() as desk:
        await desk.put(Tarpit("mx1", 0.01), "tar")
        await desk.put(Latency("mx1", 0.01), "net")
        began = asyncio.get_running_loop().time()
        assert await desk.delivers()
        assert asyncio.get_running_loop().time() - began >= 7 * 0.02
        places = [place for name, _, place in desk.struck() if name == "tar"]
        assert places == ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT", "QUIT"]
        assert (await desk.state("net")).struck == 7


@pytest.mark.parametrize("verb", ["CONNECT", "RCPT", "DOT"])
async def test_who_waits_is_answered_when_the_delay_is_cleared(verb: Verb) -> None:
    async with edge_desk() as desk:
        await desk.put(Delay("mx1", verb, 3600))
        await desk.put(Tarpit("mx1", 0.05), "tar")
        waiting = asyncio.create_task(desk.delivers())
        while not any(fault == "f" for fault, _, _ in desk.struck()):
            desk.has_struck.clear()
            await desk.has_struck.wait()
        await desk.clear()
        async with asyncio.timeout(10):
            assert await waiting


async def test_who_lingers_is_let_go_when_the_slow_close_is_cleared() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(SlowClose("mx1", 3600))
        assert (await talk.say("QUIT"))[:3] == "221"
        await desk.clear()
        async with asyncio.timeout(10):
            assert await talk.reader.read() == b""


async def test_a_greylist_wants_patience_and_exempts() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(Greylist("mx1", 300))
        for _ in range(2):
            assert await talk.send() == ["250", "250", "451"]
        desk.clock.advance(299)
        assert (await talk.send())[-1] == "451"
        desk.clock.advance(1)
        assert await talk.send() == OK
        assert (await talk.send(recipient="carol@example.test"))[-1] == "451"
        assert (await talk.send(sender="eve@client.test"))[-1] == "451"
        await desk.clear()
        await desk.put(Greylist("mx1", 300, ("127.0.0.0/30",)))
        assert await talk.send(sender="new@client.test") == OK


async def test_refuse_closes_the_listener_and_opens_it_again() -> None:
    async with edge_desk() as desk:
        host, _, port = desk.edge.addresses[0].rpartition(":")
        async with desk.talk() as held:
            await desk.put(Refuse("mx1"))
            assert (await held.reply())[:3] == "421"
        for _ in range(2):
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection(host, int(port))
        await desk.put(Refuse("mx1"), "twice")
        await desk.clear()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(host, int(port))
        await desk.clear("twice")
        assert desk.edge.addresses == [f"{host}:{port}"]
        assert await desk.delivers()


async def test_refuse_stays_on_the_board_where_the_port_is_taken_meanwhile() -> None:
    async with edge_desk() as desk:
        host, _, port = desk.edge.addresses[0].rpartition(":")
        await desk.put(Refuse("mx1"))
        thief = await asyncio.start_server(lambda _r, w: w.close(), host, int(port))
        with pytest.raises(ControlError, match="cannot listen again"):
            await desk.clear()
        assert (await desk.state()).fault == Refuse("mx1")
        thief.close()
        await thief.wait_closed()
        assert await desk.clear() == ["f"]
        assert await desk.delivers()


async def test_a_slow_close_keeps_the_connection_after_quit() -> None:
    async with edge_desk() as desk:
        await desk.put(SlowClose("mx1", 0.2, first=1))
        began = asyncio.get_running_loop().time()
        async with desk.talk() as talk:
            assert (await talk.say("QUIT"))[:3] == "221"
            assert asyncio.get_running_loop().time() - began < 0.15
            assert await talk.reader.read() == b""
        assert asyncio.get_running_loop().time() - began >= 0.2
        assert await desk.delivers()


async def test_bandwidth_bounds_what_is_read_and_changes_nothing() -> None:
    async with edge_desk() as desk:
        loop = asyncio.get_running_loop()
        await desk.put(Bandwidth("mx1", 100_000))
        body = "\r\n".join(["x" * 70] * 500)
        async with desk.talk() as talk:
            for line in ("EHLO x", f"MAIL FROM:<{ALICE}>", f"RCPT TO:<{BOB}>", "DATA"):
                await talk.say(line)
            began = loop.time()
            assert (await talk.say(f"{body}\r\n."))[:3] == "250"
            assert loop.time() - began >= len(body) / 100_000
        assert (await desk.state()).struck == 1
        await desk.clear()
        assert await desk.delivers()


async def test_bandwidth_holds_the_end_of_the_stream_back_too() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(Bandwidth("mx1", 2000))
        talk.writer.write(b"NOOP\r\n" * 30)
        talk.writer.write_eof()
        async with asyncio.timeout(10):
            assert (await talk.reader.read()).count(b"250 ") == 30


async def _shake(desk: EdgeDesk, ca: str) -> str:
    """Whether the handshake goes well, for a client who knows the lab's CA."""
    context = ssl.create_default_context(cadata=ca)
    async with desk.talk() as talk:
        await talk.say("EHLO x")
        assert (await talk.say("STARTTLS"))[:3] == "220"
        try:
            async with asyncio.timeout(10):
                await talk.writer.start_tls(context, server_hostname="mx1.example.test")
        except ssl.SSLCertVerificationError as error:
            talk.broken = True
            return error.verify_message
        except GONE:
            talk.broken = True
            return "cut"
        return (await talk.say("EHLO x"))[:3]


async def test_tls_breaks_by_certificate_or_cut_and_is_whole_again() -> None:
    authority = Authority("t")
    good = authority.issue(["mx1.example.test"], "127.0.0.1")
    wrong = authority.issue(["other.test"], "127.0.0.2")
    async with edge_desk(msgspec.structs.replace(CONFIG, tls=good)) as desk:
        assert await _shake(desk, good.ca) == "250"
        once = TlsBroken("mx1", "wrong-name", first=1)
        await desk.put(once, pem=(wrong.certificate, wrong.key))
        assert "mismatch" in await _shake(desk, good.ca)
        assert await _shake(desk, good.ca) == "250"
        await desk.clear()
        await desk.put(TlsBroken("mx1", "handshake-cut"))
        assert await _shake(desk, good.ca) == "cut"
        await desk.clear()
        assert await _shake(desk, good.ca) == "250"
        with pytest.raises(ControlError, match="no usable certificate"):
            await desk.put(TlsBroken("mx1", "expired"), pem=("nothing", "nothing"))
        await desk.put(ReplyWith("mx1", "STARTTLS", 454, "4.7.0"))
        async with desk.talk() as talk:
            await talk.say("EHLO x")
            assert (await talk.say("STARTTLS"))[:3] == "454"


@pytest.mark.parametrize(
    ("fault", "code", "error"),
    [(DiskFull("mx1"), "452", SpoolFull), (ReadOnly("mx1"), "451", SpoolError)],
)
async def test_a_broken_disk_refuses_messages_and_deliveries(
    fault: AnyFault, code: str, error: type[SpoolError]
) -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(fault)
        assert (desk.disk.full, desk.disk.read_only) == (code == "452", code == "451")
        assert (await talk.send())[-1] == code
        with pytest.raises(error):
            await desk.mailboxes.deliver(BOB, b"x", 0.0)
        assert (await desk.state()).struck == 2
        await desk.clear()
        assert (desk.disk.full, desk.disk.read_only) == (False, False)
        assert await talk.send() == OK
        assert await desk.mailboxes.deliver(BOB, b"x", 0.0)


@pytest.mark.parametrize(("fault", "code"), [(DiskFull("mx1"), "452"), (ReadOnly("mx1"), "451")])
async def test_the_disk_of_a_real_spool_breaks_and_is_whole_again(
    fault: AnyFault, code: str, tmp_path: Path
) -> None:
    spool = await SqliteSpool.open(tmp_path / "spool.db")
    async with edge_desk(spool=spool) as desk, desk.talk() as talk:
        await desk.put(fault)
        assert (await talk.send())[-1] == code
        if code == "451":
            with pytest.raises(SpoolError):  # and not by the guard at the edge alone
                await desk.mta.queue.intake(Envelope(ALICE, (Recipient(BOB),)), b"x", Origin(""))
        assert await spool.count() == 0
        await desk.clear()
        assert await talk.send() == OK
        assert await spool.count() == 1
    await spool.close()


async def test_a_full_mailbox_is_that_of_one_address() -> None:
    async with edge_desk() as desk:
        await desk.put(MailboxFull("mx1", BOB, first=1))
        with pytest.raises(SpoolFull, match=r"mailbox of bob@example\.test is full"):
            await desk.mailboxes.deliver(BOB, b"x", 0.0)
        await desk.mailboxes.deliver("carol@example.test", b"x", 0.0)
        await desk.mailboxes.deliver(BOB, b"x", 0.0)
        assert len(await desk.mailboxes.read(BOB)) == 1


async def test_struck_events_name_the_peer() -> None:
    async with edge_desk() as desk, desk.talk() as talk:
        await desk.put(LoseAck("mx1"))
        with pytest.raises(GONE):
            await talk.send()
        told = [body for body in desk.events if isinstance(body, FaultStruck)]
        assert told == [FaultStruck("f", "lose-ack", "DOT", "127.0.0.1")]
