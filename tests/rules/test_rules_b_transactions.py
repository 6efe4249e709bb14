"""MAIL-RULES B1 to B7, through whole simulated labs: transactions, limits and extensions.

::

    client or a raw session ──> mx1        what one transaction is, and what it may hold
    client ──> mx2 ──> mx1                 and that every hop carries it on unchanged
"""

import asyncio
import gc

import pytest

from mxlab.backends.sim.backend import SimLab
from mxlab_services import events
from mxlab_services.config import PATIENCE, Limits
from mxlab_services.control.requests import ConfigChange
from mxlab_services.faults.kinds import TlsBroken
from mxlab_services.faults.requests import FaultSet
from tests.support.peers import Peer, put_peer, take_over
from tests.support.stories import (
    ALICE,
    BOB,
    CAROL,
    MINUTE,
    TRAVEL,
    Raw,
    address_of,
    happened,
    in_lab,
    mail_of,
    queue,
    reconfigure,
    reports,
    send,
    talk,
    until,
)

DAVE = "dave@example.test"
SERIAL = ("8BITMIME", "SIZE 1000000")
BY_RFC = PATIENCE["rfc"]


def test_b1_one_copy_per_server_for_many_recipients() -> None:
    async def story(lab: SimLab) -> list[int]:
        await send(lab, *(f"u{n}@example.test" for n in range(50)))
        await until(lab, "mx1", events.MailboxDelivered, 50)
        accepted = await happened(lab, "mx1", events.Accepted)
        return [len(event.recipients) for event in accepted]

    assert in_lab(story) == [50]


def test_b2_after_data_all_are_accepted_or_all_refused() -> None:
    async def story(lab: SimLab) -> tuple[str, str]:
        disk = lab.nodes["mx2"]._disk
        opening = [f"RCPT TO:<{address}>" for address in (BOB, CAROL, DAVE)]
        await lab.nodes["mx1"].kill()
        async with Raw(lab, "mx2") as raw:
            await raw.reply()
            await raw.say("EHLO c.test")
            said = []
            for disk.full in (True, False):
                await raw.say("MAIL FROM:<a@c.test>", *opening, "DATA")
                said += await raw.say("Subject: x\r\n\r\nx\r\n.")
                waiting = [len(entry.recipients) for entry in await queue(lab, "mx2")]
                assert waiting == ([] if disk.full else [3])
        return said[0], said[1]

    refused, accepted = in_lab(story)
    assert refused.startswith("452 4.3.1")
    assert accepted.startswith("250 2.0.0")


SILENT: dict[str, tuple[Peer, float]] = {
    "greeting": (Peer({"CONNECT": ["silence"]}), 300),
    "EHLO": (Peer({"EHLO": ["silence"]}), 300),
    "MAIL": (Peer({"MAIL": ["silence"]}, SERIAL), 300),
    "RCPT": (Peer({"RCPT": ["silence"]}, SERIAL), 300),
    "DATA": (Peer({"DATA": ["silence"]}, SERIAL), 120),
    "block": (Peer(deaf=True), 180),
    "dot": (Peer({"DOT": ["silence"]}), 600),
}


@pytest.mark.parametrize("stage", SILENT)
def test_b3_each_command_has_the_patience_of_the_rfc(stage: str) -> None:
    async def story(lab: SimLab) -> float:
        peer, _ = SILENT[stage]
        await take_over(lab, "mx1", peer)
        await reconfigure(lab, "client", timeouts=BY_RFC)
        await send(lab, size=300_000 if stage == "block" else 0)
        tried = await until(lab, "client", events.Tried)
        assert isinstance(tried.body, events.Tried)
        return tried.body.seconds

    assert in_lab(story) == pytest.approx(SILENT[stage][1], abs=TRAVEL)


@pytest.mark.parametrize("stage", SILENT)
def test_b3_each_command_has_a_timeout_of_its_own(stage: str) -> None:
    """Changed while the client runs: no two are the same, and the one that is meant counts."""
    names = ("greeting", "helo", "mail", "rcpt", "data", "block", "dot")
    wanted = {name: 20.0 + 10 * number for number, name in enumerate(names)}

    async def story(lab: SimLab) -> float:
        await take_over(lab, "mx1", SILENT[stage][0])
        change = {f"timeouts.{name}": seconds for name, seconds in wanted.items()}
        await lab.nodes["client"].request(ConfigChange(change))
        await send(lab, size=300_000 if stage == "block" else 0)
        tried = await until(lab, "client", events.Tried)
        assert isinstance(tried.body, events.Tried)
        return tried.body.seconds

    name = {"EHLO": "helo"}.get(stage, stage.lower())
    assert in_lab(story) == pytest.approx(wanted[name], abs=TRAVEL)


def test_b3_a_silent_client_is_served_for_five_minutes() -> None:
    async def story(lab: SimLab) -> tuple[float, str]:
        async with Raw(lab, "mx1") as raw:
            await raw.reply()
            await raw.say("EHLO c.test")
            began = lab.clock.time()
            said = await raw.reply()
            return lab.clock.time() - began, said

    waited, said = in_lab(story)
    assert waited == pytest.approx(5 * MINUTE, abs=TRAVEL)
    assert said.startswith("421 4.4.2")


@pytest.mark.parametrize("milliseconds", [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 6.0])
def test_b4_what_got_a_250_outlives_a_power_failure(milliseconds: float) -> None:
    """A sync of the simulated disk takes 2 ms: the kill falls before, within and after it."""

    async def story(lab: SimLab) -> tuple[bool, int]:
        await lab.nodes["mx1"].kill()
        async with Raw(lab, "mx2") as raw:
            await raw.reply()
            await raw.say("EHLO c.test", "MAIL FROM:<a@c.test>", f"RCPT TO:<{BOB}>", "DATA")
            raw.write(b"Subject: x\r\n\r\nx\r\n.\r\n")
            await asyncio.sleep(milliseconds / 1000)
            await lab.nodes["mx2"].kill()
            acked = (await raw.reply()).startswith("250")
        await lab.nodes["mx2"].start()
        return acked, len(await queue(lab, "mx2"))

    acked, queued = in_lab(story)
    assert queued == 1 or not acked
    assert queued in (0, 1)
    if milliseconds < 2:
        assert not acked
    if milliseconds == 6:
        assert acked


def test_b5_a_hundred_recipients_are_taken_at_least() -> None:
    async def story(lab: SimLab) -> list[str]:
        await lab.nodes["mx1"].kill()
        recipients = [f"RCPT TO:<u{n}@example.test>" for n in range(100)]
        said = await talk(lab, "mx2", "EHLO c.test", "MAIL FROM:<a@c.test>", *recipients)
        return said[2:]

    assert all(reply.startswith("250 2.1.") for reply in in_lab(story))


@pytest.mark.parametrize("end", [b"\n.\r\n", b"\r.\r\n", b"\n.\n", b"\r\n.\n", b"\r\n.\r"])
def test_b6_a_bare_line_end_is_refused_and_smuggles_nothing(end: bytes) -> None:
    async def story(lab: SimLab) -> tuple[str, int]:
        async with Raw(lab, "mx1") as raw:
            await raw.reply()
            await raw.say("EHLO c.test", "MAIL FROM:<a@c.test>", f"RCPT TO:<{BOB}>", "DATA")
            smuggled = b"MAIL FROM:<x@c.test>\r\nRCPT TO:<carol@example.test>\r\nDATA\r\nevil\r\n"
            raw.write(b"Subject: x\r\n\r\nx" + end + smuggled + b".\r\n")
            said = await raw.reply()
            await raw.say("QUIT")
        await lab.clock.sleep(TRAVEL)
        return said, len(await happened(lab, "mx1", events.MailboxDelivered))

    said, delivered = in_lab(story)
    assert said.startswith("550 5.5.2")
    assert delivered == 0


async def through_the_backup(lab: SimLab, *recipients: str, body: str = "") -> tuple[str, str]:
    """Send while the primary is down; answers the digest sent and the one in the mailbox."""
    await lab.nodes["mx1"].kill()
    [sent] = await send(lab, *recipients, body=body)
    await lab.clock.sleep(10)
    await lab.nodes["mx1"].start()
    delivered = (await until(lab, "mx1", events.MailboxDelivered)).body
    assert isinstance(delivered, events.MailboxDelivered)
    assert delivered.recipient in (recipients or (BOB,))
    return sent.digest, delivered.digest


def test_b7_dots_are_stuffed_and_unstuffed_on_every_hop() -> None:
    body = ".\n..\n.x\nend.\n.\n"

    async def story(lab: SimLab) -> str:
        sent, got = await through_the_backup(lab, body=body)
        assert sent == got
        [text] = await mail_of(lab, "mx1", BOB)
        return text.partition("\r\n\r\n")[2]

    assert in_lab(story) == body.replace("\n", "\r\n")


def test_b7_8bitmime_is_carried_through_the_backup() -> None:
    async def story(lab: SimLab) -> str:
        sent, got = await through_the_backup(lab, body="Grüße aus Köln\n")
        assert sent == got
        [text] = await mail_of(lab, "mx1", BOB)
        for node in ("client", "mx2"):
            tried = await happened(lab, node, events.Tried)
            assert any("BODY=8BITMIME" in line for event in tried for line in event.dialog)
        return text

    assert "Grüße aus Köln" in in_lab(story)


def test_b7_smtputf8_is_carried_through_the_backup() -> None:
    async def story(lab: SimLab) -> str:
        sent, got = await through_the_backup(lab, "jürgen@example.test")
        assert sent == got
        [text] = await mail_of(lab, "mx1", "jürgen@example.test")
        return text

    text = in_lab(story)
    assert "with UTF8SMTP id" in text
    assert "for <jürgen@example.test>;" in text


def test_b7_size_is_refused_early_and_late() -> None:
    async def story(lab: SimLab) -> tuple[list[str], str]:
        await reconfigure(lab, "mx1", limits=Limits(message_size=2000))
        mail = "MAIL FROM:<a@c.test>"
        said = await talk(lab, "mx1", "EHLO c.test", f"{mail} SIZE=2001", f"{mail} SIZE=2000")
        await talk(lab, "mx1", "EHLO c.test", mail, f"RCPT TO:<{BOB}>", "DATA", "x" * 900 + "\r\n.")
        late = await talk(
            lab, "mx1", "EHLO c.test", mail, f"RCPT TO:<{BOB}>", "DATA", "x\r\n" * 900 + "."
        )
        return said, late[-1]

    said, late = in_lab(story)
    assert "SIZE 2000" in said[1]
    assert said[2].startswith("552 5.3.4")
    assert said[3].startswith("250")
    assert late.startswith("552 5.3.4")


def test_b7_a_message_too_large_for_the_peer_bounces() -> None:
    async def story(lab: SimLab) -> str:
        await reconfigure(lab, "mx1", limits=Limits(message_size=2000))
        await send(lab, size=3000)
        await until(lab, "client", events.MailboxDelivered)
        [report] = await reports(lab)
        return report.status

    assert in_lab(story) == "5.3.4"


def test_b7_pipelined_commands_are_answered_in_order() -> None:
    async def story(lab: SimLab) -> list[str]:
        async with Raw(lab, "mx1") as raw:
            await raw.reply()
            await raw.say("EHLO c.test")
            one = f"MAIL FROM:<a@c.test>\r\nRCPT TO:<{BOB}>\r\nRCPT TO:<x@other.test>\r\nDATA\r\n"
            raw.write(one.encode())
            first = [await raw.reply() for _ in range(4)]
            raw.write(b"x\r\n.\r\nRSET\r\nNOOP\r\nQUIT\r\n")
            return first + [await raw.reply() for _ in range(4)]

    codes = [reply[:3] for reply in in_lab(story)]
    assert codes == ["250", "250", "550", "354", "250", "250", "250", "221"]


def test_b7_what_is_advertised_is_implemented_and_replies_have_enhanced_codes() -> None:
    async def story(lab: SimLab) -> list[str]:
        return await talk(
            lab,
            "mx2",
            "EHLO c.test",
            f"MAIL FROM:<{ALICE}> SIZE=10 BODY=8BITMIME SMTPUTF8 RET=HDRS ENVID=x",
            f"RCPT TO:<{BOB}> NOTIFY=SUCCESS,DELAY ORCPT=rfc822;bob@example.test",
            "RCPT TO:<x@other.test>",
            "RSET",
            "ETRN example.test",
            "VRFY bob",
            "HELP",
            "XYZZY",
            "STARTTLS",
            "QUIT",
        )

    greeting, ehlo, *rest = in_lab(story)
    offered = [line[4:] for line in ehlo.split("\n")[1:]]
    assert offered == [
        "PIPELINING", "SIZE 10485760", "8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES",
        "ETRN", "HELP",
    ]  # fmt: skip
    assert greeting.startswith("220 mx2.example.test")
    codes = [reply[:3] for reply in rest]
    assert codes == ["250", "250", "550", "250", "251", "252", "214", "500", "454", "221"]
    for reply in rest:
        assert reply[4:6] == f"{reply[0]}.", reply  # RFC 2034 §4: the same class


@pytest.mark.parametrize(
    ("extensions", "recipient", "body", "status"),
    [
        (["8BITMIME"], "jürgen@example.test", "", "5.6.7"),
        (["SMTPUTF8"], BOB, "Grüße\n", "5.6.3"),
        (["SIZE 100"], BOB, "", "5.3.4"),
    ],
    ids=["SMTPUTF8", "8BITMIME", "SIZE"],
)
def test_b7_what_the_primary_cannot_take_bounces_at_the_backup(
    extensions: list[str], recipient: str, body: str, status: str
) -> None:
    async def story(lab: SimLab) -> str:
        await lab.nodes["mx1"].kill()
        await send(lab, recipient, body=body)
        await until(lab, "mx2", events.Deferred)
        primary = Peer(extensions=extensions)
        put_peer(lab, address_of(lab, "mx1"), primary)
        await until(lab, "client", events.MailboxDelivered)
        assert not primary.copies
        [report] = await reports(lab)
        assert report.fields["Reporting-MTA"] == "dns; mx2.example.test"
        return report.status

    assert in_lab(story) == status


def test_b7_tls_that_breaks_is_followed_by_plain_text() -> None:
    async def story(lab: SimLab) -> str:
        await lab.nodes["mx1"].request(FaultSet("tls", TlsBroken("mx1", "handshake-cut")))
        await send(lab)
        await until(lab, "mx1", events.MailboxDelivered)
        [accepted] = await happened(lab, "mx1", events.Accepted)
        return accepted.protocol

    assert in_lab(story, tls=True) == "ESMTP"
    gc.collect()


def test_b5_each_limit_has_its_reply() -> None:
    async def story(lab: SimLab) -> list[str]:
        limits = Limits(recipients=100, line_length=998, commands=110, errors=3, sessions=1)
        await reconfigure(lab, "mx1", limits=limits)
        said = []
        async with Raw(lab, "mx1") as raw:
            await raw.reply()
            await raw.say("EHLO c.test", "MAIL FROM:<a@c.test>")
            said += (await raw.say(*(f"RCPT TO:<u{n}@example.test>" for n in range(101))))[-1:]
            said += await raw.say("DATA")
            said += await raw.say("x" * 999 + "\r\n.")
            async with Raw(lab, "mx1", "10.53.25.201") as second:
                said.append(await second.reply())
            said += (await raw.say(*["NOOP"] * 7))[-1:]
        async with Raw(lab, "mx1") as raw:
            await raw.reply()
            said += (await raw.say(*["XYZZY"] * 4))[-1:]
            said.append(await raw.reply())
        return [reply[:9] for reply in said]

    assert in_lab(story) == [
        "452 4.5.3", "354 end d", "550 5.6.0", "421 4.3.2", "421 4.7.0", "500 5.5.2", "421 4.7.0",
    ]  # fmt: skip


@pytest.mark.parametrize("tls", [True, False])
def test_b7_starttls_is_opportunistic(tls: bool) -> None:
    """A primary without TLS gets the mail all the same."""

    async def story(lab: SimLab) -> str:
        if not tls:
            await reconfigure(lab, "mx1", tls=None)
        await send(lab)
        await until(lab, "mx1", events.MailboxDelivered)
        [accepted] = await happened(lab, "mx1", events.Accepted)
        return accepted.protocol

    assert in_lab(story, tls=True) == ("ESMTPS" if tls else "ESMTP")
    gc.collect()  # a lab that ends with TLS connections open leaves nothing that complains
