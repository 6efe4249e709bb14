"""TLS through the proxy: a product's own passes unseen, what faults break is broken here."""

import asyncio
import ssl
from pathlib import Path

import pytest
from msgspec import to_builtins

from mxlab.faults.certificates import broken_certificate
from mxlab.plan.tls import Authority
from mxlab_services import events
from mxlab_services.config import MtaConfig
from mxlab_services.faults import kinds
from mxlab_services.faults.requests import FaultClear, FaultSet
from mxlab_services.message import content_digest
from tests.support.product_lab import ProductLab, configured, product

CONTENT = b"Message-ID: <one@client.test>\r\n\r\nwithin TLS\r\n"


class Peer:
    """A client that can begin TLS."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, lab: ProductLab) -> "Peer":
        one = cls(*await asyncio.open_connection(*lab.address))
        await one.reply()
        return one

    async def reply(self) -> list[bytes]:
        lines: list[bytes] = []
        while not lines or lines[-1][3:4] == b"-":
            lines.append(await asyncio.wait_for(self.reader.readline(), 20))
        return lines

    async def say(self, line: bytes) -> list[bytes]:
        self.writer.write(line + b"\r\n")
        return await self.reply()

    async def begin_tls(self) -> ssl.SSLObject:
        """Raises OSError where there is none."""
        assert (await self.say(b"STARTTLS"))[-1].startswith(b"220")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        await self.writer.start_tls(context)
        found: ssl.SSLObject = self.writer.get_extra_info("ssl_object")
        return found

    async def hand_in(self) -> None:
        for line, code in (
            (b"EHLO c.test", b"250"), (b"MAIL FROM:<alice@client.test>", b"250"),
            (b"RCPT TO:<bob@example.test>", b"250"), (b"DATA", b"354"), (CONTENT + b".", b"250"),
        ):  # fmt: skip
            assert (await self.say(line))[-1][:3] == code, line


def with_tls(tmp_path: Path) -> MtaConfig:
    """A backup without a way on: what it takes stays in its queue."""
    made = to_builtins(Authority("test").issue(["mx1.example.test"]))
    return configured(tmp_path, relay_domains=["example.test"], tls=made)


async def test_the_products_own_tls_passes_unseen(tmp_path: Path) -> None:
    async with product(with_tls(tmp_path)) as lab:
        peer = await Peer.to(lab)
        assert b"STARTTLS" in b"".join(await peer.say(b"EHLO c.test"))
        await peer.begin_tls()
        await peer.hand_in()
        accepted = await lab.told.until(events.Accepted)
        assert accepted.digest == content_digest(CONTENT)  # by what lies in its queue
        peer.writer.close()


async def test_while_commands_must_be_seen_no_tls_is_offered(tmp_path: Path) -> None:
    async with product(with_tls(tmp_path)) as lab:
        await lab.ask(FaultSet("f", kinds.ReplyWith("mx1", "DOT", 451)))
        peer = await Peer.to(lab)
        offered = b"".join(await peer.say(b"EHLO c.test"))
        assert b"STARTTLS" not in offered
        assert offered.splitlines()[-1].startswith(b"250 ")
        await lab.ask(FaultClear("f"))
        assert b"STARTTLS" in b"".join(await peer.say(b"EHLO c.test"))
        await peer.begin_tls()
        await peer.hand_in()
        peer.writer.close()


async def test_a_handshake_is_cut(tmp_path: Path) -> None:
    async with product(with_tls(tmp_path)) as lab:
        await lab.ask(FaultSet("f", kinds.TlsBroken("mx1", "handshake-cut")))
        peer = await Peer.to(lab)
        assert b"STARTTLS" in b"".join(await peer.say(b"EHLO c.test"))
        with pytest.raises((ConnectionError, ssl.SSLError)):
            await peer.begin_tls()
        assert lab.told.of(events.FaultStruck)[0].name == "tls-broken"


async def test_an_expired_certificate_is_shown_and_mail_goes_on(tmp_path: Path) -> None:
    async with product(with_tls(tmp_path)) as lab:
        pem = broken_certificate("expired")
        await lab.ask(FaultSet("f", kinds.TlsBroken("mx1", "expired"), pem))
        peer = await Peer.to(lab)
        await peer.say(b"EHLO c.test")
        shown = (await peer.begin_tls()).getpeercert(binary_form=True)
        assert shown == ssl.PEM_cert_to_DER_cert(pem[0])
        await peer.hand_in()
        assert (await peer.say(b"QUIT"))[-1].startswith(b"221")
        accepted = await lab.told.until(events.Accepted)
        assert accepted.digest == content_digest(CONTENT)
        peer.writer.close()
