"""The edge over loopback: what a dialog file cannot say (bytes, timing, lost clients, events)."""

import asyncio

import msgspec
import pytest

from mxlab_services.config import Timeouts
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.events import Body, Refused
from mxlab_services.message import Origin
from mxlab_services.queue.received import received_field
from mxlab_services.smtp.server.session import VERBS, ServerSession
from tests.support.edge_lab import CONFIG, OPENING, desk


def test_each_method_for_a_command_is_in_the_table() -> None:
    answered = {name for name in vars(ServerSession) if name.startswith("on_")}
    assert answered == {VERBS[verb] for verb in VERBS if verb not in ServerSession.absent}


async def test_b6_a_bare_lf_never_ends_the_data_and_is_refused() -> None:
    for sly in (b"a\n.\nMAIL FROM:<x@c.test>\r\n", b"a\n.\r\nb\r\n", b"a\r.\r\nb\r\n", b"a\r\r\n"):
        async with desk() as made:
            lines = await made.say(OPENING + sly + b".\r\nQUIT\r\n")
            assert lines[-2].startswith("550 5.5.2"), lines
            assert lines[-1].startswith("221")
            assert not made.taken


async def test_b7_pipelined_transactions_and_dot_stuffing() -> None:
    async with desk() as made:
        twice = OPENING[13:]
        data = OPENING + b"..\r\n..x\r\n.\r\n" + twice + b".\r\n" + b"QUIT\r\n"
        lines = await made.say(data)
        assert [content for _, content, _ in made.taken] == [b".\r\n.x\r\n", b""]
        assert lines[-1].startswith("221")


async def test_b7_the_end_of_data_may_come_in_any_pieces() -> None:
    async with desk() as made:
        reader, writer = await made.connect()
        for byte in OPENING + b"x\r\n.y\r\n.\r\nQUIT\r\n":
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        async with asyncio.timeout(10):
            assert b"queued as Q1" in await reader.read()
        writer.close()
        await writer.wait_closed()
        assert made.taken[0][1] == b"x\r\ny\r\n"


@pytest.mark.parametrize(
    ("error", "reply"), [(SpoolFull("full"), "452 4.3.1"), (SpoolError("bad"), "451 4.3.0")]
)
async def test_b4_no_250_when_the_spool_refuses(error: SpoolError, reply: str) -> None:
    async def refuse() -> None:
        raise error

    async with desk() as made:
        made.before = refuse
        lines = await made.say(OPENING + b"x\r\n.\r\nQUIT\r\n")
        assert lines[-2].startswith(reply)
        refused = made.events[-1]
        assert isinstance(refused, Refused)
        assert (refused.verb, refused.peer) == ("DATA", "127.0.0.1")


async def test_b4_the_250_waits_for_accept() -> None:
    async with desk() as made:
        asked, go = made.hold()
        talk = asyncio.create_task(made.say(OPENING + b"x\r\n.\r\nQUIT\r\n"))
        await asked.wait()
        assert not talk.done()
        assert not made.taken
        go.set()
        assert "250 2.0.0 Ok: queued as Q1" in await talk


async def test_b5_a_hundred_recipients_are_taken() -> None:
    async with desk() as made:
        many = b"".join(b"RCPT TO:<u%d@example.test>\r\n" % n for n in range(99))
        await made.say(OPENING[:-6] + many + b"DATA\r\nx\r\n.\r\nQUIT\r\n")
        assert len(made.taken[0][0].recipients) == 100


async def test_e1_peers_of_submission_networks_send_anywhere() -> None:
    config = msgspec.structs.replace(CONFIG, submission_networks=["127.0.0.0/8"])
    async with desk(config) as made:
        lines = await made.say(OPENING.replace(b"example.test", b"far.test") + b"x\r\n.\r\n")
        assert any("queued as" in line for line in lines)


async def test_e1_a_refusal_is_an_event_with_its_recipient() -> None:
    async with desk() as made:
        await made.say(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<x@far.test>\r\nQUIT\r\n")
        (refused,) = made.events
        assert isinstance(refused, Refused)
        assert (refused.verb, refused.recipient) == ("RCPT", "x@far.test")


async def test_a_long_orcpt_fits_into_a_command() -> None:
    async with desk() as made:
        long = b"RCPT TO:<c@example.test> ORCPT=rfc822;" + b"x" * 480 + b"\r\n"
        lines = await made.say(OPENING[:-6] + long + b"NOOP " + b"x" * 3000 + b"\r\nQUIT\r\n")
        assert lines[-3].startswith("250 2.1.5")
        assert lines[-2].startswith("500 5.5.2")


async def test_a_long_helo_cannot_make_a_long_received_line() -> None:
    async with desk() as made:
        lines = await made.say(b"EHLO " + b"x" * 1500 + b"\r\nQUIT\r\n")
        assert lines[1].startswith("501 5.5.4")


async def test_sessions_beyond_the_limit_get_421() -> None:
    async with desk(sessions=1) as made:
        reader, writer = await made.connect()
        await reader.readline()
        assert (await made.say(b""))[0].startswith("421 4.3.2")
        assert isinstance(made.events[-1], Refused)
        writer.close()
        await writer.wait_closed()


async def test_a_client_that_disappears_is_no_refusal_and_leaves_nothing() -> None:
    async with desk(sessions=1) as made:
        for lost in (b"", b"HELO c\r\n", OPENING, OPENING + b"half a line"):
            reader, writer = await made.connect()
            writer.write(lost)
            await reader.readline()
            writer.transport.abort()
            async with asyncio.timeout(10):
                while not await made.is_free():
                    made.events.clear()
        assert not made.taken
        assert not made.events


async def test_an_idle_client_gets_421() -> None:
    config = msgspec.structs.replace(CONFIG, timeouts=Timeouts(idle=0.05))
    async with desk(config) as made:
        reader, writer = await made.connect()
        async with asyncio.timeout(10):
            assert b"421 4.4.2" in await reader.read()
        writer.close()
        await writer.wait_closed()


def test_received_names_a_single_recipient_and_stays_narrow() -> None:
    origin = Origin("192.0.2.1", "c.test", "ESMTP")
    field = received_field("mx1.example.test", origin, "Q1", 0.0, "b@example.test")
    assert b"from c.test ([192.0.2.1])" in field
    assert b"for <b@example.test>;" in field
    assert field.endswith(b"Thu, 01 Jan 1970 00:00:00 +0000\r\n")
    assert all(len(line) < 78 for line in field.split(b"\r\n"))


def test_received_survives_any_helo() -> None:
    for helo in ("x" * 2000, "a b\r\nc", "\udcff", "(;"):
        field = received_field(
            "mx1.example.test", Origin("192.0.2.1", helo, "SMTP"), "Q", 0.0, None
        )
        assert all(len(line) <= 998 for line in field.split(b"\r\n"))
        assert field.count(b"\n") == 3
        assert field.isascii()


async def test_b6_commands_with_a_bare_lf_or_cr_are_refused() -> None:
    async with desk() as made:
        lines = await made.say(b"NOOP\nNOOP\r\nNO\rOP\r\nNOOP \r\r\n\nQUIT\r\n")
        assert [line[:9] for line in lines[1:]] == [
            "500 5.5.2", "250 2.0.0", "500 5.5.2", "500 5.5.2", "500 5.5.2", "221 2.0.0",
        ]  # fmt: skip


async def test_b6_a_smuggled_message_stays_within_the_first() -> None:
    sly = b"x\n.\r\nMAIL FROM:<x@c.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\nsmuggled\r\n.\r\n"
    for end in (b"\n.\r\n", b"\r\n.\n", b"\r.\r\n", b"\n.\n", b"\r.\r"):
        async with desk() as made:
            lines = await made.say(OPENING + sly.replace(b"\n.\r\n", end, 1) + b"QUIT\r\n")
            assert [line[:3] for line in lines[-3:]] == ["354", "550", "221"], end
            assert not made.taken


async def test_b7_replies_to_pipelined_commands_come_in_order() -> None:
    async with desk() as made:
        lines = await made.say(
            b"EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<x@far.test>\r\n"
            b"RCPT TO:<b@example.test>\r\nDATA\r\nhello\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n"
        )
        begin = lines.index("250 HELP") + 1
        codes = [line[:3] for line in lines[begin:]]
        assert codes == ["250", "550", "250", "354", "250", "250", "250", "221"]
        assert [r.address for r in made.taken[0][0].recipients] == ["b@example.test"]


async def test_b7_size_counts_the_content_without_its_stuffing() -> None:
    dots = b".\r\n" * 40
    async with desk(message_size=len(dots)) as made:
        await made.say(OPENING + b".".join([b"", *[b".\r\n"] * 40]) + b".\r\nQUIT\r\n")
        assert made.taken[0][1] == dots
        lines = await made.say(OPENING + dots.replace(b".", b"x") + b"x\r\n.\r\nQUIT\r\n")
        assert lines[-2].startswith("552 5.3.4")


async def test_c4_etrn_with_an_at_means_the_domains_below_too() -> None:
    config = msgspec.structs.replace(
        CONFIG, relay_domains=["b.test", "x.b.test", "a.x.b.test", "xb.test"]
    )
    async with desk(config) as made:
        lines = await made.say(
            b"EHLO c\r\nETRN @X.b.test.\r\nETRN x.b.test\r\nETRN #q\r\nETRN @no.test\r\nQUIT\r\n"
        )
        assert made.flushed == ["a.x.b.test", "x.b.test", "x.b.test"]
        assert [line[:9] for line in lines[-5:-1]] == [
            "253 2.0.0", "253 2.0.0", "459 4.7.1", "459 4.7.1",
        ]  # fmt: skip


async def test_c4_etrn_on_a_spool_that_fails_is_458() -> None:
    async with desk() as made:

        async def fail(domain: str) -> int:
            raise SpoolError("gone")

        made.edge.flush = fail
        lines = await made.say(b"EHLO c\r\nETRN example.test\r\nQUIT\r\n")
        assert lines[-2].startswith("458 4.3.0")


async def test_a_bug_costs_one_command_not_the_session(caplog: pytest.LogCaptureFixture) -> None:
    async def bug() -> None:
        raise ZeroDivisionError("a bug")

    async with desk() as made:
        made.before = bug
        lines = await made.say(OPENING + b"x\r\n.\r\nRSET\r\nQUIT\r\n")
        assert [line[:3] for line in lines[-3:]] == ["451", "250", "221"]
        assert "a bug" in caplog.text


async def test_a_bug_outside_a_command_ends_the_session(caplog: pytest.LogCaptureFixture) -> None:
    async with desk() as made:

        def bug(body: Body, message: str | None = None) -> None:
            raise ZeroDivisionError("a bug")

        made.edge.emit = bug
        assert len(await made.say(b"BOGUS\r\nNOOP\r\n")) == 2
        made.edge.emit = made.emit
        assert await made.is_free()
        assert "a bug" in caplog.text
