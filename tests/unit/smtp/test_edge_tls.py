"""STARTTLS at the edge (RFC 3207)."""

import asyncio
import ssl

import msgspec
import pytest

from mxlab.plan.tls import Authority
from mxlab_services.config import MxConfig, TlsConfig
from tests.support.edge_lab import CONFIG, OPENING, Desk, desk

ISSUED = Authority("test").issue(["mx1.example.test"], "127.0.0.1")
CLIENT = ssl.create_default_context(cadata=ISSUED.ca)


def config() -> MxConfig:
    tls = TlsConfig(ISSUED.certificate, ISSUED.key, ISSUED.ca)
    return msgspec.structs.replace(CONFIG, tls=tls)


async def encrypted(
    made: Desk, ahead: bytes = b""
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """A session that has just gone over to TLS; `ahead` was sent with the command."""
    reader, writer = await made.connect()
    writer.write(b"EHLO c.test\r\n")
    assert b"250-STARTTLS\r\n" in await reader.readuntil(b"250 HELP\r\n")
    writer.write(b"STARTTLS\r\n" + ahead)
    assert (await reader.readline()).startswith(b"220 2.0.0 ")
    await writer.start_tls(CLIENT, server_hostname="mx1.example.test")
    return reader, writer


async def closed(writer: asyncio.StreamWriter) -> None:
    writer.close()
    await writer.wait_closed()


async def test_b7_starttls_forgets_what_came_before_and_is_told_in_received() -> None:
    async with desk(config()) as made:
        reader, writer = await encrypted(made)
        writer.write(b"MAIL FROM:<>\r\n")
        assert (await reader.readline()).startswith(b"503")
        writer.write(OPENING + b"x\r\n.\r\n" + b"STARTTLS\r\nQUIT\r\n")
        said = await reader.readuntil(b"221 2.0.0 bye\r\n")
        assert b"250-STARTTLS" not in said
        assert b"503 5.5.1 TLS" in said
        await closed(writer)
        assert made.taken[0][2].protocol == "ESMTPS"


async def test_b7_what_is_injected_before_the_handshake_is_discarded() -> None:
    async with desk(config()) as made:
        reader, writer = await encrypted(made, OPENING + b"forged\r\n.\r\n")
        writer.write(b"NOOP\r\nQUIT\r\n")
        async with asyncio.timeout(10):
            assert await reader.readuntil(b"bye\r\n") == b"250 2.0.0 ok\r\n221 2.0.0 bye\r\n"
        await closed(writer)
        assert not made.taken


@pytest.mark.parametrize("instead", [b"EHLO c.test\r\n", b"\x16\x03\x01\x00\x00", None])
async def test_a_handshake_that_fails_leaves_nothing(
    instead: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    async with desk(config(), sessions=1) as made:
        reader, writer = await made.connect()
        writer.write(b"EHLO c.test\r\nSTARTTLS\r\n")
        await reader.readuntil(b"220 2.0.0 Ready to start TLS\r\n")
        if instead is None:
            writer.transport.abort()
        else:
            writer.write(instead)
            writer.write_eof()
        await made.freed()
        writer.close()
    assert "Traceback" not in caplog.text


async def test_closing_ends_a_session_within_tls() -> None:
    made = Desk(config())
    await made.edge.start()
    reader, writer = await encrypted(made)
    async with asyncio.timeout(10):
        await asyncio.gather(made.edge.close(), reader.readuntil(b"going down\r\n"))
        await closed(writer)


async def test_b7_a_session_without_tls_is_told_so() -> None:
    async with desk() as made:
        lines = await made.say(b"EHLO c\r\nSTARTTLS\r\nQUIT\r\n")
        assert "250-STARTTLS" not in lines
        assert lines[-2].startswith("454 4.7.0")
