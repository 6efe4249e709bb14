"""The edge over loopback: what a dialog file cannot say (bytes, timing, lost clients, events)."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from aiosmtpd import smtp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mxlab_services.config import Limits, MxConfig, Timeouts, TlsConfig
from mxlab_services.errors import SpoolError, SpoolFull
from mxlab_services.events import Body, Refused
from mxlab_services.mta.edge import Edge
from mxlab_services.mta.received import received_field
from mxlab_services.mta.smtp_server import _VERBS, Session
from mxlab_services.mta.types import Envelope, Origin

CONFIG = MxConfig(
    node="mx1",
    address="127.0.0.1",
    hostname="mx1.example.test",
    dns="127.0.0.1",
    smtp_port=0,
    local_domains=["example.test"],
    networks=[],
)
OPENING = b"EHLO c.test\r\nMAIL FROM:<a@c.test>\r\nRCPT TO:<b@example.test>\r\nDATA\r\n"
Taken = tuple[Envelope, bytes, Origin]


class Desk:
    """An edge, what it took and what it told."""

    def __init__(self, config: MxConfig) -> None:
        self.taken: list[Taken] = []
        self.events: list[Body] = []
        self.before: Callable[[], Awaitable[None]] | None = None
        self.edge = Edge(config, self.accept, self.emit)

    async def accept(self, envelope: Envelope, content: bytes, origin: Origin) -> str:
        if self.before is not None:
            await self.before()
        self.taken.append((envelope, content, origin))
        return f"Q{len(self.taken)}"

    def emit(self, body: Body, message: str | None = None) -> None:
        self.events.append(body)

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self.edge.addresses[0].rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def is_free(self) -> bool:
        """Whether the edge greets one more client, which then leaves in good order."""
        reader, writer = await self.connect()
        greeted = (await reader.readline()).startswith(b"220")
        if greeted:
            writer.write(b"QUIT\r\n")
            await reader.read()
        writer.close()
        await writer.wait_closed()
        return greeted

    async def say(self, data: bytes) -> list[str]:
        """Write `data`, close that half, and answer every line that comes back."""
        reader, writer = await self.connect()
        writer.write(data)
        writer.write_eof()
        async with asyncio.timeout(10):
            lines = (await reader.read()).decode().splitlines()
        writer.close()
        await writer.wait_closed()
        return lines


@asynccontextmanager
async def desk(config: MxConfig = CONFIG, **limits: int) -> AsyncIterator[Desk]:
    made = Desk(msgspec.structs.replace(config, limits=Limits(**limits)))
    await made.edge.start()
    try:
        yield made
    finally:
        await made.edge.close()


def test_every_hook_is_known_to_aiosmtpd_or_declared() -> None:
    made = {name for name in vars(Session) if name.startswith(("smtp_", "handle_", "auth_"))}
    assert made == set()  # commands are answered from our own table
    used = {"push", "_handle_client", "_reset_timeout", "_timeout_cb", "smtp_STARTTLS"}
    assert used <= set(dir(smtp.SMTP))
    answered = {name for name in vars(Session) if name.startswith("on_")}
    assert answered == {method.__name__ for method in _VERBS.values()}


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
        asked, go = asyncio.Event(), asyncio.Event()

        async def hold() -> None:
            asked.set()
            await go.wait()

        made.before = hold
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


async def test_b7_starttls_forgets_what_came_before(
    lab_tls: tuple[ssl.SSLContext, ssl.SSLContext],
) -> None:
    from mxlab.tls import Authority

    issued = Authority("test").issue(["mx1.example.test"], "127.0.0.1")
    tls = TlsConfig(issued.certificate, issued.key, issued.ca)
    async with desk(msgspec.structs.replace(CONFIG, tls=tls)) as made:
        reader, writer = await made.connect()
        writer.write(b"EHLO c.test\r\nSTARTTLS\r\n")
        await reader.readuntil(b"220 2.0.0 Ready to start TLS\r\n")
        context = ssl.create_default_context(cadata=issued.ca)
        await writer.start_tls(context, server_hostname="mx1.example.test")
        writer.write(b"MAIL FROM:<>\r\n")
        assert (await reader.readline()).startswith(b"503")
        writer.write(OPENING + b"x\r\n.\r\nQUIT\r\n")
        said = await reader.readuntil(b"221 2.0.0 bye\r\n")
        assert b"STARTTLS" not in said
        assert made.taken[0][2].protocol == "ESMTPS"
        writer.close()
        await writer.wait_closed()


def test_received_names_a_single_recipient_and_stays_narrow() -> None:
    origin = Origin("192.0.2.1", "c.test", "ESMTP")
    field = received_field("mx1.example.test", origin, "Q1", 0.0, "b@example.test")
    assert b"from c.test ([192.0.2.1])" in field
    assert b"for <b@example.test>;" in field
    assert field.endswith(b"Thu, 01 Jan 1970 00:00:00 +0000\r\n")
    assert all(len(line) < 78 for line in field.split(b"\r\n"))


VERBS = [b"EHLO", b"MAIL FROM:", b"RCPT TO:", b"DATA", b"ETRN", b"VRFY", b"NOOP", b"RSET", b""]
LINES: Any = st.tuples(
    st.sampled_from(VERBS), st.binary(max_size=60), st.sampled_from([b"\r\n", b"\n"])
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(lines=st.lists(LINES, max_size=8))
def test_no_input_makes_a_traceback(lines: list[tuple[bytes, bytes, bytes]]) -> None:
    async def talk() -> None:
        async with desk() as made:
            data = b"".join(verb + b" " + text + end for verb, text, end in lines)
            for line in await made.say(b"HELO c\r\nMAIL FROM:<>\r\n" + data):
                assert line[:1] in "245" or line[:3] == "354"
                assert not line.startswith("451"), line

    asyncio.run(talk())
