"""SMTP faults before a product: what the peer is told, and that nothing is left in the product."""

import asyncio
from pathlib import Path

import pytest

from mxlab_services import events
from mxlab_services.errors import ControlError
from mxlab_services.faults import kinds
from mxlab_services.faults.kinds import AnyFault
from mxlab_services.faults.requests import FaultClear, FaultList, FaultSet
from tests.support.product_lab import ProductLab, configured, product, talk, transaction

BODY = b"Message-ID: <one@client.test>\r\n\r\n..dot"
BOB = b"bob@example.test"


async def put(lab: ProductLab, fault: AnyFault, name: str = "f") -> None:
    state = await lab.ask(FaultSet(name, fault))
    assert state.fault == fault


def codes(replies: list[bytes]) -> list[bytes]:
    return [reply[:3] for reply in replies]


class Running:
    """A conversation that goes on while faults come and go."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def to(cls, lab: ProductLab) -> "Running":
        one = cls(*await asyncio.open_connection(*lab.address))
        assert (await one.reply()).startswith(b"220")
        return one

    async def say(self, line: bytes) -> bytes:
        self.writer.write(line + b"\r\n")
        return await self.reply()

    async def reply(self) -> bytes:
        while True:
            line = await asyncio.wait_for(self.reader.readline(), 20)
            if line[3:4] != b"-":
                return line.rstrip()


@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        (kinds.ReplyWith("mx1", "CONNECT", 421), [b"421"]),
        (kinds.ReplyWith("mx1", "EHLO", 450), [b"220", b"450"]),
        (kinds.ReplyWith("mx1", "MAIL", 451, "4.3.5", "no"), [b"220", b"250", b"451"]),
        (kinds.ReplyWith("mx1", "RCPT", 550), [b"220", b"250", b"250", b"550"]),
        (kinds.ReplyWith("mx1", "DATA", 451), [b"220", b"250", b"250", b"250", b"451"]),
        (kinds.ReplyWith("mx1", "DOT", 554), [b"220", b"250", b"250", b"250", b"354", b"554"]),
        (kinds.DiskFull("mx1"), [b"220", b"250", b"452"]),
        (kinds.Greylist("mx1", seconds=1000), [b"220", b"250", b"250", b"451"]),
    ],
)
async def test_a_reply_takes_the_place_of_the_products(
    tmp_path: Path, fault: AnyFault, expected: list[bytes]
) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        await put(lab, fault)
        count = len(expected) - 1
        lines = transaction(BOB, BODY)[:count]
        assert codes(await talk(lab.address, *lines)) == expected
        struck = lab.told.of(events.FaultStruck)[0]
        assert struck.fault == "f"
        refused = [one for one in lab.told.events if isinstance(one.body, events.Refused)]
        assert refused[0].source == "proxy"
        await lab.ask(FaultClear("f"))
        assert codes(await talk(lab.address, *transaction(BOB, BODY)))[-2:] == [b"250", b"221"]
        await lab.told.until(events.Removed)
        assert len(lab.told.of(events.Accepted)) == 1


async def test_of_what_was_struck_the_product_keeps_nothing(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        await put(lab, kinds.ReplyWith("mx1", "RCPT", 450, recipient="eve@example.test"), "rcpt")
        await put(lab, kinds.ReplyWith("mx1", "DOT", 451, nth=1), "dot")
        one = await Running.to(lab)
        for line, code in (
            (b"EHLO client.test", b"250"),
            (b"MAIL FROM:<alice@client.test>", b"250"),
            (b"RCPT TO:<bob@example.test>", b"250"),
            (b"RCPT TO:<eve@example.test>", b"450"),
            (b"RCPT TO:<carol@example.test>", b"250"),
            (b"RCPT TO:<x@elsewhere.test>", b"550"),
            (b"DATA", b"354"),
            (BODY + b"\r\n.", b"451"),
            (b"RCPT TO:<bob@example.test>", b"503"),
            (b"MAIL FROM:<alice@client.test>", b"250"),
            (b"RCPT TO:<bob@example.test>", b"250"),
            (b"RCPT TO:<eve@example.test>", b"450"),
            (b"DATA", b"354"),
            (BODY + b"\r\n.", b"250"),
        ):
            assert (await one.say(line))[:3] == code, line
        await lab.told.until(events.Removed)
        assert [one.recipients for one in lab.told.of(events.Accepted)] == [["bob@example.test"]]
        states = {state.id: state.struck for state in await lab.ask(FaultList())}
        assert states == {"rcpt": 2, "dot": 1}
        one.writer.close()


async def test_a_running_conversation_obeys_from_its_next_command_on(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        one = await Running.to(lab)
        await one.say(b"EHLO client.test")
        await one.say(b"MAIL FROM:<alice@client.test>")
        await put(lab, kinds.ReplyWith("mx1", "RCPT", 450, nth=2))
        assert (await one.say(b"RCPT TO:<bob@example.test>"))[:3] == b"250"
        assert (await one.say(b"RCPT TO:<carol@example.test>"))[:3] == b"450"
        await lab.ask(FaultClear("f"))
        assert (await one.say(b"DATA"))[:3] == b"354"
        assert (await one.say(BODY + b"\r\n."))[:3] == b"250"
        await lab.told.until(events.Removed)
        assert lab.told.of(events.Accepted)[0].recipients == ["bob@example.test"]
        one.writer.close()


async def test_a_lost_acknowledgement_leaves_a_copy(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        await put(lab, kinds.LoseAck("mx1", first=1))
        replies = await talk(lab.address, *transaction(BOB, BODY)[:-1])
        assert codes(replies)[-2:] == [b"354", b""]
        await lab.told.until(events.Removed)
        struck = lab.told.of(events.FaultStruck)[0]
        assert (struck.name, struck.place) == ("lose-ack", "DOT")


@pytest.mark.parametrize("verb", ["CONNECT", "EHLO", "MAIL", "RCPT", "DATA", "DOT"])
async def test_a_reset_is_one(tmp_path: Path, verb: kinds.Verb) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        await put(lab, kinds.Reset("mx1", verb, first=1))
        with pytest.raises(ConnectionResetError):
            await talk(lab.address, *transaction(BOB, BODY))
        assert lab.told.of(events.FaultStruck)[0].place == verb
        await talk(lab.address, *transaction(BOB, BODY))
        await lab.told.until(events.Removed)
        assert len(lab.told.of(events.Accepted)) == 1


async def test_a_cut_and_a_narrow_line_need_no_commands(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        await put(lab, kinds.Cut("mx1", after=150))
        with pytest.raises(ConnectionResetError):
            await talk(lab.address, *transaction(BOB, b"x" * 200))
        await lab.ask(FaultClear("f"))
        await put(lab, kinds.Bandwidth("mx1", rate=20_000))
        loop = asyncio.get_running_loop()
        began = loop.time()
        await talk(lab.address, *transaction(BOB, (b"x" * 98 + b"\r\n") * 100))
        assert loop.time() - began > 0.4  # it cannot be sooner
        await lab.told.until(events.Removed)


async def test_a_delay_comes_after_the_message_is_taken(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        await put(lab, kinds.Delay("mx1", "DOT", seconds=1000))
        talking = asyncio.create_task(talk(lab.address, *transaction(BOB, BODY)))
        await lab.told.until(events.Removed)
        assert not talking.done()
        await lab.ask(FaultClear("f"))
        assert codes(await talking)[-1] == b"221"


async def test_after_quit_a_slow_one_lingers(tmp_path: Path) -> None:
    async with product(configured(tmp_path, local_domains=["example.test"])) as lab:
        await put(lab, kinds.SlowClose("mx1", seconds=1000))
        one = await Running.to(lab)
        assert (await one.say(b"QUIT"))[:3] == b"221"
        reading = asyncio.create_task(one.reader.read())
        await lab.told.until(events.FaultStruck)
        assert not reading.done()
        await lab.ask(FaultClear("f"))
        assert await asyncio.wait_for(reading, 10) == b""
        one.writer.close()


async def test_a_port_that_refuses_says_goodbye_and_comes_back(tmp_path: Path) -> None:
    async with product(configured(tmp_path, local_domains=["example.test"])) as lab:
        address = lab.address
        one = await Running.to(lab)
        await one.say(b"EHLO client.test")
        await put(lab, kinds.Refuse("mx1"))
        assert (await one.reply()).startswith(b"421 4.3.2")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(*address)
        await lab.ask(FaultClear("f"))
        assert lab.address == address
        assert codes(await talk(address, b"EHLO client.test")) == [b"220", b"250"]
        one.writer.close()


async def test_what_is_sent_ahead_is_answered_in_order(tmp_path: Path) -> None:
    async with product(configured(tmp_path, local_domains=["example.test"])) as lab:
        await put(lab, kinds.ReplyWith("mx1", "RCPT", 450, nth=2))
        one = await Running.to(lab)
        await one.say(b"EHLO client.test")
        sent = b"MAIL FROM:<a@c.test>\r\n" + b"RCPT TO:<bob@example.test>\r\n" * 3 + b"DATA\r\n"
        one.writer.write(sent)
        replies = [(await one.reply())[:3] for _ in range(5)]
        assert replies == [b"250", b"250", b"450", b"250", b"354"]
        one.writer.write(BODY + b"\r\n.\r\nQUIT\r\n")
        assert [(await one.reply())[:3] for _ in range(2)] == [b"250", b"221"]
        one.writer.close()


async def test_a_message_too_large_is_refused_before_the_product(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"], limits={"message_size": 10_000})
    async with product(config) as lab:
        await put(lab, kinds.Latency("mx1", seconds=0.001))
        replies = await talk(lab.address, *transaction(BOB, b"x\r\n" * 10_000))
        assert codes(replies)[-2:] == [b"552", b"221"]
        assert codes(await talk(lab.address, *transaction(BOB, BODY)))[-2:] == [b"250", b"221"]


async def test_what_a_product_cannot_have_says_why(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    async with product(config) as lab:
        for fault, why in (
            (kinds.MailboxFull("mx1", "bob@example.test"), "it delivers by itself"),
            (kinds.ReadOnly("mx1"), "its disk is its own"),
            (kinds.TlsBroken("mx1", "handshake-cut"), "offers no STARTTLS"),
            (kinds.DnsNxdomain(name="x.test"), "set it at dns"),
        ):
            with pytest.raises(ControlError, match=why):
                await put(lab, fault)
        assert await lab.ask(FaultList()) == []


async def test_a_fault_knows_whom_it_meets(tmp_path: Path) -> None:
    config = configured(tmp_path, local_domains=["example.test"])
    lines = transaction(BOB, BODY)
    async with product(config) as lab:
        here = lab.address[0]
        await put(lab, kinds.Greylist("mx1", seconds=1000, exempt=(here,)))
        assert codes(await talk(lab.address, *lines))[3] == b"250"
        await lab.ask(FaultClear("f"))
        await put(lab, kinds.ReplyWith("mx1", "RCPT", 550, peer="192.0.2.7"))
        assert codes(await talk(lab.address, *lines))[3] == b"250"
        await lab.ask(FaultClear("f"))
        await put(lab, kinds.ReplyWith("mx1", "RCPT", 550, peer=here))
        assert codes(await talk(lab.address, *lines[:3]))[3] == b"550"
        assert [one.peer for one in lab.told.of(events.FaultStruck)] == [here]
