"""MAIL-RULES B, through whole simulated labs: what follows from each reply, and from none."""

import asyncio
import gc
from collections.abc import Mapping, Sequence

import pytest
from tests.rules.peers import PLAIN, Copy, Peer, close_port, put_peer, take_over
from tests.rules.stories import (
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

from mxlab.backends.sim.backend import SimLab
from mxlab_services import events
from mxlab_services.config import Limits, Timeouts
from mxlab_services.control import FaultSet, MailboxList, Record
from mxlab_services.faults import LoseAck, Select, TlsBroken

DAVE = "dave@example.test"
SERIAL = ("8BITMIME", "SIZE 1000000")
EITHER = pytest.mark.parametrize("extensions", [PLAIN, SERIAL], ids=["pipelined", "serial"])
BY_RFC = Timeouts(connect=30, greeting=300, command=300, data=120, block=180, dot=600)
Script = Mapping[str, Sequence[str]]
# What the client sees of a first exchange that does not serve; the verb at which it is told.
NO_SERVICE = {
    "refused": None,
    "timeout": None,
    "4yz greeting": {"CONNECT": ["421 4.3.2 not now"]},
    "no greeting": {"CONNECT": ["silence"]},
    "closed at once": {"CONNECT": ["cut"]},
    "4yz EHLO": {"EHLO": ["450 4.3.2 not now"]},
    "no reply to EHLO": {"EHLO": ["silence"]},
}


async def both(lab: SimLab, first: Peer, second: Peer | None = None) -> tuple[Peer, Peer]:
    """Scripted peers in the place of mx1 and mx2."""
    return await take_over(lab, "mx1", first), await take_over(lab, "mx2", second or Peer())


async def no_service(lab: SimLab, node: str, how: str) -> None:
    match how:
        case "refused":
            await close_port(lab, node)
        case "timeout":
            lab.network.link(address_of(lab, "client"), address_of(lab, node)).drop = True
        case _:
            await take_over(lab, node, Peer(NO_SERVICE[how] or {}))


async def outcomes(lab: SimLab) -> list[tuple[str, str, str]]:
    """Recipient, outcome, host of each transaction of the client."""
    return [
        (e.recipient.split("@")[0], e.outcome, e.host.split(".")[0])
        for e in await happened(lab, "client", events.Outcome)
        if e.recipient != ALICE
    ]


@pytest.mark.parametrize("how", NO_SERVICE)
def test_b_row_no_service_goes_to_the_next_mx(how: str) -> None:
    async def story(lab: SimLab) -> list[str]:
        await no_service(lab, "mx1", how)
        second = await take_over(lab, "mx2", Peer())
        await send(lab)
        await lab.clock.sleep(MINUTE)
        assert [copy.recipients for copy in second.taken] == [[BOB]]
        assert [e.attempt for e in await happened(lab, "client", events.AttemptStarted)] == [1]
        return [e.host for e in await happened(lab, "client", events.Tried)]

    assert in_lab(story) == ["mx1.example.test", "mx2.example.test"]


@pytest.mark.parametrize("how", NO_SERVICE)
def test_b_row_no_service_at_the_last_defers_and_the_destination_is_dead(how: str) -> None:
    async def story(lab: SimLab) -> tuple[int, int]:
        await no_service(lab, "mx1", how)
        await no_service(lab, "mx2", how)
        await send(lab)
        await until(lab, "client", events.Deferred)
        dead = await happened(lab, "client", events.DestinationDead)
        assert [event.domain for event in dead] == ["example.test"]
        assert not await reports(lab)
        before = len(await happened(lab, "client", events.Tried))
        await send(lab)  # the next message does not try at all
        await lab.clock.sleep(0.5)
        return before, len(await happened(lab, "client", events.Tried)) - before

    assert in_lab(story, schedule="postfix") == (2, 0)


def test_b_row_5yz_greeting_goes_to_the_next_mx() -> None:
    async def story(lab: SimLab) -> int:
        _, second = await both(lab, Peer({"CONNECT": ["554 5.3.2 no service here"]}))
        await send(lab)
        await lab.clock.sleep(TRAVEL)
        assert not await reports(lab)
        return len(second.taken)

    assert in_lab(story) == 1


@EITHER
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "DOT"])
def test_b_row_4yz_to_mail_data_or_the_dot_goes_to_the_next_mx(
    verb: str, extensions: Sequence[str]
) -> None:
    async def story(lab: SimLab) -> list[Copy]:
        first, second = await both(lab, Peer({verb: ["451 4.3.0 try later"]}, extensions))
        await send(lab, BOB, CAROL)
        await lab.clock.sleep(TRAVEL)
        assert not first.taken
        assert await queue(lab, "client") == []
        return second.taken

    [copy] = in_lab(story)
    assert copy.recipients == [BOB, CAROL]


@EITHER
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "DOT"])
def test_b_row_4yz_to_mail_data_or_the_dot_of_the_last_defers(
    verb: str, extensions: Sequence[str]
) -> None:
    async def story(lab: SimLab) -> list[str]:
        busy = {verb: ["451 4.3.0 try later", "451 4.3.0 try later", ""]}
        first, second = await both(lab, Peer(busy, extensions), Peer(busy, extensions))
        await send(lab)
        await until(lab, "client", events.Deferred)
        [entry] = await queue(lab, "client")
        assert not await happened(lab, "client", events.DestinationDead)  # a host did answer
        await lab.clock.sleep(MINUTE)
        assert len(first.taken) + len(second.taken) == 1  # a later attempt
        assert not await reports(lab)
        return [recipient.delay_reason for recipient in entry.recipients]

    assert in_lab(story) == ["host mx2.example.test said: 451 4.3.0 try later"]


@EITHER
def test_b_row_4yz_to_rcpt_sends_that_recipient_to_the_next_mx(extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> tuple[list[Copy], list[Copy]]:
        script = {f"RCPT {BOB}": ["450 4.2.1 mailbox busy"]}
        first, second = await both(lab, Peer(script, extensions))
        await send(lab, BOB, CAROL, DAVE)
        await lab.clock.sleep(TRAVEL)
        return first.taken, second.taken

    [at_first], [at_second] = in_lab(story)
    assert at_first.recipients == [CAROL, DAVE]
    assert at_second.recipients == [BOB]


@EITHER
def test_b_row_4yz_to_rcpt_of_the_last_defers_that_recipient(extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> list[str]:
        script = {f"RCPT {BOB}": ["450 4.2.1 mailbox busy"]}
        first, second = await both(lab, Peer(script, extensions), Peer(script, extensions))
        await send(lab, BOB, CAROL)
        await until(lab, "client", events.Deferred)
        assert [copy.recipients for copy in first.taken] == [[CAROL]]
        assert not second.taken
        assert not await reports(lab)
        [entry] = await queue(lab, "client")
        return [recipient.address for recipient in entry.recipients]

    assert in_lab(story) == [BOB]


@EITHER
@pytest.mark.parametrize("verb", ["MAIL", "DATA", "DOT"])
def test_b_row_5yz_to_mail_data_or_the_dot_bounces_and_asks_no_other_mx(
    verb: str, extensions: Sequence[str]
) -> None:
    async def story(lab: SimLab) -> list[tuple[str, str]]:
        script = {verb: ["554 5.7.0 no"]}
        _, second = await both(lab, Peer(script, extensions))
        await send(lab, BOB, CAROL)
        await lab.clock.sleep(TRAVEL)
        assert second.connections == 0
        assert await queue(lab, "client") == []
        [report] = await reports(lab)
        return [(r["Final-Recipient"], r["Status"]) for r in report.recipients]

    assert in_lab(story) == [(f"rfc822; {BOB}", "5.7.0"), (f"rfc822; {CAROL}", "5.7.0")]


@EITHER
def test_b_row_5yz_to_rcpt_bounces_that_recipient_only(extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> list[tuple[str, str]]:
        script = {f"RCPT {BOB}": ["550 5.1.1 no such user"]}
        first, second = await both(lab, Peer(script, extensions))
        await send(lab, BOB, CAROL)
        await until(lab, "client", events.MailboxDelivered)
        assert [copy.recipients for copy in first.taken] == [[CAROL]]
        assert second.connections == 0
        [report] = await reports(lab)
        return [(r["Final-Recipient"], r["Status"]) for r in report.recipients]

    assert in_lab(story) == [(f"rfc822; {BOB}", "5.1.1")]


@EITHER
def test_b_row_452_too_many_sends_the_rest_in_another_transaction(
    extensions: Sequence[str],
) -> None:
    async def story(lab: SimLab) -> list[list[str]]:
        many = ["250 2.1.5 ok", "250 2.1.5 ok", "452 4.5.3 too many", "452 4.5.3 too many"]
        script = {"RCPT": [*many, ""]}
        first, second = await both(lab, Peer(script, extensions))
        await send(lab, *(f"u{n}@example.test" for n in range(4)))
        await lab.clock.sleep(TRAVEL)
        assert second.connections == 0
        assert await queue(lab, "client") == []
        return [[address[:2] for address in copy.recipients] for copy in first.taken]

    assert in_lab(story) == [["u0", "u1"], ["u2", "u3"]]


@pytest.mark.parametrize("verb", ["MAIL", "RCPT", "DATA"])
@EITHER
def test_b_row_lost_before_the_dot_is_as_451(verb: str, extensions: Sequence[str]) -> None:
    async def story(lab: SimLab) -> list[tuple[str, str, str]]:
        _, second = await both(lab, Peer({verb: ["cut"]}, extensions))
        await send(lab)
        await lab.clock.sleep(TRAVEL)
        assert len(second.taken) == 1
        return await outcomes(lab)

    assert in_lab(story) == [("bob", "deferred", "mx1"), ("bob", "delivered", "mx2")]


def test_b_row_lost_within_the_data_is_as_451() -> None:
    async def story(lab: SimLab) -> list[tuple[str, str, str]]:
        first, second = await both(lab, Peer())
        lab.network.link(address_of(lab, "client"), address_of(lab, "mx1")).cut_after = 100_000
        await send(lab, size=300_000)
        await lab.clock.sleep(TRAVEL)
        assert not first.copies
        assert len(second.taken) == 1
        return await outcomes(lab)

    assert in_lab(story) == [("bob", "deferred", "mx1"), ("bob", "delivered", "mx2")]


@pytest.mark.parametrize("how", ["cut", "silence"])
def test_b_row_lost_after_the_dot_is_unknown_retried_and_on_record(how: str) -> None:
    """The peer has kept its copy, so the retry makes a second one; the record tells why."""

    async def story(lab: SimLab) -> tuple[list[tuple[str, str, str]], list[str]]:
        first, second = await both(lab, Peer({"DOT": [how, ""]}))
        await send(lab)
        await until(lab, "client", events.Outcome, like=lambda e: e.outcome == "delivered")
        assert second.connections == 0  # no other host is offered a copy
        assert [copy.recipients for copy in first.copies] == [[BOB], [BOB]]
        assert len({copy.content for copy in first.copies}) == 1
        record = await lab.nodes["client"].request(Record())
        return await outcomes(lab), [entry.outcome for entry in record]

    seen, record = in_lab(story)
    assert seen == [("bob", "unknown", "mx1"), ("bob", "delivered", "mx1")]
    assert record == ["unknown", "acked"]


def test_b_row_an_acknowledgement_lost_after_the_commit_makes_an_explained_duplicate() -> None:
    async def story(lab: SimLab) -> tuple[set[str], list[str], list[str]]:
        await lab.nodes["mx1"].request(FaultSet("ack", LoseAck(Select(first=1))))
        [sent] = await send(lab)
        await until(lab, "mx1", events.MailboxDelivered, 2)
        await lab.clock.sleep(TRAVEL)
        copies = await lab.nodes["mx1"].request(MailboxList(BOB))
        record = await lab.nodes["client"].request(Record())
        assert {copy.digest for copy in copies} == {sent.digest}
        return {copy.message for copy in copies}, [sent.message], [e.outcome for e in record]

    found, sent, record = in_lab(story)
    assert found == set(sent)
    assert record == ["unknown", "acked"]


# --- B1 to B7 -------------------------------------------------------------------------------------


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
        await lab.nodes["mx1"].request(FaultSet("tls", TlsBroken("handshake-cut")))
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
