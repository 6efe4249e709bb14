"""Submission: TLS, then AUTH, then mail (RFC 6409, RFC 4954, RFC 8314), as a client sees it."""

import asyncio
import base64
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from mxlab.backends.sim.loop import HostLife, SimLoop
from mxlab.backends.sim.network import Network
from mxlab_services.events import Refused
from tests.support.submission_lab import SECRET, Server

MAIL = b"MAIL FROM:<a@client.test>\r\n"
MESSAGE = MAIL + b"RCPT TO:<x@elsewhere.test>\r\nDATA\r\n"


def b64(text: str) -> bytes:
    return base64.b64encode(text.encode())


GOOD = b"AUTH PLAIN " + b64(f"\0alice\0{SECRET}") + b"\r\n"
BAD = b"AUTH PLAIN " + b64("\0alice\0queen") + b"\r\n"


@asynccontextmanager
async def server(
    idle: float = 300.0, senders: dict[str, list[str]] | None = None
) -> AsyncIterator[Server]:
    made = Server(idle, senders=senders)
    await made.edge.start()
    try:
        yield made
    finally:
        await made.edge.close()
        assert SECRET not in repr(made.events)


@pytest.mark.parametrize("implicit", [False, True])
async def test_a_known_client_submits_to_anybody(implicit: bool) -> None:
    async with server() as made, made.session(implicit=implicit) as talk:
        assert "AUTH SCRAM-SHA-256 PLAIN LOGIN" in talk.told
        assert "STARTTLS" not in talk.told
        assert await talk.say(GOOD) == "235 2.7.0 Authentication successful"
        codes = [one[:3] for one in await talk.all(MESSAGE, 3)]
        assert codes == ["250", "250", "354"]
        assert (await talk.say(b"Subject: tea\r\n\r\nAt six.\r\n.\r\n")).startswith("250 2.0.0 ")
        _, content, origin = made.taken[0]
        assert origin.protocol == "ESMTPSA"
        assert content == (
            b"Date: Tue, 01 Jan 2030 00:00:00 +0000\r\n"
            b"Message-ID: <" + content.partition(b"<")[2].partition(b">")[0] + b">\r\n"
            b"Subject: tea\r\n\r\nAt six.\r\n"
        )


async def test_what_a_message_has_is_left_and_what_it_lacks_is_added() -> None:
    async with server() as made, made.session() as talk:
        await talk.say(GOOD)
        for content in (
            b"message-id: <1@c>\r\nDATE: now\r\n\r\nx\r\n",
            b"\r\nx\r\n",
            b"hello you\r\n",
        ):
            await talk.all(MESSAGE, 3)
            await talk.say(content + b".\r\n")
        whole, empty, text = (content for _, content, _ in made.taken)
        assert whole == b"message-id: <1@c>\r\nDATE: now\r\n\r\nx\r\n"
        assert empty.partition(b"\r\n\r\n")[2] == b"x\r\n"
        assert text.partition(b"\r\n\r\n")[2] == b"hello you\r\n"
        assert empty.startswith(b"Date: ")
        assert b"Message-ID: <" in text


async def test_nothing_but_the_way_to_tls_before_tls() -> None:
    async with server() as made, made.session(tls=False) as talk:
        assert "AUTH" not in talk.told
        assert "STARTTLS" in talk.told
        assert await talk.say(GOOD) == "538 5.7.11 Encryption required: STARTTLS first"
        assert await talk.say(MAIL) == "530 5.7.0 Must issue a STARTTLS command first"
        assert (await talk.say(b"NOOP\r\n")).startswith("250")


async def test_nothing_is_submitted_without_auth() -> None:
    async with server() as made, made.session() as talk:
        assert await talk.say(MAIL) == "530 5.7.0 Authentication required"
        assert (await talk.say(b"RCPT TO:<b@example.test>\r\n")).startswith("503")
        assert not made.taken


async def test_auth_has_its_time_and_its_form() -> None:
    async with server() as made, made.session() as talk:
        for said, code in {
            b"AUTH\r\n": "501 5.5.4",
            b"AUTH CRAM-MD5\r\n": "504 5.5.4",
            b"AUTH SCRAM-SHA-256-PLUS\r\n": "504 5.5.4",
            b"AUTH PLAIN ???\r\n": "501 5.5.2",
            b"AUTH PLAIN =\r\n": "501 5.5.2",
            b"AUTH PLAIN AGE=\r\n": "501 5.5.2",
        }.items():
            assert (await talk.say(said)).startswith(code), said
        assert await talk.say(b"AUTH PLAIN\r\n") == "334 "
        assert (await talk.say(b"*\r\n")).startswith("501 5.7.0")
        assert await talk.say(b"AUTH LOGIN\r\n") == "334 VXNlcm5hbWU6"
        assert (await talk.say(b"not base64\r\n")).startswith("501 5.5.2")
        await talk.say(b"AUTH PLAIN\r\n")
        assert (await talk.say(b"A" * 12400 + b"\r\n")).startswith("500 5.5.6")
        await talk.say(b"AUTH PLAIN\r\n")
        assert (await talk.say(b"A" * 200_000 + b"\r\n")).startswith("500 5.5.6")
        assert (await talk.say(GOOD)).startswith("235")
        assert (await talk.say(GOOD)).startswith("503 5.5.1")
        assert (await talk.say(b"MAIL FROM:<a@client.test> AUTH=<>\r\n")).startswith("250")
        await talk.say(b"RSET\r\n")
        assert (await talk.say(b"MAIL FROM:<a@client.test> AUTH=+zz\r\n")).startswith("501")
        assert (await talk.say(b"MAIL FROM:<a@client.test> AUTH=a+2Bb@c\r\n")).startswith("250")
        assert (await talk.say(GOOD)).startswith("503 5.5.1")


async def test_a_client_guesses_three_times() -> None:
    async with server() as made, made.session() as talk:
        said = [await talk.say(BAD) for _ in range(3)]
        assert said[:2] == ["535 5.7.8 Authentication credentials invalid"] * 2
        assert said[2].startswith("421 4.7.0")
        assert await talk.reply() == "closed"
        refusals = [body for body in made.events if isinstance(body, Refused)]
        assert {body.verb for body in refusals} == {"AUTH"}


async def test_a_password_that_comes_as_a_command_is_not_told() -> None:
    """A client that does not wait sends what it has to say whether or not it is asked."""
    word = base64.b32encode(b"tea at six").decode()
    async with server() as made, made.session() as talk:
        await talk.all(b"AUTH NONE\r\n" + word.encode() + b"\r\n", 2)
        assert (await talk.all(b"QUIT\r\n", 1))[0].startswith("221")
        assert word not in repr(made.events)
        assert [body.verb for body in made.events if isinstance(body, Refused)] == [
            "AUTH",
            "unknown",
        ]


async def test_whose_address_is_whose() -> None:
    """RFC 6409 §6.1."""
    senders = {"alice": ["alice@client.test", "@lists.test"]}
    async with server(senders=senders) as made, made.session() as talk:
        assert (await talk.say(b"MAIL FROM:<eve@client.test>\r\n")).startswith("530")
        assert (await talk.say(GOOD)).startswith("235")
        assert await talk.say(b"MAIL FROM:<eve@client.test>\r\n") == (
            "550 5.7.1 <eve@client.test> is no address of yours"
        )
        assert (await talk.say(b"MAIL FROM:<alice@elsewhere.test>\r\n")).startswith("550")
        for own in (b"alice@client.test", b"alice@CLIENT.test", b"any@lists.test", b""):
            assert (await talk.say(b"MAIL FROM:<" + own + b">\r\n")).startswith("250"), own
            await talk.say(b"RSET\r\n")


async def test_who_has_no_addresses_named_may_use_any() -> None:
    async with server(senders={"bob": ["bob@client.test"]}) as made, made.session() as talk:
        assert (await talk.say(GOOD)).startswith("235")
        assert (await talk.say(b"MAIL FROM:<bob@client.test>\r\n")).startswith("250")


async def test_silence_ends_a_session_wherever_it_falls() -> None:
    async with server(idle=0.2) as made:
        async with made.session() as talk:
            assert await talk.say(b"AUTH LOGIN\r\n") == "334 VXNlcm5hbWU6"
            assert (await talk.reply()).startswith("421 4.4.2")
        port = int(made.edge.addresses[2].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        async with asyncio.timeout(10):
            await reader.read()  # who never shakes hands is hung up on
        writer.close()


async def test_who_speaks_no_tls_at_once_is_hung_up_on() -> None:
    async with server() as made:
        port = int(made.edge.addresses[2].rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"EHLO c.test\r\n")
        async with asyncio.timeout(10):
            assert b"250" not in await reader.read()
        writer.close()


async def test_the_port_for_relays_is_as_ever() -> None:
    async with server() as made:
        lines = await made.say(b"EHLO c\r\nAUTH PLAIN\r\nMAIL FROM:<a@b> AUTH=<>\r\nQUIT\r\n")
        assert not any("AUTH" in line for line in lines if line.startswith("250"))
        assert [line[:3] for line in lines[-3:]] == ["502", "555", "221"]


@pytest.mark.parametrize("implicit", [False, True])
def test_it_is_the_same_in_virtual_time(implicit: bool) -> None:
    """A client that takes a minute over each thing it says hands in its mail."""
    loop = SimLoop()
    network = Network(loop, seed=1)
    hosts = {one: network.add_host(one, one) for one in ("127.0.0.1", "10.0.0.2")}
    for host in hosts.values():
        host.life = HostLife(host.name, loop)
    made = Server(idle=300.0, ports=(587, 465))

    def on(address: str, work: Callable[[], Coroutine[Any, Any, None]]) -> asyncio.Task[None]:
        life = hosts[address].life
        assert life is not None
        return loop.create_task(work(), context=life.context)

    async def client() -> None:
        async with made.session(implicit=implicit) as talk:
            for said in (GOOD, MAIL, b"RCPT TO:<x@elsewhere.test>\r\n", b"DATA\r\n"):
                await asyncio.sleep(60)
                assert (await talk.say(said))[0] in "23"
            assert (await talk.say(b"\r\nx\r\n.\r\n")).startswith("250")

    async def main() -> None:
        await on("127.0.0.1", made.edge.start)
        await on("10.0.0.2", client)
        await made.edge.close()

    try:
        loop.run_until_complete(main())
    finally:
        loop.close()
    assert [origin.protocol for _, _, origin in made.taken] == ["ESMTPSA"]
